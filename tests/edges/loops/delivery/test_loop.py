"""The delivery loop, over a desktop and a ledger in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from edges.loops.delivery.outcome import HOUR, OTHER_ROOM, room, settled, shown
from edges.loops.stage import DeliveryStage, FakeOpener, WallClock, running
from fakes.desktop import FakeDesktop
from fakes.ledger import FakeLedger
from heliograph.core.delivery import Declined, Move, NeedsUser, RetryLater, State
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Category, Notification, Popup
from heliograph.core.popups.quiet import Through
from heliograph.core.record import Agenda, PopupRecord, Withdrawal
from heliograph.errors import StateError
from heliograph.ports.ledger import Settlement
from support.builders import make_content, make_delivery
from support.waiting import until

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
