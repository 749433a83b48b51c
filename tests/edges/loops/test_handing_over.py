"""What handing over asks of the other loops: to collect what there is, to be silent or wait, to keep the fallback."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edges.loops.stage import DeliveryStage, SyncStage, WallClock, running
from edges.loops.test_pushers import OURS, PushingHomeserver
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from fakes.notices import FakeNotices
from heliograph.core.delivery import State
from heliograph.core.ids import EventId
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.record import Withdrawal
from heliograph.errors import LoggedOut, Refused, Unreachable
from heliograph.loops.pushers import PusherLoop
from heliograph.loops.sync.collecting import COLLECT_ROUNDS
from heliograph.ports.homeserver import Features
from support.builders import make_content, make_delivery, make_pusher
from support.waiting import until

FALLBACK = make_pusher(app_id="fallback", pushkey="topic")


# Collecting


@pytest.fixture
def sync_stage(clock: WallClock) -> SyncStage:
    return SyncStage(clock)


async def test_collecting_ends_a_poll_and_syncs_without_waiting(sync_stage: SyncStage) -> None:
    async with running(sync_stage.loop):
        await sync_stage.connected()
        began = asyncio.get_running_loop().time()
        assert await sync_stage.loop.collect()
        assert asyncio.get_running_loop().time() - began < 1
        await until(lambda: sync_stage.homeserver.requests[-1].timeout_ms > 0, "the next poll")
    assert [each.timeout_ms for each in sync_stage.homeserver.requests[-3:]] == [50_000, 0, 50_000]


async def test_what_was_there_when_it_was_called_is_in_the_ledger_and_acknowledged(sync_stage: SyncStage) -> None:
    room = await sync_stage.room()
    async with running(sync_stage.loop):
        await sync_stage.connected()
        await sync_stage.alice.send_text(room, "just before")
        assert await sync_stage.loop.collect()
        assert "just before" in sync_stage.rung
        # The sync after the one that brought it.
        assert sync_stage.homeserver.requests[-1].since == sync_stage.ledger.state.next_batch


async def test_where_news_never_end_collecting_does(sync_stage: SyncStage) -> None:
    room = await sync_stage.room()
    async with running(sync_stage.loop):
        await sync_stage.connected()
        count = len(sync_stage.homeserver.requests)
        original = sync_stage.homeserver.sync

        async def talkative(request: object) -> object:
            await sync_stage.alice.send_text(room, "more")
            return await original(request)  # type: ignore[arg-type]

        sync_stage.homeserver.sync = talkative  # type: ignore[method-assign,assignment]
        assert await sync_stage.loop.collect()
        assert len(sync_stage.homeserver.requests) - count <= COLLECT_ROUNDS + 1
        sync_stage.homeserver.sync = original  # type: ignore[method-assign]


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_a_homeserver_that_cannot_be_reached_is_no_collection(sync_stage: SyncStage) -> None:
    async with running(sync_stage.loop):
        await sync_stage.connected()
        sync_stage.homeserver.failures.append(Unreachable("gone"))
        assert not await sync_stage.loop.collect()
        assert await sync_stage.loop.collect()


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_collecting_leaves_the_back_off(sync_stage: SyncStage) -> None:
    async with running(sync_stage.loop):
        await sync_stage.connected()
        sync_stage.homeserver.failures.extend([Unreachable("gone")] * 12)
        await sync_stage.homeserver.drop_connections()
        await until(lambda: len(sync_stage.homeserver.failures) < 3, "the back-off")
        sync_stage.homeserver.failures.clear()
        began = asyncio.get_running_loop().time()
        assert await sync_stage.loop.collect()
        assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.expected_log("checking whether @me:example.org was signed out")
async def test_an_account_that_is_signed_out_collects_nothing(sync_stage: SyncStage) -> None:
    async with running(sync_stage.loop):
        await sync_stage.connected()
        sync_stage.homeserver.failures.append(LoggedOut(soft=True))
        assert not await sync_stage.loop.collect()


async def test_who_gives_up_waiting_leaves_nothing_behind(sync_stage: SyncStage) -> None:
    wish = asyncio.create_task(sync_stage.loop.collect())
    await asyncio.sleep(1)
    wish.cancel()
    await asyncio.gather(wish, return_exceptions=True)
    async with running(sync_stage.loop):
        await sync_stage.connected()


# Silence


@pytest.fixture
def delivery_stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock)


LOUD = make_content(sound="default")


async def test_hushed_notifications_go_up_without_sound(delivery_stage: DeliveryStage) -> None:
    async with running(delivery_stage.loop):
        delivery_stage.loop.hush("silent")
        await delivery_stage.commit(make_delivery("$a", content=LOUD))
        await until(lambda: delivery_stage.state(EventId("$a")) is State.SHOWN)
        delivery_stage.loop.hush("ring")
        await delivery_stage.commit(make_delivery("$b", content=LOUD))
        await until(lambda: delivery_stage.state(EventId("$b")) is State.SHOWN)
    assert [each.notification.sound for each in delivery_stage.desktop.shown] == [None, "default"]


async def test_waiting_notifications_go_up_on_the_return(delivery_stage: DeliveryStage) -> None:
    async with running(delivery_stage.loop):
        await delivery_stage.commit(make_delivery("$shown"))
        await until(lambda: delivery_stage.state(EventId("$shown")) is State.SHOWN)
        delivery_stage.loop.hush("wait")
        await delivery_stage.commit(make_delivery("$waits", content=LOUD), make_delivery("$read"))
        await delivery_stage.loop.rest()
        assert len(delivery_stage.desktop.shown) == 1
        # What was read on the other device is gone before the user is back.
        changes = [Withdrawal(EventId("$read"), "read elsewhere"), Withdrawal(EventId("$shown"), "read elsewhere")]
        await delivery_stage.commit(changes=changes)
        await until(lambda: delivery_stage.desktop.on_screen == {})
        assert delivery_stage.state(EventId("$waits")) is State.PENDING
        delivery_stage.loop.hush("ring")
        await until(lambda: delivery_stage.state(EventId("$waits")) is State.SHOWN)
    assert delivery_stage.state(EventId("$read")) is State.CANCELLED
    assert delivery_stage.desktop.shown[-1].notification.sound == "default"


async def test_rest_comes_when_what_is_due_was_tried(delivery_stage: DeliveryStage) -> None:
    async with running(delivery_stage.loop):
        await delivery_stage.commit(*(make_delivery(f"${number}", room_id=f"!{number}:x") for number in range(3)))
        await delivery_stage.loop.rest()
        assert len(delivery_stage.desktop.shown) == 3
        await delivery_stage.loop.rest()


# The fallback


class FallbackStage:
    def __init__(self, clock: WallClock, fallback: bool = True) -> None:
        self.homeserver = PushingHomeserver()
        self.ledger = FakeLedger()
        self.troubles = FakeNotices()
        self.listed: list[tuple[Pusher, ...]] = []
        self.switches: list[bool] = []
        self.loop = PusherLoop(
            self.homeserver,
            self.ledger,
            OURS,
            clock=clock,
            jitter=lambda: 0.5,
            features=lambda: Features(has_remote_toggle=True),
            is_connected=lambda: False,
            is_handed_over=lambda: OURS.key in self.ledger.state.switched_off,
            on_switch=self.switches.append,
            fallback=FALLBACK if fallback else None,
            on_pushers=self.listed.append,
            troubles=self.troubles,
        )

    async def look(self, times: int = 1) -> None:
        task = asyncio.create_task(self.loop.run())
        for _ in range(times):
            count = self.homeserver.looks
            while self.homeserver.looks == count:
                self.loop.turn()
                await asyncio.sleep(1)
            await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def fallbacks_sent(self) -> int:
        return sum(each.kind == "http" for each in self.homeserver.sent)


@pytest.fixture
def stage(clock: WallClock) -> FallbackStage:
    return FallbackStage(clock)


async def test_the_fallback_is_registered_once(stage: FallbackStage) -> None:
    await stage.look(5)
    assert stage.fallbacks_sent == 1
    assert stage.ledger.state.fallback == FALLBACK.key
    assert stage.loop.fallback_state == "registered"
    assert len(stage.listed) == 5
    assert {pusher.pushkey for pusher in stage.listed[0]} == {OURS.pushkey, "topic"}


async def test_a_fallback_that_is_there_is_not_sent_again(stage: FallbackStage) -> None:
    await FakeHomeserver.set_pusher(stage.homeserver, replace(FALLBACK, is_enabled=False))
    await stage.ledger.set_switched_off([FALLBACK.key])
    await stage.look(3)
    assert stage.fallbacks_sent == 0
    assert stage.loop.fallback_state == "registered"


async def test_a_fallback_that_another_client_switched_off_is_obeyed_and_told(stage: FallbackStage) -> None:
    await FakeHomeserver.set_pusher(stage.homeserver, replace(FALLBACK, is_enabled=False, lang="old"))
    await stage.look(3)
    assert [each.is_enabled for each in stage.homeserver.sent if each.kind == "http"] == [False]
    assert stage.loop.fallback_state == "switched off by another client"


async def test_a_fallback_that_was_removed_is_told_of_and_not_brought_back(stage: FallbackStage) -> None:
    await stage.look()
    await stage.homeserver.remove_pusher(*FALLBACK.key)
    await stage.look(3)
    assert stage.fallbacks_sent == 1
    assert stage.troubles.titles == ["The fallback was removed"]
    assert "removed" in stage.loop.fallback_state
    await FakeHomeserver.set_pusher(stage.homeserver, FALLBACK)
    await stage.look(3)
    assert not stage.troubles.standing
    await stage.homeserver.remove_pusher(*FALLBACK.key)
    await stage.look(3)
    assert len(stage.troubles.told) == 2


async def test_a_homeserver_that_forgot_all_our_pushers_gets_them_again(stage: FallbackStage) -> None:
    await stage.look()
    for pusher in (FALLBACK, OURS):
        await stage.homeserver.remove_pusher(*pusher.key)
    await stage.look()
    assert stage.fallbacks_sent == 2
    assert stage.troubles.told == []


async def test_another_fallback_takes_the_place_of_the_one_before(stage: FallbackStage) -> None:
    old = replace(FALLBACK, pushkey="old topic")
    await FakeHomeserver.set_pusher(stage.homeserver, old)
    await stage.ledger.set_fallback(old.key)
    await stage.look()
    assert {each.pushkey for each in await FakeHomeserver.pushers(stage.homeserver)} == {OURS.pushkey, "topic"}


async def test_a_fallback_that_is_configured_no_longer_is_removed(clock: WallClock) -> None:
    stage = FallbackStage(clock, fallback=False)
    await FakeHomeserver.set_pusher(stage.homeserver, FALLBACK)
    await stage.ledger.set_fallback(FALLBACK.key)
    await stage.look(2)
    assert [each.kind for each in await FakeHomeserver.pushers(stage.homeserver)] == ["direct"]
    assert stage.ledger.state.fallback is None
    assert stage.loop.fallback_state == "none"


@pytest.mark.expected_log(r"The homeserver does not take our direct pusher \(https only\)")
@pytest.mark.expected_log(r"The homeserver does not take our http pusher \(https only\)")
async def test_a_fallback_that_the_homeserver_refuses_is_told_of(stage: FallbackStage) -> None:
    stage.homeserver.refusal = Refused(400, "M_INVALID_PARAM", "https only")
    await stage.look(3)
    assert stage.loop.fallback_state == "refused by the homeserver"
    assert stage.fallbacks_sent == 1


async def test_our_own_switch_is_not_taken_for_another_clients(stage: FallbackStage) -> None:
    await FakeHomeserver.set_pusher(stage.homeserver, replace(OURS, is_enabled=False))
    await stage.ledger.set_switched_off([OURS.key])
    await stage.look(2)
    assert stage.switches == []
    assert stage.ledger.state.is_pusher_enabled
    assert not stage.loop.is_listing
    assert [each.kind for each in stage.homeserver.sent] == ["http"]


async def test_a_pusher_that_was_lost_while_handed_over_comes_back_switched_off(stage: FallbackStage) -> None:
    await stage.ledger.set_switched_off([OURS.key])
    await stage.look()
    assert replace(OURS, is_enabled=False) in stage.homeserver.sent
    assert stage.switches == []
