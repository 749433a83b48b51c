"""Which notifications come up before the user's eyes, and which make a sound, by the rules of a notification server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from fakes.notification_profiles import Profile

LOW, NORMAL, CRITICAL = 0, 1, 2
AN_INSTANT_MS = 10
"""What is up for no longer than this has been seen by nobody."""


@dataclass(frozen=True)
class Shown:
    """One Notify call that was answered."""

    id: int
    replaces_id: int
    app_name: str
    app_icon: str
    summary: str
    body: str
    actions: list[str]
    hints: dict[str, Any]
    """Values without their Variants."""
    expire_timeout: int
    sender: str

    @property
    def urgency(self) -> int:
        urgency: int = self.hints.get("urgency", NORMAL)
        return urgency

    def has_sound(self, hints: Collection[str]) -> bool:
        """Whether a server is asked for a sound by one of these hints."""
        return not self.hints.get("suppress-sound", False) and any(name in self.hints for name in hints)

    def is_like(self, other: Shown) -> bool:
        """As dunst sees it."""
        return self._looks == other._looks

    @property
    def _looks(self) -> tuple[Any, ...]:
        return (self.app_name, self.app_icon, self.summary, self.body, self.urgency)


@dataclass
class Banners:
    """What came up, and what was heard. Everybody looks at once: what came up has been seen."""

    profile: Profile
    came_up: list[Shown] = field(default_factory=list)
    heard: list[Shown] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def take(self, shown: Shown, before: Shown | None, *, is_held: bool) -> None:
        """A notification was shown, in the place of `before`. `is_held`: do not disturb is on."""
        urgency = shown.urgency
        if before is not None and self.profile.asks_by_old_urgency:
            # As GNOME Shell's notificationDaemon.js does: "acknowledged: false" is set first, which tells of a change
            # only if there is one, and so asks for the banner by what is known so far.
            was_seen = shown.id in self._seen
            self._seen.discard(shown.id)
            if not was_seen:
                return
            urgency = before.urgency
        if urgency == LOW and self.profile.lists_low:
            return
        if is_held and (urgency != CRITICAL or self.profile.holds_critical):
            return
        if self.profile.expires_silently and 0 < shown.expire_timeout <= AN_INSTANT_MS:
            return
        self._seen.add(shown.id)
        self.came_up.append(shown)
        if shown.has_sound(self.profile.sound_hints):
            self.heard.append(shown)
