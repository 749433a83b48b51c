"""The delivery loop, over a desktop and a ledger in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from edges.loops.stage import DeliveryStage, FakeOpener, WallClock, running
from fakes.desktop import FakeDesktop
from fakes.ledger import FakeLedger
from heliograph.core.delivery import Declined, Move, NeedsUser, RetryLater, State
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Action, Activated, Category, Closed, Closing, Notification, Popup
from heliograph.core.popups.quiet import Through
from heliograph.core.record import Agenda, Edit, Plan, PopupRecord, Withdrawal
from heliograph.errors import StateError
from heliograph.ports.ledger import Settlement
from support.builders import ROOM, make_content, make_delivery
from support.waiting import until

OTHER_ROOM = RoomId("!other:example.org")
HOUR = 3600


@pytest.fixture
def stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock)


async def shown(stage: DeliveryStage, event_id: str) -> None:
    await until(lambda: stage.state(event_id) is State.SHOWN, f"{event_id} on screen")


async def settled(stage: DeliveryStage, event_id: str, state: State) -> None:
    await until(lambda: stage.state(event_id) is state, f"{event_id} {state.value}")


def room(number: int) -> str:
    return f"!room{number}:example.org"


# To the screen


async def test_a_delivery_is_shown_and_noted(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="hello"))
        await shown(stage, "$a")
    assert stage.desktop.bodies == ["Alice: hello"]
    assert (await stage.ledger.counts())["shown"] == 1


async def test_what_is_on_its_way_to_the_screen_at_the_end_is_noted_and_nothing_more_is_begun(
    stage: DeliveryStage,
) -> None:
    async with running(stage.loop) as task:
        stage.desktop.hang()
        await stage.commit(make_delivery("$a"), make_delivery("$b", room_id=OTHER_ROOM))
        await until(lambda: stage.desktop.calls == 1, "the call")
        stage.loop.finish()
        stage.desktop.answer()
        await task
    assert (stage.state("$a"), stage.state("$b")) == (State.SHOWN, State.PENDING)


async def test_what_was_due_before_the_start_is_shown_at_the_start(stage: DeliveryStage) -> None:
    await stage.commit(make_delivery("$a"))
    async with running(stage.loop):
        await shown(stage, "$a")


async def test_a_room_has_one_popup(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        await stage.commit(make_delivery("$b", text="two"))
        await shown(stage, "$b")
    assert stage.desktop.bodies == ["Alice: one\nAlice: two"]
    assert stage.desktop.shown[1].replaces == stage.desktop.shown[0].popup


async def test_what_rings_is_told_once_and_changes_to_it_are_told(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        await stage.commit(make_delivery("$b"))
        await shown(stage, "$b")
        before = stage.changes
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read"), Withdrawal(EventId("$b"), "read")])
        await until(lambda: not stage.desktop.on_screen and stage.changes > before)
    assert stage.rang == ["$a", "$b"]


async def test_what_waits_for_the_desktop_has_not_rung(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(RetryLater(2, "starting"))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        assert stage.desktop.calls == 2
    assert stage.rang == ["$a"]


async def test_more_rooms_than_wanted_become_one_summary(stage: DeliveryStage) -> None:
    deliveries = [make_delivery(f"${n}", room_id=room(n), content=make_content(room_title=f"R{n}")) for n in range(6)]
    async with running(stage.loop):
        await stage.commit(*deliveries)
        await shown(stage, "$5")
    (summary,) = stage.desktop.on_screen.values()
    assert summary.summary == "6 new messages in 6 rooms"
    assert summary.target.room_id is None


async def test_a_delivery_waits_longer_after_each_failure(stage: DeliveryStage, clock: WallClock) -> None:
    stage.desktop.troubles.extend([RetryLater(None, "busy")] * 3)
    start = clock()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
    assert stage.desktop.calls == 4
    assert 2000 + 4000 + 8000 <= clock() - start < 15_000
    assert stage.ledger.deliveries[EventId("$a")].attempts == 3


async def test_the_desktop_says_when_to_try_again(stage: DeliveryStage, clock: WallClock) -> None:
    stage.desktop.troubles.append(RetryLater(30, "starting"))
    start = clock()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
    assert 30_000 <= clock() - start < 31_000


async def test_a_desktop_that_wants_to_be_asked_at_once_is_not_asked_in_a_busy_loop(stage: DeliveryStage) -> None:
    stage.desktop.troubles.extend([RetryLater(0, "again!")] * 1000)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await asyncio.sleep(60)
    assert stage.desktop.calls <= 121


async def test_a_desktop_that_asks_for_a_day_is_asked_again_within_minutes(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(RetryLater(86_400, "tomorrow"))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await asyncio.sleep(660)
        assert stage.state("$a") is State.SHOWN


async def test_deliveries_wait_for_a_notification_server(stage: DeliveryStage) -> None:
    stage.desktop.vanish()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await asyncio.sleep(HOUR)
        assert stage.state("$a") is State.PENDING
        assert stage.desktop.calls == 0
        assert (await stage.ledger.counts())["pending"] == 1
        stage.desktop.appear()
        await shown(stage, "$a")


async def test_a_server_that_comes_back_gets_what_was_put_off(stage: DeliveryStage, clock: WallClock) -> None:
    stage.desktop.troubles.extend([RetryLater(300, "busy")])
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        start = clock()
        stage.desktop.vanish()
        stage.desktop.appear()
        await shown(stage, "$a")
    assert clock() - start < 1000


@pytest.mark.expected_log("The notification of !room:example.org was refused")
async def test_a_refused_delivery_is_lost_with_its_reason(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(Declined("body too long"))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await settled(stage, "$a", State.LOST)
        await asyncio.sleep(HOUR)
    assert stage.ledger.deliveries[EventId("$a")].why == "body too long"
    assert stage.desktop.calls == 1


@pytest.mark.expected_log("The notification of !room:example.org was refused")
async def test_a_refused_delivery_leaves_what_is_on_screen(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        stage.desktop.troubles.append(Declined("no"))
        await stage.commit(make_delivery("$b", text="two"))
        await settled(stage, "$b", State.LOST)
        assert stage.state("$a") is State.SHOWN
        await stage.commit(make_delivery("$c", text="three"))
        await shown(stage, "$c")
    assert stage.desktop.bodies == ["Alice: one\nAlice: three"]


async def test_what_only_the_user_can_mend_is_tried_again(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(NeedsUser("The output is closed.", "Open it."))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
    assert stage.desktop.calls == 2


# What changes meanwhile


async def test_a_withdrawn_delivery_is_taken_from_the_screen(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)
        await until(lambda: not stage.ledger.popup_records)
    assert stage.state("$a") is State.WITHDRAWN


async def test_what_is_withdrawn_of_several_leaves_the_others(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"), make_delivery("$b", text="two"))
        await shown(stage, "$b")
        await stage.commit(changes=[Withdrawal(EventId("$a"), "deleted")])
        await until(lambda: stage.desktop.bodies == ["Alice: two"])
    assert len(stage.desktop.on_screen) == 1


async def test_an_edit_changes_what_is_shown(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="helo"))
        await shown(stage, "$a")
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: stage.desktop.bodies == ["Alice: hello"])
    assert stage.desktop.shown[1].notification.sound is None


async def test_an_edit_that_changes_nothing_shows_nothing(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="hello"))
        await shown(stage, "$a")
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: not stage.ledger.popup_records[ROOM].is_stale)
    assert stage.desktop.calls == 1


@pytest.mark.parametrize("change", [Edit(EventId("$a"), "changed"), Withdrawal(EventId("$a"), "read elsewhere")])
async def test_what_changes_while_notify_is_under_way_is_on_screen_afterwards(
    stage: DeliveryStage, change: Edit | Withdrawal
) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="first"))
        await until(lambda: stage.desktop.calls == 1)
        await stage.commit(changes=[change])
        stage.desktop.answer()
        wanted = ["Alice: changed"] if isinstance(change, Edit) else []
        await until(lambda: stage.desktop.shown and stage.desktop.bodies == wanted)


async def test_what_is_withdrawn_while_the_desktop_fails_is_never_shown(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(RetryLater(10, "busy"))
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        stage.desktop.answer()
        await asyncio.sleep(HOUR)
    assert stage.desktop.calls == 1
    assert stage.state("$a") is State.CANCELLED


async def test_a_popup_that_cannot_be_closed_now_is_closed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.close_troubles.extend([RetryLater(10, "hung")] * 3)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)


async def test_a_popup_that_cannot_be_changed_now_is_changed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="helo"))
        await shown(stage, "$a")
        stage.desktop.troubles.append(RetryLater(10, "hung"))
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: stage.desktop.bodies == ["Alice: hello"])


async def test_a_popup_to_be_closed_does_not_wait_for_a_delivery_put_off_for_minutes(
    stage: DeliveryStage, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.troubles.append(RetryLater(500, "busy"))
        await stage.commit(make_delivery("$b", room_id=OTHER_ROOM))
        await until(lambda: stage.desktop.calls == 2)
        stage.desktop.close_troubles.append(RetryLater(10, "hung"))
        start = clock()
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)
    assert clock() - start < 60_000


class MeddledLedger(FakeLedger):
    """Something else is committed right after the loop has asked what there is to show."""

    def __init__(self) -> None:
        super().__init__()
        self.meddling: list[Plan] = []

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        agenda = await super().agenda(now_ms, latest_ms, through)
        await self._meddle(self.meddling)
        return agenda

    async def _meddle(self, plans: list[Plan]) -> None:
        while plans:
            await self.commit(plans.pop(), 0)


async def test_a_change_after_the_look_into_the_ledger_closes_nothing_that_is_open(clock: WallClock) -> None:
    ledger = MeddledLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"), make_delivery("$b", text="two"))
        await shown(stage, "$b")
        ledger.meddling.append(Plan("s99", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)))
        stage.loop.wake()
        await until(lambda: not ledger.meddling)
        stage.loop.wake()
        await until(lambda: stage.desktop.bodies == ["Alice: two"])
        assert stage.state("$b") is State.SHOWN


class EditingLedger(FakeLedger):
    """An edit is committed just before a popup that needs no change is noted as such."""

    edit: Edit | None = None

    async def settle(
        self, settlements: Sequence[Settlement], *, shown: PopupRecord | None = None, closed: str | None = None
    ) -> None:
        edit, self.edit = self.edit, None
        if edit is not None:
            await self.commit(Plan("s99", changes=(edit,)), 0)
        await super().settle(settlements, shown=shown, closed=closed)


async def test_an_edit_that_comes_as_its_popup_is_found_unchanged_is_shown(clock: WallClock) -> None:
    ledger = EditingLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        ledger.edit = Edit(EventId("$a"), "two")
        await stage.commit(changes=[Edit(EventId("$a"), "one")])
        await until(lambda: ledger.edit is None)
        stage.loop.wake()
        await until(lambda: stage.desktop.bodies == ["Alice: two"])


# Restarts of the notification server


async def test_what_was_shown_is_not_shown_again_by_another_server(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.vanish()
        stage.desktop.appear()
        await asyncio.sleep(HOUR)
    assert stage.desktop.calls == 1
    assert stage.ledger.popup_records == {}


async def test_ids_of_an_earlier_server_are_never_used(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        stage.desktop.appear()
        await stage.commit(make_delivery("$b", text="two"))
        await shown(stage, "$b")
        assert stage.desktop.shown[1].replaces is None
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await settled(stage, "$a", State.WITHDRAWN)
        await asyncio.sleep(60)
    assert stage.desktop.bodies == ["Alice: two"]


async def test_a_server_that_goes_while_notify_is_under_way_costs_nothing(stage: DeliveryStage) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        stage.desktop.vanish()
        stage.desktop.answer()
        await asyncio.sleep(60)
        assert stage.state("$a") is State.PENDING
        stage.desktop.appear()
        await shown(stage, "$a")
    assert stage.desktop.bodies == ["Alice: hello"]


async def test_a_server_that_comes_and_goes_while_the_loop_is_busy_is_the_last_that_counts(
    stage: DeliveryStage,
) -> None:
    async with running(stage.loop):
        stage.desktop.hang()
        await stage.commit(make_delivery("$a"), make_delivery("$b", room_id=OTHER_ROOM))
        await until(lambda: stage.desktop.calls == 1)
        stage.desktop.vanish()
        stage.desktop.appear()
        stage.desktop.answer()
        await shown(stage, "$a")
        await shown(stage, "$b")
        await asyncio.sleep(60)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read"), Withdrawal(EventId("$b"), "read")])
        await until(lambda: not stage.desktop.on_screen)


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


# Notices of our own


async def test_a_notice_waits_for_a_server(stage: DeliveryStage) -> None:
    stage.desktop.vanish()
    stage.loop.tell("Signed out", "Log in again.")
    async with running(stage.loop):
        told = asyncio.create_task(stage.loop.all_told())
        await asyncio.sleep(60)
        assert not told.done()
        stage.desktop.appear()
        await asyncio.wait_for(told, 60)


async def test_a_notice_is_tried_until_it_is_shown(stage: DeliveryStage) -> None:
    stage.desktop.troubles.extend([RetryLater(10, "hung")] * 3)
    stage.loop.tell("Signed out", "Log in again.")
    async with running(stage.loop):
        await asyncio.wait_for(stage.loop.all_told(), 120)
    assert stage.desktop.bodies == ["Log in again."]


async def test_nothing_to_tell_is_told_at_once(stage: DeliveryStage) -> None:
    await stage.loop.all_told()


# A disk that fails


@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_while_the_disk_is_full_what_was_shown_is_not_shown_again(
    stage: DeliveryStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        stage.ledger.is_full = True
        stage.desktop.answer()
        await asyncio.sleep(HOUR)
        assert stage.desktop.bodies[1:] == ["Free some space or mend the disk: the fake disk is full."]
        stage.ledger.is_full = False
        await shown(stage, "$a")
        await until(lambda: len(stage.desktop.bodies) == 1)
    assert len([each for each in stage.desktop.shown if each.notification.category is not Category.DEVICE]) == 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Deliveries wait for the disk: the fake disk is full"
    ]


class ReadonlyLedger(FakeLedger):
    """Reads work, writes do not."""

    is_readonly = False

    async def settle(
        self, settlements: Sequence[Settlement], *, shown: PopupRecord | None = None, closed: str | None = None
    ) -> None:
        self.is_full = self.is_readonly
        try:
            await super().settle(settlements, shown=shown, closed=closed)
        finally:
            self.is_full = False


@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_a_click_opens_its_room_once_even_if_that_cannot_be_written_down(clock: WallClock) -> None:
    ledger = ReadonlyLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        ledger.is_readonly = True
        stage.desktop.click(stage.popup_ids[0])
        await asyncio.sleep(HOUR)
        assert len(stage.opener.opened) == 1
        ledger.is_readonly = False
        await settled(stage, "$a", State.OPENED)
    assert len(stage.opener.opened) == 1


@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_a_disk_that_fails_at_the_start_does_not_silence_the_notice_of_it(stage: DeliveryStage) -> None:
    stage.ledger.is_full = True
    async with running(stage.loop):
        await until(lambda: stage.desktop.bodies == ["Free some space or mend the disk: the fake disk is full."])
        stage.ledger.is_full = False
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")


@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_signals_wait_for_the_disk_and_are_not_lost(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.ledger.is_full = True
        stage.desktop.dismiss(stage.popup_ids[0])
        await asyncio.sleep(HOUR)
        stage.ledger.is_full = False
        await settled(stage, "$a", State.DISMISSED)


class DamagedLedger(FakeLedger):
    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        raise StateError("ledger.db is damaged", "Move it away.")


@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_a_damaged_ledger_is_said_once_and_without_a_traceback(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    stage = DeliveryStage(clock, ledger=DamagedLedger())
    async with running(stage.loop):
        await asyncio.sleep(60)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is None


# Faults, clocks, and being stuck


class FaultyOpener(FakeOpener):
    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        await super().open(room_id, event_id, token)
        raise RuntimeError("a fault of our own")


@pytest.mark.expected_log("Unexpected fault in what the user did with a notification")
async def test_a_fault_of_our_own_neither_ends_nor_blocks_nor_repeats(clock: WallClock) -> None:
    opener = FaultyOpener()
    stage = DeliveryStage(clock, opener=opener)
    async with running(stage.loop) as task:
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.click(stage.popup_ids[0])
        await until(lambda: opener.opened)
        await stage.commit(make_delivery("$b", room_id=OTHER_ROOM))
        await shown(stage, "$b")
        await asyncio.sleep(HOUR)
        assert not task.done()
    assert len(opener.opened) == 1


async def test_a_clock_set_back_by_years_does_not_hold_up_a_retry(stage: DeliveryStage, clock: WallClock) -> None:
    stage.desktop.troubles.append(RetryLater(10, "busy"))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.ledger.deliveries[EventId("$a")].attempts == 1)
        clock.jump(-10 * 365 * 24 * HOUR)
        await asyncio.sleep(60)
        assert stage.state("$a") is State.SHOWN


async def test_a_clock_set_forward_shows_nothing_twice(stage: DeliveryStage, clock: WallClock) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        clock.jump(10 * 365 * 24 * HOUR)
        await stage.commit(make_delivery("$b", room_id=OTHER_ROOM))
        await shown(stage, "$b")
    assert stage.desktop.calls == 2


async def test_a_call_that_never_returns_counts_as_stuck(stage: DeliveryStage, clock: WallClock) -> None:
    async with running(stage.loop):
        assert not stage.loop.is_stuck(clock(), 60_000)
        stage.desktop.hang()
        await stage.commit(make_delivery("$a"))
        await asyncio.sleep(61)
        assert stage.loop.is_stuck(clock(), 60_000)
        stage.desktop.answer()
        await shown(stage, "$a")
        await asyncio.sleep(61)
        assert not stage.loop.is_stuck(clock(), 60_000)


class SlowDesktop(FakeDesktop):
    """A hung server's: each call ends after its time-out, in RetryLater."""

    async def show(self, notification: Notification, replaces: Popup | None) -> RetryLater:
        await asyncio.sleep(5)
        return RetryLater(10, "no answer within 5 s")


