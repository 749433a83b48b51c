from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fakes.access_tokens import FakeAccessTokens
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from heliograph.core.notification import DoNotDisturb, ServerChanged
from heliograph.core.pushers.handoff import HandoffSettings, Signs
from heliograph.core.pushers.pusher import Pusher, PusherKey
from heliograph.core.record import AccountState
from heliograph.errors import LoggedOut, Refused, Unreachable
from heliograph.loops.handoff.loop import COLLECT_S, RETRY_S, HandoffLoop, settle_all
from heliograph.loops.presence import HELD, SERVER_PATIENCE_S, PresenceTracker
from heliograph.ports.homeserver import Features
from support.builders import ME, make_pusher
from support.waiting import until

OWN = make_pusher(app_id="io.github.heliograph", pushkey="own", kind="direct", device_display_name="Desk")
FALLBACK = make_pusher(
    app_id="fallback", pushkey="topic", app_display_name="Our fallback", device_display_name="Fallback"
)
PHONE = make_pusher(device_display_name="Pixel")
AWAY = Signs(is_locked=True)
HERE = Signs()


class SwitchingHomeserver(FakeHomeserver):
    """Writes into `log` what is done to pushers; `refusal` is its answer to that."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(ME)
        self.log = log
        self.refusal: Refused | None = None
        self.lists = True
        self.tries = 0
        for pusher in (OWN, FALLBACK, PHONE):
            self._pushers[pusher.key] = pusher

    async def pushers(self) -> tuple[Pusher, ...]:
        if not self.lists:
            raise Unreachable("the network went down")
        return await super().pushers()

    async def set_pusher(self, pusher: Pusher) -> None:
        self.tries += 1
        if self.refusal is not None:
            raise self.refusal
        await super().set_pusher(pusher)
        self.log.append(f"{pusher.device_display_name} {'on' if pusher.is_enabled else 'off'}")

    def switch(self, pusher: Pusher, *, is_enabled: bool) -> None:
        """Another client does."""
        self._pushers[pusher.key] = replace(pusher, is_enabled=is_enabled)

    def is_on(self, pusher: Pusher) -> bool:
        return self._pushers[pusher.key].is_enabled

    def drop(self, pusher: Pusher) -> None:
        del self._pushers[pusher.key]


class Stage:
    """An account whose user goes and comes; `log` is what happened, in order."""

    def __init__(
        self,
        settings: HandoffSettings,
        ledger: FakeLedger | None = None,
        *,
        tokens: FakeAccessTokens | None = None,
    ) -> None:
        """`tokens`: without them time stands for the access token."""
        self.log: list[str] = []
        self.homeserver = SwitchingHomeserver(self.log)
        self.ledger = ledger or FakeLedger()
        self.features = Features(has_remote_toggle=True)
        self.account = AccountState()
        """As the sync loop knows it."""
        self.tokens = tokens or FakeAccessTokens()
        self.collects = True
        self.collect_takes_s = 0.0
        self.loop = HandoffLoop(
            self.homeserver,
            self.ledger,
            settings,
            OWN.key,
            asyncio.Lock(),
            self.tokens,
            features=lambda: self.features,
            account=lambda: self.account,
            collect=self._collect,
            rest=self._rest,
            hush=lambda is_hushed: self.log.append("hush" if is_hushed else "ring"),
        )

    async def look(self) -> None:
        """As the pusher loop does now and then."""
        self.loop.take_pushers(tuple(self.homeserver._pushers.values()))
        await self.loop.settle()

    async def go(self, signs: Signs = AWAY) -> list[str]:
        """The user goes or comes. What was done for it, in order."""
        self.log.clear()
        self.loop.take_signs(signs)
        await self.loop.settle()
        return list(self.log)

    async def turn_for(self, seconds: int) -> None:
        """The sync loop turns ten times a second."""
        for _ in range(10 * seconds):
            self.loop.turn()
            await asyncio.sleep(0.1)

    async def done(self, step: str) -> None:
        """Returns when this was the last that was done."""
        await until(lambda: self.log[-1:] == [step], step)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def switched_off(self) -> frozenset[PusherKey]:
        return self.ledger.state.switched_off

    async def _collect(self) -> bool:
        await asyncio.sleep(self.collect_takes_s)
        self.log.append("collect")
        return self.collects

    async def _rest(self) -> None:
        pass


@pytest.fixture
async def switch() -> Stage:
    """A stock homeserver, the mode "switch", and the user at the desk."""
    stage = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key))
    await stage.look()
    return stage


@pytest.fixture
async def relay() -> Stage:
    stage = Stage(HandoffSettings(fallback=FALLBACK.key))
    stage.features = Features(has_remote_toggle=True, has_direct_push=True)
    await stage.look()
    return stage


async def test_the_first_look_at_the_desk_takes_the_ringing_over(switch: Stage) -> None:
    assert switch.log == ["collect", "Fallback off"]
    assert switch.switched_off == {FALLBACK.key}
    assert switch.loop.state.quiet == ("Our fallback",)
    assert switch.loop.state.set_up.value == "switch"


async def test_leaving_and_returning_follow_the_documented_order(switch: Stage) -> None:
    assert await switch.go() == ["Fallback on", "collect", "hush"]
    assert switch.switched_off == frozenset()
    assert switch.loop.state.why_away == "the session is locked"
    assert await switch.go(HERE) == ["collect", "ring", "Fallback off"]
    assert switch.loop.state.why_away is None


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_before_sleep_the_fallback_is_switched_on_with_the_first_request(switch: Stage) -> None:
    switch.homeserver.lists = False
    assert await switch.go(Signs(is_asleep=True)) == ["Fallback on", "hush"]
    assert switch.switched_off == frozenset()


async def test_before_sleep_as_otherwise_what_came_before_the_switch_is_collected(switch: Stage) -> None:
    assert await switch.go(Signs(is_asleep=True)) == ["Fallback on", "collect", "hush"]


async def test_a_relay_is_left_with_everything_acknowledged(relay: Stage) -> None:
    assert relay.log == []
    assert await relay.go() == ["collect", "Desk off", "hush"]
    assert relay.loop.is_handed_over
    assert await relay.go(HERE) == ["collect", "ring", "Desk on"]
    assert not relay.loop.is_handed_over


async def test_what_is_as_it_should_be_costs_nothing(switch: Stage) -> None:
    switch.homeserver.failures.append(Unreachable("nobody may ask"))
    assert await switch.go(HERE) == []
    await switch.loop.settle()
    assert len(switch.homeserver.failures) == 1


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_it_is_written_down_before_it_is_switched_off(switch: Stage) -> None:
    await switch.go()
    switch.ledger.is_full = True
    assert await switch.go(HERE) == ["collect", "ring"]
    assert switch.homeserver.is_on(FALLBACK)
    assert "StorageError" in str(switch.loop.state.trouble)
    switch.ledger.is_full = False
    await switch.loop.settle()
    assert not switch.homeserver.is_on(FALLBACK)
    assert switch.loop.state.trouble is None


async def test_a_kill_in_between_is_made_good(switch: Stage) -> None:
    """Written down, and then the process ended."""
    ledger = FakeLedger()
    await ledger.set_switched_off([FALLBACK.key])
    again = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key), ledger)
    await again.look()
    assert again.log == ["collect", "Fallback off"]
    assert again.switched_off == {FALLBACK.key}
    assert await again.go(Signs(is_stopping=True)) == ["Fallback on", "collect", "hush"]


async def test_a_daemon_that_was_killed_gives_back_what_it_had_even_before_it_looked() -> None:
    ledger = FakeLedger()
    await ledger.set_switched_off([PHONE.key])
    stage = Stage(HandoffSettings(), ledger)
    stage.homeserver.switch(PHONE, is_enabled=False)
    assert "Pixel on" in await stage.go(Signs(is_stopping=True))
    assert stage.switched_off == frozenset()


async def test_what_others_switched_off_is_never_switched_on() -> None:
    stage = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key, quiet=("Pixel",)))
    stage.homeserver.switch(FALLBACK, is_enabled=False)
    stage.homeserver.switch(PHONE, is_enabled=False)
    await stage.look()
    await stage.go()
    await stage.go(HERE)
    assert stage.switched_off == frozenset()
    assert not stage.homeserver.is_on(FALLBACK)
    assert not stage.homeserver.is_on(PHONE)


async def test_what_another_client_switched_on_stays_on_until_the_next_return() -> None:
    stage = Stage(HandoffSettings(quiet=("Pixel",)))
    await stage.look()
    assert stage.log == ["collect", "Pixel off"]
    stage.homeserver.switch(PHONE, is_enabled=True)
    await stage.look()
    await stage.look()
    assert stage.log == ["collect", "Pixel off"]
    assert stage.switched_off == frozenset()
    assert await stage.go() == ["hush"]
    assert await stage.go(HERE) == ["collect", "ring", "Pixel off"]


@pytest.mark.parametrize("how", ["is_pusher_enabled", "is_silenced"])
async def test_what_another_client_makes_silent_here_rings_elsewhere(switch: Stage, how: str) -> None:
    was = getattr(switch.account, how)
    async with switch.running():
        for is_silent, wanted in ((True, "hush"), (False, "Fallback off")):
            switch.log.clear()
            changed: dict[str, Any] = {how: was is not is_silent}
            switch.account = AccountState(**changed)
            switch.loop.turn()
            await switch.done(wanted)
            assert (switch.loop.state.why_away is not None) is is_silent


async def test_a_relay_does_not_hold_back_for_a_desktop_that_is_silenced(relay: Stage) -> None:
    relay.account = AccountState(is_silenced=True)
    relay.loop.turn()
    await relay.loop.settle()
    assert relay.log == ["collect", "Desk off", "hush"]


async def test_a_pusher_that_is_gone_is_forgotten(switch: Stage) -> None:
    switch.homeserver.drop(FALLBACK)
    await switch.look()
    assert switch.switched_off == frozenset()
    assert await switch.go() == ["hush"]


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_without_a_sync_nothing_is_switched_off_but_the_desktop_rings(switch: Stage) -> None:
    await switch.go()
    switch.collects = False
    assert await switch.go(HERE) == ["collect", "ring"]
    assert switch.homeserver.is_on(FALLBACK)
    assert switch.loop.state.trouble == "the homeserver cannot be reached"
    switch.collects = True
    async with switch.running():
        switch.loop.turn()
        await until(lambda: not switch.homeserver.is_on(FALLBACK))
    assert switch.loop.state.trouble is None


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_without_a_homeserver_the_desktop_rings_all_the_same(switch: Stage) -> None:
    await switch.go()
    switch.homeserver.failures.append(Unreachable("gone"))
    assert await switch.go(HERE) == ["ring"]
    assert "gone" in str(switch.loop.state.trouble)


async def test_leaving_goes_on_without_a_last_sync(switch: Stage) -> None:
    switch.collects = False
    assert await switch.go() == ["Fallback on", "collect", "hush"]


async def test_a_sync_that_hangs_holds_nothing_up_for_long(switch: Stage) -> None:
    switch.collect_takes_s = 1000
    began = asyncio.get_running_loop().time()
    assert await switch.go() == ["Fallback on", "hush"]
    assert asyncio.get_running_loop().time() - began < COLLECT_S + 1


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_a_switch_that_the_homeserver_refuses_is_told_and_not_repeated(switch: Stage) -> None:
    await switch.go()
    switch.homeserver.refusal = Refused(403, "M_FORBIDDEN", "not yours")
    assert await switch.go(HERE) == ["collect", "ring"]
    assert "does not let us" in str(switch.loop.state.trouble)
    assert switch.switched_off == frozenset()
    switch.homeserver.refusal = None
    await switch.look()
    assert switch.homeserver.is_on(FALLBACK)


@pytest.mark.expected_log("The handoff of @me:example.org is not complete", times=6)
async def test_what_cannot_be_switched_on_is_remembered_and_tried_again_now_and_then(switch: Stage) -> None:
    switch.homeserver.refusal = Refused(403, "M_FORBIDDEN", "not now")
    async with switch.running():
        switch.loop.take_signs(AWAY)
        await until(lambda: switch.loop.state.trouble)
        assert switch.switched_off == {FALLBACK.key}
        tries = switch.homeserver.tries
        await switch.turn_for(30)
        assert tries + 4 <= switch.homeserver.tries <= tries + 6
        switch.homeserver.refusal = None
        await switch.turn_for(10)
    assert switch.homeserver.is_on(FALLBACK)
    assert switch.switched_off == frozenset()
    assert switch.loop.state.trouble is None


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_a_refused_token_is_the_accounts_matter_and_does_not_end_it(switch: Stage) -> None:
    async with switch.running() as task:
        switch.homeserver.failures.append(LoggedOut(soft=False))
        switch.loop.take_signs(AWAY)
        await until(lambda: switch.loop.state.trouble)
        await asyncio.sleep(RETRY_S)
        switch.loop.turn()
        await until(lambda: switch.homeserver.is_on(FALLBACK))
        assert switch.loop.state.trouble is None
        assert not task.done()


@pytest.mark.expected_log("handoff crashed")
async def test_a_fault_of_our_own_does_not_end_it(switch: Stage) -> None:
    switch.homeserver.failures.append(RuntimeError("a fault"))  # type: ignore[arg-type]
    async with switch.running() as task:
        switch.loop.take_signs(AWAY)
        await until(lambda: not switch.homeserver.failures)
        switch.loop.take_signs(HERE)
        switch.loop.take_signs(AWAY)
        await until(lambda: switch.homeserver.is_on(FALLBACK))
        assert not task.done()


@pytest.mark.expected_log("1 account could not be handed over in 4 s")
async def test_handing_over_is_bounded(switch: Stage, relay: Stage) -> None:
    switch.collect_takes_s = 1000
    for stage in (switch, relay):
        stage.log.clear()
        stage.loop.take_signs(AWAY)
    began = asyncio.get_running_loop().time()
    await settle_all([switch.loop, relay.loop], 4)
    assert asyncio.get_running_loop().time() - began == pytest.approx(4, abs=0.1)
    assert switch.log == ["Fallback on"]
    assert relay.log == ["collect", "Desk off", "hush"]
    await settle_all([], 4)


async def test_an_account_that_cannot_go_on_gives_back_even_if_nothing_can_be_written(switch: Stage) -> None:
    switch.homeserver.switch(PHONE, is_enabled=False)
    switch.ledger.is_full = True
    await switch.loop.give_back()
    assert switch.homeserver.is_on(FALLBACK)
    assert not switch.homeserver.is_on(PHONE)
    switch.ledger.is_full = False
    switch.log.clear()
    await switch.loop.give_back()
    assert switch.log == []
    assert switch.switched_off == frozenset()


# The desk as a whole


async def test_a_notification_server_that_restarts_is_no_reason_to_leave() -> None:
    told: list[Signs] = []
    tracker = PresenceTracker(told.append)
    tracker.take_signal(ServerChanged(None))
    await asyncio.sleep(SERVER_PATIENCE_S / 2)
    tracker.take_signal(ServerChanged("another"))
    await asyncio.sleep(SERVER_PATIENCE_S * 2)
    assert told == []
    tracker.take_signal(ServerChanged(None))
    await asyncio.sleep(SERVER_PATIENCE_S * 2)
    assert told == [Signs(has_server=False)]
    tracker.take_session(AWAY)
    tracker.take_signal(ServerChanged("back"))
    assert told[1:] == [Signs(has_server=False, is_locked=True), Signs(is_locked=True)]


async def test_a_desktop_that_holds_notifications_back_lets_others_ring_unless_all_shall_be_quiet() -> None:
    told: list[Signs] = []
    tracker = PresenceTracker(told.append)
    held, paused = Signs(why_quiet=HELD), Signs(why_quiet="paused")
    tracker.take_signal(DoNotDisturb(True))
    tracker.take_quiet("paused")
    tracker.take_quiet("", is_everywhere=True)
    tracker.take_quiet("")
    tracker.take_signal(DoNotDisturb(False))
    assert told == [held, paused, HERE, held, HERE]
    assert held.why_away == HELD


async def test_stopping_is_leaving() -> None:
    told: list[Signs] = []
    tracker = PresenceTracker(told.append)
    tracker.take_signal(ServerChanged(None))
    tracker.stop()
    tracker.take_session(Signs())
    await asyncio.sleep(SERVER_PATIENCE_S * 2)
    assert told == [Signs(is_stopping=True)]


async def test_our_pusher_counts_as_handed_over_until_the_ledger_says_that_it_is_not() -> None:
    """Else what the homeserver does not list would be taken for silent."""
    stage = Stage(HandoffSettings())
    before = stage.loop.is_handed_over
    await stage.look()
    assert (before, stage.loop.is_handed_over) == (True, False)


async def test_it_rings_here_while_the_user_is_here_and_nothing_is_hushed(switch: Stage) -> None:
    rings = [switch.loop.state.rings_here]
    for signs in (AWAY, HERE):
        await switch.go(signs)
        rings.append(switch.loop.state.rings_here)
    assert rings == [True, False, True]
