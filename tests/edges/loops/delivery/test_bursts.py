"""What comes together is shown together, and heard once."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import DeliveryStage, SyncStage, WallClock, running
from heliograph.core.delivery import State
from heliograph.core.ids import EventId
from heliograph.core.notification import Category
from heliograph.core.popups.bursts import SoundGate
from heliograph.core.record import Delivery
from heliograph.loops.delivery.announcements import PART
from support.builders import make_content, make_delivery
from support.waiting import until

LOUD = make_content(sound="default")


def loud(event_id: str, room: int = 0) -> Delivery:
    return make_delivery(event_id, room_id=f"!{room}:example.org", content=LOUD)


@pytest.fixture
def stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock)


async def all_shown(stage: DeliveryStage) -> None:
    await until(lambda: all(each.state is State.SHOWN for each in stage.ledger.deliveries.values()), "all on screen")


async def test_what_comes_while_more_is_known_to_come_is_one_popup_and_one_sound(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.loop.gather(True)
        for n in range(20):
            await stage.commit(loud(f"${n}"))
            await asyncio.sleep(0.01)
        assert stage.desktop.shown == []
        stage.loop.gather(False)
        await all_shown(stage)
    assert [each.notification.summary for each in stage.desktop.shown] == ["Lunch (20 new)"]
    assert stage.sounds == 1


async def test_no_burst_is_held_back_for_longer_than_two_seconds(stage: DeliveryStage) -> None:
    loop = asyncio.get_running_loop()
    async with running(stage.loop):
        begun = loop.time()
        stage.loop.gather(True)
        await stage.commit(loud("$a"))
        await all_shown(stage)
        assert 1.5 < loop.time() - begun <= 2.1, "by the clock of the loop, which is not that of the wall"


async def test_five_rooms_at_once_sound_once(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(*(loud(f"${n}", n) for n in range(5)))
        await all_shown(stage)
    assert len(stage.desktop.on_screen) == 5
    assert stage.sounds == 1


async def test_a_call_sounds_whatever_sounded_just_now(stage: DeliveryStage) -> None:
    call = make_content("Incoming call", category=Category.CALL, sound="ring")
    async with running(stage.loop):
        await stage.commit(loud("$a"))
        await all_shown(stage)
        await stage.commit(make_delivery("$call", room_id="!call", content=call), loud("$b"))
        await all_shown(stage)
    assert [each.notification.sound for each in stage.desktop.shown] == ["default", "ring", None]


async def test_accounts_that_share_a_gate_sound_once(clock: WallClock) -> None:
    gate = SoundGate()
    one, two = (DeliveryStage(clock, gate=gate) for _ in range(2))
    async with running(one.loop), running(two.loop):
        for stage in (one, two):
            await stage.commit(loud("$a"))
            await all_shown(stage)
    assert one.sounds + two.sounds == 1


async def test_a_thousand_messages_in_a_minute_are_all_shown_with_few_sounds(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        for n in range(1000):
            await stage.commit(loud(f"${n}", n % 3))
            await asyncio.sleep(0.06)
        await all_shown(stage)
    assert len(stage.desktop.on_screen) == 3
    assert 20 <= stage.sounds <= 31
    assert sorted(stage.rang) == sorted(f"${n}" for n in range(1000))


async def test_a_flood_from_many_rooms_is_a_few_popups_and_one_summary(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        for n in range(300):
            await stage.commit(make_delivery(f"${n}", room_id=f"!{n}", content=make_content(room_title=f"Room {n}")))
            await asyncio.sleep(0.03)
        await all_shown(stage)
    titles = [each.summary for each in stage.desktop.on_screen.values()]
    assert titles == [*(f"Room {n}" for n in range(5)), "295 new messages in 295 rooms"]
    assert len(stage.desktop.shown) <= 12


async def test_leaving_waits_for_no_burst(stage: DeliveryStage) -> None:
    loop = asyncio.get_running_loop()
    async with running(stage.loop):
        stage.loop.gather(True)
        await stage.commit(loud("$a"))
        begun = loop.time()
        await stage.loop.rest()
        assert stage.state(EventId("$a")) is State.SHOWN
        assert loop.time() == begun


async def test_the_sync_loop_tells_when_it_catches_up_and_when_it_has(clock: WallClock) -> None:
    stage = SyncStage(clock)
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await until(lambda: stage.heard.catching_up[-1:] == [False], "caught up")
        stage.heard.catching_up.clear()
        await stage.hears(room, "one at a time")
        assert stage.heard.catching_up == []
        await stage.homeserver.drop_connections()
        await stage.hears(room, "while away")
        await until(lambda: len(stage.heard.catching_up) > 1, "caught up again")
    assert stage.heard.catching_up == [True, False]


async def test_what_a_long_absence_brought_is_told_of_in_parts(stage: DeliveryStage) -> None:
    ids = [f"${n}" for n in range(5 * PART)]
    async with running(stage.loop):
        await stage.commit(*(make_delivery(each, room_id=f"!{each}") for each in ids))
        await until(lambda: len(stage.rang) == len(ids))
    assert sorted(stage.rang) == sorted(ids)
    assert stage.most_rang_at_once == PART
