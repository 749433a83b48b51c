"""Who says what rings: the homeserver where it can (MSC3361), else we by the push rules."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.sync.situation import Mode
from heliograph.errors import Refused
from heliograph.ports.homeserver import Features, Homeserver

log = logging.getLogger(__name__)

ASKED_MS = 6 * 3_600_000
"""The homeserver is asked again this often, since a proxy that offers direct push may come or go."""


class ModeKeeper:
    """Keeps one account's mode. `clock` gives milliseconds since 1970."""

    def __init__(self, homeserver: Homeserver, clock: Callable[[], int]) -> None:
        self._homeserver = homeserver
        self._clock = clock
        self._asked_at_ms: int | None = None
        self._is_known = False
        self.features = Features()
        """The homeserver's features, as it last told."""

    @property
    def mode(self) -> Mode:
        """Local until the homeserver has been asked."""
        return Mode.DIRECT if self.features.has_direct_push else Mode.LOCAL

    @property
    def known_mode(self) -> Mode | None:
        """The mode; None until the homeserver has been asked."""
        return self.mode if self._is_known else None

    @property
    def reason(self) -> str:
        """Why the mode is as it is, in words for the user."""
        if self.features.has_direct_push:
            return "the server offers direct push (MSC3361)"
        return "the server has no direct push (MSC3361), so the push rules are judged here"

    def doubt(self) -> None:
        """The homeserver may have become another: the next `refresh` asks it."""
        self._asked_at_ms = None

    async def refresh(self) -> None:
        """Asks the homeserver for its features, if it is time. Raises Unreachable, RateLimited and LoggedOut."""
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
        before, self.features = self.known_mode, features
        self._is_known = True
        if before not in (None, self.mode):
            log.info("%s goes on in mode %s: %s", self._homeserver.user_id, self.mode.value, self.reason)


class ListingHistory:
    """Whether the homeserver has had reason to list what rings, for as long as the latest sync reaches back.

    It lists nothing that came before our pusher was registered, and what came right after one sync was answered is in
    the next. So the pusher must have been known at two requests in a row, and since.
    """

    def __init__(self, is_listing: Callable[[], bool]) -> None:
        self._is_listing = is_listing
        self._at_request = self._at_request_before = False

    def note_request(self) -> None:
        """The next /sync is asked for now."""
        # Noted when the request goes out: a pusher that is registered while it waits came too late for its answer.
        self._at_request, self._at_request_before = self._is_listing(), self._at_request

    @property
    def is_unbroken(self) -> bool:
        """Returns True if an event of the latest sync that rings must be in its list."""
        return self._at_request_before and self._at_request and self._is_listing()