async def test_many_calls_to_a_hung_server_do_not_count_as_stuck(clock: WallClock) -> None:
    stage = DeliveryStage(clock, desktop=SlowDesktop(), max_rooms=50)
    await stage.commit(*(make_delivery(f"${n}", room_id=room(n)) for n in range(40)))
    async with running(stage.loop):
        for _ in range(300):
            await asyncio.sleep(1)
            assert not stage.loop.is_stuck(clock(), 60_000)


class CountingLedger(FakeLedger):
    asked = 0

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        self.asked += 1
        return await super().agenda(now_ms, latest_ms, through)


async def test_an_idle_loop_asks_nothing_of_anyone(clock: WallClock) -> None:
    ledger = CountingLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        await asyncio.sleep(1)
        before = ledger.asked
        await asyncio.sleep(24 * HOUR)
    assert ledger.asked == before


async def test_moves_that_no_longer_fit_are_passed_over(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        await stage.ledger.settle([Settlement(EventId("$a"), Move.OPENED)])
        stage.desktop.dismiss(stage.popup_ids[0])
        await until(lambda: not stage.ledger.popup_records)
    assert stage.state("$a") is State.OPENED


# Questions of our own

QUESTION = Notification("Same?", "🐶", "@me:example.org", actions=(Action("yes", "Yes"), Action("no", "No")))


async def test_a_question_is_answered_once_and_goes(stage: DeliveryStage) -> None:
    answers: list[str] = []
    async with running(stage.loop):
        stage.loop.ask("q", QUESTION, answers.append)
        await until(lambda: stage.desktop.on_screen, "the question")
        [popup_id] = stage.popup_ids
        stage.desktop.signal(Activated(stage.desktop.popup(popup_id), "yes"))
        stage.desktop.signal(Activated(stage.desktop.popup(popup_id), "no"))
        await until(lambda: not stage.desktop.on_screen, "its end")
    assert answers == ["yes"]


async def test_a_question_that_is_taken_back_goes(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.loop.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.loop.withdraw("q")
        await until(lambda: not stage.desktop.on_screen, "its end")
        stage.loop.withdraw("q")


async def test_a_click_beside_the_answers_asks_again(stage: DeliveryStage) -> None:
    answers: list[str] = []
    async with running(stage.loop):
        stage.loop.ask("q", QUESTION, answers.append)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.click(stage.popup_ids[0])
        await until(lambda: stage.desktop.calls == 2, "the question again")
    assert answers == []
    assert stage.opener.opened == []


async def test_a_question_comes_back_with_a_new_notification_server(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.loop.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.vanish()
        stage.desktop.appear()
        await until(lambda: stage.desktop.on_screen, "the question again")


async def test_a_question_that_was_put_aside_stays_aside(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.loop.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.dismiss(stage.popup_ids[0])
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
    assert [each.summary for each in stage.desktop.on_screen.values()] != ["Same?"]
