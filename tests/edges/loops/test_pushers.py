"""The pusher loop, over a homeserver and a ledger in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from edges.loops.stage import WallClock
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from fakes.notices import FakeNotices
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.pushers.relayed import ORIGINAL
from heliograph.errors import LoggedOut, RateLimited, Refused, Unreachable
from heliograph.loops.pushers import APP_ID, PusherLoop, own_pusher
from heliograph.ports.homeserver import Features
from support.builders import ME

OURS = own_pusher("key", "Heliograph on desk")
MINUTE = 60


class PushingHomeserver(FakeHomeserver):
    """Counts, and may list pushers otherwise than they were set."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.looks = 0
        self.sent: list[Pusher] = []
        self.refusal: Refused | None = None
        self.language: str | None = None
        self.look_takes_s = 0.0

    async def pushers(self) -> tuple[Pusher, ...]:
        self.looks += 1
        await asyncio.sleep(self.look_takes_s)
        listed = await super().pushers()
        return tuple(replace(each, lang=self.language or each.lang) for each in listed)

    async def set_pusher(self, pusher: Pusher) -> None:
        self.sent.append(pusher)
        if self.refusal is not None:
            raise self.refusal
        await super().set_pusher(pusher)

    async def switch(self, *, is_enabled: bool) -> None:
        """Another client does."""
        await super().set_pusher(replace(self._pushers[APP_ID, "key"], is_enabled=is_enabled))


