"""Hands the ringing over when the user leaves, and takes it back when the user returns. The order stands in
`core.pushers.handoff`; here it is done, and tried again until it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from heliograph.core.pushers.handoff import (
    Collect,
    HandoffSettings,
    HandoffStep,
    Hush,
    KnownPushers,
    Ring,
    SetUp,
    Signs,
    SwitchOff,
    SwitchOn,
    plan_handoff,
    set_up,
    why_elsewhere,
)
from heliograph.core.pushers.pusher import Pusher, PusherKey
from heliograph.core.record import AccountState
from heliograph.core.text.clean import count_things
from heliograph.core.value_type import value_type
from heliograph.errors import ServerError, StorageError, UserError
from heliograph.loops.handoff.switches import PusherSwitches
from heliograph.loops.handoff.token_watch import TokenWatch
from heliograph.ports.homeserver import Features, Homeserver
from heliograph.ports.ledger import Ledger
from heliograph.ports.tokens import AccessTokens
from heliograph.system.tasks import keep_running, start_beside, taking_up

log = logging.getLogger(__name__)

COLLECT_S = 8.0
REST_S = 1.0
"""How long what was just collected may take to be shown before we go on."""
RETRY_S = 5.0
"""At least so long between tries, however often the sync loop turns."""


@value_type
class HandoffState:
    """Who rings at one moment."""

    set_up: SetUp
    why_away: str | None
    """Why the user counts as away; None: they count as present."""
    is_hushed: bool
    """Notifications here are silent, or wait."""
    quiet: tuple[str, ...]
    """Names of the other pushers that we have switched off."""
    trouble: str | None
    """Why the last change is not complete."""

    @property
    def rings_here(self) -> bool:
        """True if the user is here and this desktop is not hushed: until it rings again, what is shown is silent."""
        return self.why_away is None and not self.is_hushed


class HandoffLoop:
    """The handoff of one account. `features` gives what the homeserver offers, `account` the account as the sync loop
    knows it: another client may have silenced this desktop, or switched our pusher off.

    `collect` syncs to the present (`SyncLoop.collect`), `rest` returns when what is due was shown, `hush` is told
    whether another device rings. `tokens` says for how long requests can be made. `lock` is held while pushers are
    looked at and switched.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        settings: HandoffSettings,
        own: PusherKey,
        lock: asyncio.Lock,
        tokens: AccessTokens,
        *,
        features: Callable[[], Features],
        account: Callable[[], AccountState],
        collect: Callable[[], Awaitable[bool]],
        rest: Callable[[], Awaitable[None]],
        hush: Callable[[bool], None],
    ) -> None:
        self._homeserver = homeserver
        self._settings = settings
        self._own = own
        self._lock = lock
        self._features = features
        self._account = account
        self._collect = collect
        self._rest = rest
        self._hush = hush
        self._signs = Signs()
        self._why_away: str | None = None
        self._trouble: str | None = None
        self._was_away = False
        self._is_hushed = False
        self._token = TokenWatch(tokens)
        self._switches = PusherSwitches(homeserver, ledger, settings.fallback)
        self._next_try = 0.0
        """When a step that failed is tried again, by the event loop's clock."""
        self._woken = asyncio.Event()

    @property
    def state(self) -> HandoffState:
        """Who rings now, for `heliograph status`."""
        features = self._features()
        allowed = set_up(
            self._settings, has_direct_push=features.has_direct_push, has_remote_toggle=features.has_remote_toggle
        )
        off = self._switches.keys - {self._own}
        quiet = tuple(self._switches.name(each) for each in self._switches.listed or () if each.key in off)
        return HandoffState(allowed, self._why_away, self._is_hushed, quiet, self._trouble)

    @property
    def is_handed_over(self) -> bool:
        """True while our direct pusher is off by our own doing: from before the homeserver stops listing what rings,
        until after it begins again. True also before the ledger was read, which may say so."""
        return not self._switches.is_loaded or self._own in self._switches.keys

    def take_signs(self, signs: Signs) -> None:
        """Takes new signs of whether the user is here."""
        self._signs = signs
        self._look_around()

    def take_pushers(self, pushers: tuple[Pusher, ...]) -> None:
        """Takes the pushers that the homeserver lists now."""
        self._switches.listed = pushers
        self._woken.set()

    def turn(self) -> None:
        """The sync loop made a turn: the homeserver can be reached, and may have told what another client did."""
        self._look_around()
        if self._trouble is not None and asyncio.get_running_loop().time() >= self._next_try:
            self._woken.set()

    def _look_around(self) -> None:
        # Who was silenced or switched off by another client counts as away: a desktop that may not ring must not keep
        # others from ringing, and a relay must not hold pushes for it. Tests:
        # test_what_another_client_makes_silent_here_rings_elsewhere,
        # test_a_relay_does_not_hold_back_for_a_desktop_that_is_silenced.
        account = self._account()
        why = why_elsewhere(
            self._signs,
            is_enabled=account.is_pusher_enabled,
            is_silenced=account.is_silenced,
            is_token_ending=self._token.is_ending,
        )
        if why != self._why_away:
            log.info("%s counts as %s", self._homeserver.user_id, f"away: {why}" if why else "present")
            self._why_away = why
            self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await keep_running("handoff", self._run)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._token.wait_s()):
                    await self._woken.wait()
            except TimeoutError:
                # No sync loop turns while its request waits for an answer.
                self._look_around()
                continue
            with taking_up(self._woken):
                await self.settle()

    async def settle(self) -> None:
        """Returns when everything is as it should be now, or could not be made so. Raises UserError."""
        async with self._lock:
            self._look_around()
            is_away = self._why_away is not None
            if self._was_away and not is_away:
                # At each return anew: what another client switched in one absence says nothing of the next.
                self._switches.left_alone = frozenset()
            self._was_away = is_away
            try:
                await self._settle(is_away=is_away)
            except (ServerError, StorageError) as trouble:
                self._note_trouble(f"{type(trouble).__name__}: {trouble}")

    async def give_back(self) -> None:
        """The account cannot go on: others ring again, whether or not that can be written down."""
        with contextlib.suppress(ServerError, StorageError, UserError, TimeoutError):
            async with asyncio.timeout(COLLECT_S), self._lock:
                await self._switches.switch_on_all(besides=self._own)

    async def _settle(self, *, is_away: bool) -> None:
        if not self._switches.is_loaded:
            await self._switches.load()
        if self._switches.listed is None and not self._switches.keys:
            return
        steps = self._plan(is_away=is_away) if self._switches.listed is not None else (Ring(),)
        if not steps:
            await self._switches.note_changes(self._known())
            self._trouble = None
            return
        is_switched = await self._hurry(steps)
        try:
            await self._switches.list_anew()
        except ServerError:
            # No reason to be hushed, or not to be.
            for step in steps:
                self._set_hush(step)
            raise
        await self._switches.note_changes(self._known())
        self._trouble = None
        steps = self._plan(is_away=is_away)
        # What came before the switch is never pushed by the homeserver, so it has to be had from here.
        if is_switched and Collect() not in steps:
            steps = (Collect(), *steps)
        await self._take_steps(steps, is_away=is_away)

    async def _hurry(self, steps: Sequence[HandoffStep]) -> bool:
        """Switches the fallback on with the very first request, if the machine is about to sleep: the network goes down
        at the same time. Of other pushers we ask first whether they are still there. Returns True if it did.

        Test: test_before_sleep_the_fallback_is_switched_on_with_the_first_request.
        """
        for step in steps if self._signs.is_asleep else ():
            if isinstance(step, SwitchOn) and step.pusher.key == self._settings.fallback:
                await self._switch(step)
                return True
        return False

    def _plan(self, *, is_away: bool) -> tuple[HandoffStep, ...]:
        return plan_handoff(self._known(), self._settings, is_away=is_away)

    async def _take_steps(self, steps: Sequence[HandoffStep], *, is_away: bool) -> None:
        is_current = True
        for step in steps:
            match step:
                case Collect():
                    # Away, the switches go on even if no sync works: others
                    # must ring all the sooner where this desktop gets nothing.
                    is_current = await self._sync() or is_away
                case Hush() | Ring():
                    self._set_hush(step)
                case SwitchOn() | SwitchOff() if is_current:
                    await self._switch(step)
        if not is_current:
            self._note_trouble("the homeserver cannot be reached")

    async def _sync(self) -> bool:
        """Collects what is on the homeserver now, and shows it if that is quickly done. Whether all of it came."""
        is_done = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COLLECT_S):
                is_done = await self._collect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await self._rest()
        return is_done

    def _set_hush(self, step: HandoffStep) -> None:
        if isinstance(step, Hush | Ring):
            self._is_hushed = isinstance(step, Hush)
            self._hush(self._is_hushed)

    async def _switch(self, step: SwitchOn | SwitchOff) -> None:
        if isinstance(step, SwitchOff) and step.pusher.key != self._own:
            await self._token.demand()
        if (trouble := await self._switches.switch(step)) is not None:
            self._note_trouble(trouble)

    def _known(self) -> KnownPushers:
        features = self._features()
        return KnownPushers(
            own=self._own,
            pushers=self._switches.listed or (),
            switched_off=self._switches.keys,
            seen_off=self._switches.seen_off,
            left_alone=self._switches.left_alone,
            has_direct_push=features.has_direct_push,
            has_remote_toggle=features.has_remote_toggle,
            is_hushed=self._is_hushed,
        )

    def _note_trouble(self, trouble: str) -> None:
        if self._trouble != trouble:
            log.warning("The handoff of %s is not complete: %s", self._homeserver.user_id, trouble)
        self._trouble = trouble
        # By the loop's clock, which nobody sets.
        self._next_try = asyncio.get_running_loop().time() + RETRY_S


async def settle_all(loops: Sequence[HandoffLoop], seconds: float) -> None:
    """Returns when every account is handed over, or when the time is up."""
    tasks = [start_beside(loop.settle(), name="handing over") for loop in loops]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if late:
        log.warning("%s could not be handed over in %g s", count_things(len(late), "account"), seconds)
