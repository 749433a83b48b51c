"""What the user does with popups, and with their rooms elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.delivery.outcome import OTHER_ROOM, room, settled, shown
from edges.loops.stage import DeliveryStage, WallClock, running
from heliograph.core.delivery import RetryLater, State
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Activated, Category, Closed, Closing, Popup
from heliograph.core.record import Withdrawal
from support.builders import ROOM, make_content, make_delivery
from support.waiting import until

# Opened by other means


async def test_a_room_that_was_opened_otherwise_is_not_unread_and_its_popup_goes(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"), make_delivery("$b"))
        await shown(stage, "$b")
        stage.loop.note_opened(ROOM)
        await settled(stage, "$a", State.OPENED)
        await settled(stage, "$b", State.OPENED)
        await until(lambda: not stage.desktop.on_screen)
    assert await stage.ledger.unread() == ()


async def test_a_room_that_was_opened_otherwise_leaves_the_summary(stage: DeliveryStage) -> None:
    deliveries = [make_delivery(f"${n}", room_id=room(n), content=make_content(room_title=f"R{n}")) for n in range(6)]
    async with running(stage.loop):
        await stage.commit(*deliveries)
        await shown(stage, "$5")
        stage.loop.note_opened(RoomId(room(2)))
        await settled(stage, "$2", State.OPENED)
        await until(lambda: "R2" not in stage.desktop.bodies[0])
    assert len(stage.desktop.bodies) == 1
    assert stage.state("$1") is State.SHOWN


async def test_what_was_closed_before_is_settled_by_opening_its_room(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.dismiss(stage.popup_ids[0])
        await settled(stage, "$a", State.DISMISSED)
        stage.loop.note_opened(ROOM)
        await settled(stage, "$a", State.OPENED)


async def test_opening_a_room_without_news_changes_nothing(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.loop.note_opened(OTHER_ROOM)
        await stage.commit(make_delivery("$b"))
        await shown(stage, "$b")
    assert stage.state("$a") is State.SHOWN


async def test_a_word_of_our_own_is_done_with_when_it_is_closed(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("start:1", room_id=""))
        await shown(stage, "start:1")
        stage.desktop.dismiss(stage.popup_ids[0])
        await settled(stage, "start:1", State.OPENED)


# From the screen


@pytest.mark.parametrize("act", ["dismiss", "expire"])
async def test_a_popup_that_goes_settles_what_it_showed(stage: DeliveryStage, act: str) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"), make_delivery("$b"))
        await shown(stage, "$b")
        getattr(stage.desktop, act)(stage.popup_ids[0])
        await settled(stage, "$a", State.DISMISSED)
        await settled(stage, "$b", State.DISMISSED)
        await stage.commit(make_delivery("$c", text="new"))
        await shown(stage, "$c")
    assert stage.desktop.bodies == ["Alice: new"]


async def test_a_click_opens_the_room_and_takes_the_popup_away(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"), make_delivery("$b"))
        await shown(stage, "$b")
        stage.desktop.click(stage.popup_ids[0], token="token")
        await settled(stage, "$b", State.OPENED)
        await settled(stage, "$a", State.OPENED)
    assert stage.opener.opened == [(ROOM, "$b", "token")]
    assert stage.desktop.on_screen == {}
    assert stage.ledger.popup_records == {}


async def test_a_click_on_a_summary_opens_the_client_as_it_is(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(*(make_delivery(f"${n}", room_id=room(n)) for n in range(6)))
        await shown(stage, "$5")
        stage.desktop.click(stage.popup_ids[0])
        await settled(stage, "$5", State.OPENED)
    assert stage.opener.opened == [(None, None, None)]


async def test_a_popup_that_was_clicked_and_cannot_be_closed_now_is_closed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.close_troubles.append(RetryLater(10, "hung"))
        stage.desktop.click(stage.popup_ids[0])
        await settled(stage, "$a", State.OPENED)
        await until(lambda: not stage.desktop.on_screen)
        await until(lambda: not stage.ledger.popup_records)
    assert len(stage.opener.opened) == 1


async def test_a_missing_client_is_told_of_with_each_click_in_one_place(stage: DeliveryStage) -> None:
    stage.opener.works = False
    async with running(stage.loop):
        for event_id, room_id in (("$a", ROOM), ("$b", OTHER_ROOM)):
            await stage.commit(make_delivery(event_id, room_id=room_id))
            await shown(stage, event_id)
            popup = next(record.popup for record in stage.ledger.popup_records.values())
            stage.desktop.click(popup.id)
            await settled(stage, event_id, State.OPENED)
        await asyncio.sleep(60)
    notices = [each.notification for each in stage.desktop.shown if each.notification.category is Category.DEVICE]
    assert [notice.summary for notice in notices] == ["No Matrix client could be opened"] * 2
    assert len(stage.desktop.on_screen) == 1


async def test_a_popup_closed_just_before_it_is_replaced_does_not_dismiss_what_replaces_it(
    stage: DeliveryStage,
) -> None:
    """dunst gives a replacement the id that was asked for, even if that popup has just been closed."""
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        popup = stage.desktop.popup(stage.popup_ids[0])
        stage.desktop.hang()
        await stage.commit(make_delivery("$b", text="two"))
        await until(lambda: stage.desktop.calls == 2)
        stage.desktop.signal(Closed(popup, Closing.DISMISSED))
        stage.desktop.answer()
        await shown(stage, "$b")
        await asyncio.sleep(60)
        assert stage.state("$b") is State.SHOWN
        stage.desktop.dismiss(popup.id)
        await settled(stage, "$b", State.DISMISSED)


async def test_signals_about_popups_of_others_are_ignored(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        for stranger in (Popup("fake:1", 4_000_000), Popup("elsewhere", stage.popup_ids[0])):
            stage.desktop.signal(Activated(stranger, "default"))
            stage.desktop.signal(Closed(stranger, Closing.DISMISSED))
        await asyncio.sleep(60)
    assert stage.state("$a") is State.SHOWN
    assert stage.opener.opened == []


async def test_a_flood_of_signals_neither_hides_a_new_server_nor_fills_the_memory(stage: DeliveryStage) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        for number in range(30_000):
            stage.desktop.signal(Closed(Popup("fake:1", 1_000 + number), Closing.EXPIRED))
        stage.desktop.appear()
        stage.desktop.answer()
        await shown(stage, "$a")
    assert stage.desktop.bodies == ["Alice: hello"]


async def test_two_accounts_do_not_touch_each_others_popups(clock: WallClock) -> None:
    mine = DeliveryStage(clock)
    hers = DeliveryStage(clock, desktop=mine.desktop, me="@alice:example.org")
    async with running(mine.loop), running(hers.loop):
        await mine.commit(make_delivery("$a", text="for me"))
        await hers.commit(make_delivery("$b", text="for her"))
        await shown(mine, "$a")
        await shown(hers, "$b")
        assert sorted(mine.desktop.bodies) == ["Alice: for her", "Alice: for me"]
        mine.desktop.dismiss(hers.ledger.popup_records[ROOM].popup.id)
        await settled(hers, "$b", State.DISMISSED)
        await asyncio.sleep(60)
        assert mine.state(EventId("$a")) is State.SHOWN
        await mine.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not mine.desktop.on_screen)
