"""Mutes rooms for a time and lets them ring again afterwards, also if the daemon was not running when the time ended.

Test: test_what_ends_while_nothing_runs_ends_at_the_next_start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from heliograph.core.backoff import reconnect_delay
from heliograph.core.ids import RoomId
from heliograph.core.popups.actions import SPAN_MS, MuteSpan
from heliograph.core.push.timed_mute import TimedMute, begin_mute, end_mute
from heliograph.errors import LoggedOut, RateLimited, Refused, ServerError, StorageError
from heliograph.ports.homeserver import RoomActions
from heliograph.ports.ledger import Ledger
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

LONGEST_LOOK_S = 900.0
"""While a room is mute for a time, the loop looks at least this often: asyncio's clock stands still in suspend."""


class MuteLoop:
    """The timed mutes of one account. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1)."""

    def __init__(
        self, rooms: RoomActions, ledger: Ledger, *, clock: Callable[[], int], jitter: Callable[[], float]
    ) -> None:
        self._rooms = rooms
        self._ledger = ledger
        self._clock = clock
        self._jitter = jitter
        self._woken = asyncio.Event()
        self._changing = asyncio.Lock()
        """Held from when the push rules are read until they are changed."""
        self._failures = 0

    async def mute(self, room_id: RoomId, span: MuteSpan) -> None:
        """Mutes the room for that long, or changes for how long it is mute. Raises ServerError and StorageError."""
        async with self._changing:
            rules = await self._rooms.push_rules()
            running = {each.room_id: each for each in await self._ledger.mutes()}.get(room_id)
            until_ms = self._clock() + SPAN_MS[span] if span in SPAN_MS else None
            changes, mute = begin_mute(rules, room_id, until_ms, running)
            # The end of the mute is on disk before its push rule is made: killed in between, a room is mute for too
            # short, never for ever. Test: test_nothing_is_changed_before_its_end_is_on_disk.
            if mute is not None:
                await self._ledger.keep_mute(mute)
            try:
                for change in changes:
                    await self._rooms.change_push_rules(change)
            except Refused:
                await self._ledger.forget_mute(room_id)
                raise
            if mute is None and running is not None:
                await self._ledger.forget_mute(room_id)
        self._woken.set()

    def look(self) -> None:
        """Looks what is over: the machine slept, so the clock may show another time than expected."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await keep_running("mutes", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                delay = await self._end_what_is_over()
                self._failures = 0
            except (ServerError, StorageError) as trouble:
                self._failures += 1
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                delay = reconnect_delay(self._failures, self._jitter(), asked)
                log.warning("A room that was mute for a time has to wait: %s", trouble)
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _end_what_is_over(self) -> float | None:
        """Ends the mutes whose time is over, by removing each rule if it still is what we made. Returns the seconds
        until there is something to do again; None: nothing is mute for a time.

        Test: test_a_room_that_the_user_let_ring_again_is_left_alone.
        """
        fault: Exception | None = None
        async with self._changing:
            for mute in await self._ledger.mutes():
                if mute.until_ms > self._clock():
                    continue
                try:
                    await self._end(mute)
                # Of the account and not of this mute: the next request would fail the same way.
                except (LoggedOut, RateLimited):
                    raise
                except Exception as error:  # noqa: BLE001 - it is raised when the others have ended
                    fault = error
            if fault is not None:
                raise fault
            waits_ms = [mute.until_ms - self._clock() for mute in await self._ledger.mutes()]
        return min(max(0, min(waits_ms)) / 1000, LONGEST_LOOK_S) if waits_ms else None

    async def _end(self, mute: TimedMute) -> None:
        try:
            for change in end_mute(await self._rooms.push_rules(), mute):
                await self._rooms.change_push_rules(change)
        except Refused as refusal:
            # Tried again it would be refused again.
            log.warning("%s stays mute, its rule cannot be removed: %s", mute.room_id, refusal)
        # Last: killed before this, the mute is ended once more, which then changes nothing.
        await self._ledger.forget_mute(mute.room_id)
        log.info("%s is mute no longer", mute.room_id)