class Stage:
    def __init__(self, clock: WallClock) -> None:
        self.homeserver = PushingHomeserver()
        self.ledger = FakeLedger()
        self.troubles = FakeNotices()
        self.features = Features(has_remote_toggle=True)
        self.is_connected = False
        self.is_handed_over = False
        self.switches: list[bool] = []
        self.loop = PusherLoop(
            self.homeserver,
            self.ledger,
            OURS,
            clock=clock,
            jitter=lambda: 0.5,
            features=lambda: self.features,
            is_connected=lambda: self.is_connected,
            is_handed_over=lambda: self.is_handed_over,
            on_switch=self.switches.append,
            troubles=self.troubles,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def turn_for(self, minutes: float) -> None:
        """The sync loop turns each second."""
        for _ in range(round(minutes * MINUTE)):
            self.loop.turn()
            await asyncio.sleep(1)

    async def poll_for(self, seconds: float, *, turns: int) -> None:
        """The sync loop turns when a poll ends."""
        for _ in range(turns):
            await asyncio.sleep(seconds)
            self.loop.turn()


@pytest.fixture
def stage(clock: WallClock) -> Stage:
    return Stage(clock)


async def test_our_pusher_is_registered_once(stage: Stage) -> None:
    async with stage.running():
        await stage.turn_for(60)
    assert stage.homeserver.sent == [OURS]
    assert stage.loop.is_registered


async def test_a_pusher_that_is_there_is_not_sent_again(stage: Stage) -> None:
    await FakeHomeserver.set_pusher(stage.homeserver, OURS)
    async with stage.running():
        await stage.turn_for(60)
    assert stage.homeserver.sent == []
    assert stage.loop.is_registered


async def test_a_pusher_under_an_old_name_is_sent_anew_and_stays_switched_off(stage: Stage) -> None:
    await FakeHomeserver.set_pusher(stage.homeserver, replace(OURS, device_display_name="old", is_enabled=False))
    async with stage.running():
        await stage.turn_for(60)
    assert stage.homeserver.sent == [replace(OURS, is_enabled=False)]
    assert stage.switches == [False]


async def test_a_homeserver_that_lists_our_pusher_otherwise_is_sent_it_once(stage: Stage) -> None:
    stage.homeserver.language = "en-GB"
    async with stage.running():
        await stage.turn_for(60)
    assert len(stage.homeserver.sent) == 1
    assert stage.loop.is_registered


@pytest.mark.expected_log(r"The homeserver does not take our direct pusher \(no such kind\)")
async def test_a_refused_pusher_is_not_offered_again(stage: Stage) -> None:
    stage.homeserver.refusal = Refused(400, "M_INVALID_PARAM", "no such kind")
    async with stage.running():
        await stage.turn_for(60)
    assert len(stage.homeserver.sent) == 1
    assert not stage.loop.is_registered
    assert stage.ledger.state.is_pusher_enabled


async def test_switching_off_and_on_is_obeyed_and_kept(stage: Stage) -> None:
    async with stage.running():
        await stage.turn_for(1)
        await stage.homeserver.switch(is_enabled=False)
        await stage.turn_for(1)
        assert stage.switches == [False]
        assert not stage.ledger.state.is_pusher_enabled
        await stage.homeserver.switch(is_enabled=True)
        await stage.turn_for(1)
        assert stage.switches == [False, True]
        assert stage.ledger.state.is_pusher_enabled


async def test_a_switch_that_the_disk_does_not_take_is_taken_later(stage: Stage) -> None:
    async with stage.running():
        await stage.turn_for(1)
        await stage.homeserver.switch(is_enabled=False)
        stage.ledger.is_full = True
        await stage.turn_for(2)
        assert stage.switches == []
        stage.ledger.is_full = False
        await stage.turn_for(2)
    assert stage.switches == [False]
    assert not stage.ledger.state.is_pusher_enabled


async def test_dendrite_is_spared_a_kind_it_does_not_know(stage: Stage) -> None:
    stage.features = Features(software="Dendrite")
    async with stage.running():
        await stage.turn_for(60)
        assert stage.homeserver.looks == 0
        stage.features = Features(software="Dendrite", has_direct_push=True)
        await stage.turn_for(1)
    assert stage.homeserver.sent == [OURS]


@pytest.mark.parametrize(("has_toggle", "looks"), [(True, 80), (False, 4)])
async def test_it_looks_as_often_as_the_server_lets_others_switch(stage: Stage, has_toggle: bool, looks: int) -> None:
    stage.features = Features(has_remote_toggle=has_toggle)
    async with stage.running():
        await stage.turn_for(60)
    assert looks - 3 <= stage.homeserver.looks <= looks + 1


@pytest.mark.parametrize("turn_s", [1, 44, 49, 51, 120])
async def test_a_switch_is_obeyed_within_a_minute_however_the_polls_lie(stage: Stage, turn_s: int) -> None:
    stage.is_connected = True
    async with stage.running():
        await stage.turn_for(1)
        polls = asyncio.create_task(stage.poll_for(turn_s, turns=600 // turn_s))
        for is_enabled in (False, True, False):
            await stage.homeserver.switch(is_enabled=is_enabled)
            await asyncio.sleep(60)
            assert stage.switches[-1:] == [is_enabled]
        await polls


async def test_without_a_connection_nothing_is_asked(stage: Stage) -> None:
    async with stage.running():
        await stage.turn_for(1)
        stage.is_connected = False
        looks = stage.homeserver.looks
        await asyncio.sleep(86_400)
        assert stage.homeserver.looks == looks
        await stage.turn_for(1)
    assert stage.homeserver.looks > looks


async def test_without_turns_it_does_nothing(stage: Stage) -> None:
    async with stage.running():
        await asyncio.sleep(86_400)
    assert stage.homeserver.looks == 0


async def test_it_looks_again_with_back_off_after_a_failure(stage: Stage) -> None:
    stage.homeserver.failures.extend([Unreachable("gone")] * 6)
    async with stage.running():
        await stage.turn_for(0.5)
        assert stage.homeserver.looks == 6
        await stage.turn_for(2)
    assert stage.homeserver.sent == [OURS]


async def test_it_waits_as_long_as_the_server_asks(stage: Stage) -> None:
    stage.homeserver.failures.append(RateLimited("slow down", after=600))
    async with stage.running():
        await stage.turn_for(9)
        assert stage.homeserver.looks == 1
        await stage.turn_for(2)
    assert stage.homeserver.sent == [OURS]


async def test_turns_during_a_slow_look_do_not_shorten_the_wait(stage: Stage) -> None:
    stage.homeserver.look_takes_s = 20
    async with stage.running():
        await stage.turn_for(10)
    assert stage.homeserver.looks <= 10


async def test_a_refused_token_is_the_accounts_matter_and_does_not_end_it(stage: Stage) -> None:
    stage.homeserver.failures.append(LoggedOut(soft=False))
    async with stage.running() as task:
        await stage.turn_for(60)
        assert not task.done()
    assert stage.homeserver.sent == [OURS]


@pytest.mark.expected_log("pushers crashed", times=2)
async def test_a_fault_of_our_own_neither_ends_nor_spins(stage: Stage) -> None:
    stage.homeserver.failures.extend([RuntimeError("a fault")] * 2)  # type: ignore[list-item]
    async with stage.running() as task:
        await stage.turn_for(60)
        assert not task.done()
    assert stage.homeserver.looks < 100
    assert stage.homeserver.sent == [OURS]


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_clock_that_is_set_does_not_stop_the_looks(stage: Stage, clock: WallClock, years: int) -> None:
    async with stage.running():
        await stage.turn_for(1)
        clock.jump(years * 365 * 86_400)
        await stage.homeserver.switch(is_enabled=False)
        await stage.turn_for(2)
    assert stage.switches == [False]


@pytest.mark.parametrize(
    ("is_registered", "is_handed_over", "is_listing"),
    [(False, False, False), (True, False, True), (True, True, False)],
)
async def test_the_server_lists_while_our_pusher_is_there_and_we_ring(
    stage: Stage, is_registered: bool, is_handed_over: bool, is_listing: bool
) -> None:
    stage.is_handed_over = is_handed_over
    if is_registered:
        async with stage.running():
            await stage.turn_for(1)
    assert stage.loop.is_listing is is_listing


async def test_devices_that_ring_only_by_a_relay_that_is_gone_are_told_of_until_they_are_right(
    stage: Stage,
) -> None:
    phone = Pusher(
        "app", "phone", "http", "App", "Phone", "en", {"url": "https://push.example.org/_matrix/push/v1/notify"}
    )
    twin = replace(
        phone, data={"url": "http://127.0.0.1:8077/_matrix/push/v1/notify", ORIGINAL: {"url": phone.data["url"]}}
    )
    await stage.homeserver.set_pusher(twin)
    async with stage.running():
        await stage.turn_for(0.5)
        # A relay that restarts is passed by for a moment.
        assert stage.troubles.titles == []
        await stage.turn_for(2)
        assert stage.troubles.titles == ["Your homeserver's relay at 127.0.0.1:8077 does not answer"]
        assert "Phone" in stage.troubles.told[0][1]
        await stage.homeserver.set_pusher(phone)
        await stage.turn_for(2)
        assert stage.troubles.standing == {}
