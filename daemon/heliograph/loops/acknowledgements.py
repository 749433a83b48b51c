"""Tells a relay that is a gateway only what this desktop has shown, so that nothing else rings for it.

Beside a homeserver the relay sees the acknowledgement in the next /sync; here it is a call of its own. While the user
is elsewhere nothing is acknowledged, and the relay is told not to wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from heliograph.core.backoff import reconnect_delay
from heliograph.core.ids import EventId, EventKey, is_event_id
from heliograph.errors import RateLimited, Refused, ServerError
from heliograph.ports.gateways import PushRelay
from heliograph.ports.notices import Troubles
from heliograph.system.tasks import keep_running, taking_up

log = logging.getLogger(__name__)

ABOUT_RELAY = "relay"
PRESENT_MS = 180_000
"""For how long after our last call the relay counts on us. After that it holds no push any more, so none is lost."""
RENEW_MS = 60_000
MAX_AT_ONCE = 500
MAX_KEPT = 2_000
"""Events that wait to be told; the oldest are let go, since they have rung elsewhere by then."""
LONGEST_WAIT_MS = 3_600_000
PAUSE_MS = 15 * 60_000
"""How long to wait after the relay refused."""


class AcknowledgementLoop:
    """The acknowledgements of one account. The loop wakes for what was shown and when `turn` or `wake` is called.
    `is_present` says whether the user is here and hears this desktop."""

    def __init__(
        self,
        relay: PushRelay,
        *,
        is_present: Callable[[], bool],
        clock: Callable[[], int],
        jitter: Callable[[], float],
        troubles: Troubles,
    ) -> None:
        self._relay = relay
        self._is_present = is_present
        self._clock = clock
        self._jitter = jitter
        self._troubles = troubles
        self._shown: dict[EventId, None] = {}
        self._woken = asyncio.Event()
        self._told_ms: int | None = None
        self._is_told_present = False
        self._not_before_ms = 0
        self._failures = 0
        self._has_complained = False
        self.state = "not told yet"
        """told, or why the relay was not told what was shown, in words for the user."""

    def take(self, event_ids: Iterable[EventKey]) -> None:
        """Takes events that are on screen, or that a push rule keeps silent here, which the relay cannot know: the
        homeserver pushes all encrypted messages."""
        # The phone rings for it, and should: what is acknowledged would be silent there.
        if not self._is_present():
            return
        self._shown.update((event_id, None) for event_id in event_ids if is_event_id(event_id))
        while len(self._shown) > MAX_KEPT:
            del self._shown[next(iter(self._shown))]
        if self._shown:
            self._woken.set()

    def turn(self) -> None:
        """The sync loop made a turn: tells the relay that we are still here, if it is time."""
        is_old = self._told_ms is None or abs(self._clock() - self._told_ms) >= RENEW_MS
        if is_old or self._is_present() is not self._is_told_present:
            self._woken.set()

    def wake(self) -> None:
        """The user may have come or gone."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await keep_running("acknowledgements", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            with taking_up(self._woken):
                # Nothing asks for more than an hour; what seems to be more is a clock that was set.
                if 0 < (wait_ms := self._not_before_ms - self._clock()) <= LONGEST_WAIT_MS:
                    await asyncio.sleep(wait_ms / 1000)
                await self._tell()

    async def _tell(self) -> None:
        is_present = self._is_present()
        if not is_present and not self._shown and not self._is_told_present and self._told_ms is not None:
            return
        event_ids = list(self._shown)[:MAX_AT_ONCE]
        try:
            await self._relay.acknowledge(event_ids, PRESENT_MS if is_present else 0)
        except ServerError as trouble:
            self._note(trouble)
            return
        # Only now, since a call that failed is made again with the same events.
        for event_id in event_ids:
            self._shown.pop(event_id, None)
        self._told_ms, self._is_told_present = self._clock(), is_present
        self._failures, self._has_complained = 0, False
        self._troubles.withdraw(ABOUT_RELAY)
        self.state = "told"
        if self._shown:
            # Woken by itself, so that the next try follows even if nothing new is shown.
            self._woken.set()

    def _note(self, trouble: ServerError) -> None:
        self._failures += 1
        self.state = f"not told: {trouble}"
        if not self._has_complained:
            log.warning("The relay cannot be told what was shown: %s", trouble)
        self._woken.set()
        if isinstance(trouble, Refused):
            self._troubles.tell(
                "The relay does not take what this desktop has shown",
                f"{trouble}. Your phone may ring for it, too. Set the fallback again: heliograph fallback set",
                about=ABOUT_RELAY,
            )
            self._not_before_ms = self._clock() + PAUSE_MS
        else:
            asked = trouble.after if isinstance(trouble, RateLimited) else None
            self._not_before_ms = self._clock() + int(1000 * reconnect_delay(self._failures, self._jitter(), asked))
        self._has_complained = True
