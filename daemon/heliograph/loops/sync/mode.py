"""Who says what rings: the homeserver where it can, else we. Asked again now and then, since proxies come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.status import AccountStatus
from heliograph.core.sync.situation import Mode
from heliograph.errors import Refused
from heliograph.ports.homeserver import Features, Homeserver

log = logging.getLogger(__name__)

ASKED_MS = 6 * 3_600_000


class ModeKeeper:
    """One account's mode, and why, as its status tells it."""

    def __init__(self, homeserver: Homeserver, status: AccountStatus, clock: Callable[[], int]) -> None:
        self._homeserver = homeserver
        self._status = status
        self._clock = clock
        self._asked_at_ms: int | None = None
        self.mode = Mode.LOCAL

    def doubt(self) -> None:
        """The homeserver may have become another: ask at the next opportunity."""
        self._asked_at_ms = None

    async def refresh(self) -> None:
        """Asks for the features, if it is time. Raises Unreachable, RateLimited and LoggedOut."""
        now = self._clock()
        if self._asked_at_ms is not None and abs(now - self._asked_at_ms) < ASKED_MS:
            return
        try:
            features = await self._homeserver.features()
        except Refused as refusal:
            log.warning("The homeserver does not tell its versions: %s", refusal)
            features = Features()
        self._asked_at_ms = now
        self._take(features)

    def _take(self, features: Features) -> None:
        self.mode = Mode.DIRECT if features.has_direct_push else Mode.LOCAL
        status = self._status
        status.software, status.versions = features.software, features.versions
        status.has_direct_push, status.has_remote_toggle = features.has_direct_push, features.has_remote_toggle
        has_changed = status.mode not in ("", self.mode.value)
        status.mode = self.mode.value
        status.mode_reason = (
            "the server offers direct push (MSC3361)"
            if features.has_direct_push
            else "the server has no direct push (MSC3361), so the push rules are judged here"
        )
        if has_changed:
            log.info("%s goes on in mode %s: %s", status.user_id, status.mode, status.mode_reason)
