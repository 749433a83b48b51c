"""Decides when a token endpoint is asked again that gave no token, or none that the homeserver takes."""

from __future__ import annotations

from heliograph.core.backoff import reconnect_delay
from heliograph.core.oauth.token_life import wait_after_refusals


class RenewalPace:
    """When tokens of one device may be renewed. Times are seconds of a clock that nobody sets."""

    def __init__(self) -> None:
        self._failures = self._refusals = 0
        self._not_before_s = 0.0

    @property
    def is_refused(self) -> bool:
        """True while the homeserver refuses fresh tokens."""
        return self._refusals > 0

    def wait_s(self, now_s: float) -> float:
        """How long nobody may ask yet; 0: ask."""
        return max(0.0, self._not_before_s - now_s)

    def note_failure(self, now_s: float, jitter: float, asked_s: float | None) -> None:
        """The token endpoint gave no token, and asked us to wait for `asked_s` seconds. `jitter` is in [0, 1)."""
        self._failures += 1
        self._not_before_s = max(self._not_before_s, now_s + reconnect_delay(self._failures, jitter, asked_s))

    def note_refusal(self, now_s: float) -> None:
        """The homeserver refused a fresh token."""
        self._refusals += 1
        self._not_before_s = now_s + wait_after_refusals(self._refusals)

    def note_token(self) -> None:
        """There is a new token."""
        self._failures = 0
        if not self.is_refused:
            self._not_before_s = 0.0

    def note_accepted(self) -> None:
        """The homeserver took the newest token."""
        self._failures = self._refusals = 0
        self._not_before_s = 0.0
