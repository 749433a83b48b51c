"""One message, popup, click or notice that finds a fault of ours: it is given up alone, and all else goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

import pytest

from edges.loops.stage import DeliveryStage, FakeOpener, WallClock, running
from fakes.desktop import FakeDesktop
from fakes.ledger import FakeLedger
from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater, State
from heliograph.core.ids import EventId, RoomId, event_key
from heliograph.core.notification import Category, Notification, Picture, Popup
from heliograph.core.popups import arrange as popups_module
from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.popups.text import word_room
from heliograph.core.record import Change, Content, Delivery, Edit, PopupRecord, Rewrite, Withdrawal
from heliograph.core.suspects import TRIES
from heliograph.ports.ledger import Settlement
from support.builders import ROOM, make_content, make_delivery
from support.log_guard import ExpectLog
from support.waiting import until

OTHER_ROOM = "!other:example.org"
HOUR = 3600
TOLD = "A message could not be shown"

Outcome = Done[Popup] | RetryLater | Declined | NeedsUser


class FaultyDesktop(FakeDesktop):
    """Showing what holds `poison` raises, as often as `faults` says; closing does so as often as `close_faults`."""

    def __init__(self, faults: int = 10**9, close_faults: int = 0) -> None:
        super().__init__()
        self.faults = faults
        self.close_faults = close_faults

    async def show(self, notification: Notification, replaces: Popup | None) -> Outcome:
        if "poison" in notification.body and self.faults:
            self.calls += 1
            self.faults -= 1
            raise ValueError("it cannot be marshalled")
        return await super().show(notification, replaces)

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        if self.close_faults:
            self.close_faults -= 1
            raise ValueError("a fault of our own")
        return await super().close(popup)


@pytest.fixture
def stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock, desktop=FaultyDesktop())


async def settled(stage: DeliveryStage, event_id: str, state: State = State.SHOWN) -> None:
    await until(lambda: stage.state(event_id) is state, f"{event_id} {state.value}")


def titles(stage: DeliveryStage) -> list[str]:
    return [each.notification.summary for each in stage.desktop.shown]


def room(number: int) -> str:
    return f"!room{number}:example.org"


# Messages


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=3)
async def test_a_message_that_cannot_be_shown_is_given_up_alone_with_a_reason_and_a_notice(
    stage: DeliveryStage, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$p", text="poison"))
        await until(lambda: stage.desktop.calls)
        began = asyncio.get_running_loop().time()
        for number in range(3):
            await stage.commit(make_delivery(f"$g{number}", room_id=room(number)))
        await settled(stage, "$g2")
        # It waits for nothing that the other did.
        assert asyncio.get_running_loop().time() < began + 1
        await settled(stage, "$p", State.LOST)
        await until(lambda: TOLD in titles(stage))
        await asyncio.sleep(HOUR)
    assert stage.ledger.deliveries[EventId("$p")].why == "a fault of Heliograph's own (ValueError)"
    assert titles(stage).count(TOLD) == 1
    assert "heliograph explain $p" in stage.desktop.shown[-1].notification.body
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(faults) == TRIES
    assert all(record.exc_info for record in faults)


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:")
async def test_a_fault_that_passes_costs_a_message_some_seconds(clock: WallClock) -> None:
    stage = DeliveryStage(clock, desktop=FaultyDesktop(faults=1))
    async with running(stage.loop):
        await stage.commit(make_delivery("$p", text="poison"))
        await asyncio.sleep(10)
        assert stage.state("$p") is State.SHOWN
    assert TOLD not in titles(stage)


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=6)
async def test_of_several_in_one_room_the_others_are_shown(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(*(make_delivery(f"$g{number}") for number in range(5)))
        await stage.commit(make_delivery("$p", text="poison"), *(make_delivery(f"$h{number}") for number in range(2)))
        await settled(stage, "$p", State.LOST)
        for event_id in [f"$g{number}" for number in range(5)] + [f"$h{number}" for number in range(2)]:
            await settled(stage, event_id)
        assert len(stage.popup_ids) == 2


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of summary:")
@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=3)
async def test_of_several_in_a_summary_the_others_are_shown(stage: DeliveryStage) -> None:
    many = [make_delivery(f"$g{number}", room_id=room(number)) for number in range(20)]
    content = make_content("poison", is_highlight=True, room_title="poison")
    async with running(stage.loop):
        await stage.commit(*many, make_delivery("$p", content=content))
        await settled(stage, "$p", State.LOST)
        for each in many:
            await settled(stage, each.event_id)


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=3)
async def test_a_message_that_cannot_be_put_into_words_is_given_up_alone(
    clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = DeliveryStage(clock)

    def word_or_fail(contents: Sequence[Content], *rest: object) -> object:
        if any(content.text == "poison" for content in contents):
            raise RecursionError("a fault of our own")
        return word_room(contents, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(popups_module, "word_room", word_or_fail)
    async with running(stage.loop):
        await stage.commit(make_delivery("$p", text="poison"), make_delivery("$a", room_id=OTHER_ROOM))
        await settled(stage, "$a")
        await settled(stage, "$p", State.LOST)
        await stage.commit(make_delivery("$b"))
        await settled(stage, "$b")


@pytest.mark.expected_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=4)
async def test_a_message_that_becomes_faulty_on_screen_stays_as_it_is_and_keeps_no_other_from_it(
    stage: DeliveryStage,
) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="good"))
        await settled(stage, "$a")
        await stage.commit(changes=[Edit(EventId("$a"), "poison")])
        await asyncio.sleep(60)
        assert stage.desktop.bodies == ["Alice: good"]
        assert not stage.ledger.popup_records[ROOM].is_stale
        await stage.commit(make_delivery("$b", text="next"))
        await settled(stage, "$b")
        assert stage.state("$a") is State.SHOWN
        assert "next" in stage.desktop.bodies[0]


# Popups


@pytest.mark.parametrize("faults", [1, TRIES])
async def test_a_popup_that_cannot_be_closed_is_let_go_alone(
    clock: WallClock, faults: int, expect_log: ExpectLog
) -> None:
    expect_log("loops.delivery.retries error: Unexpected fault in the notification of !room:", times=faults)
    stage = DeliveryStage(clock, desktop=FaultyDesktop(close_faults=faults))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await settled(stage, "$a")
        await stage.commit(
            make_delivery("$b", room_id=OTHER_ROOM), changes=[Withdrawal(EventId("$a"), "read elsewhere")]
        )
        await settled(stage, "$b")
        await until(lambda: ROOM not in stage.ledger.popup_records)
        assert stage.state("$a") is State.WITHDRAWN
        assert len(stage.popup_ids) == (1 if faults < TRIES else 2)


@pytest.mark.expected_log("system.tasks error: Unexpected fault in closing the notification of !room:")
async def test_a_popup_that_cannot_be_closed_after_a_click_is_closed_later(clock: WallClock) -> None:
    stage = DeliveryStage(clock, desktop=FaultyDesktop(close_faults=1))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await settled(stage, "$a")
        stage.desktop.click(stage.popup_ids[0])
        await settled(stage, "$a", State.OPENED)
        await until(lambda: not stage.popup_ids)


class FaultyOpener(FakeOpener):
    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        await super().open(room_id, event_id, token)
        raise RuntimeError("a fault of our own")


@pytest.mark.expected_log("loops.delivery.signals error: Unexpected fault in what the user did with a notification")
async def test_a_click_that_finds_a_fault_is_not_repeated_and_is_told(clock: WallClock) -> None:
    opener = FaultyOpener()
    stage = DeliveryStage(clock, opener=opener)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"), make_delivery("$b", room_id=OTHER_ROOM))
        await settled(stage, "$b")
        first, second = stage.popup_ids
        stage.desktop.click(first)
        stage.desktop.dismiss(second)
        await settled(stage, "$b", State.DISMISSED)
        await until(lambda: "What you did with a notification may not have worked" in titles(stage))
        await asyncio.sleep(HOUR)
    assert len(opener.opened) == 1


# What becomes of it


class FaultyLedger(FakeLedger):
    """Cannot write down what becomes of `$p`."""

    async def settle(
        self, settlements: Sequence[Settlement], *, shown: PopupRecord | None = None, closed: str | None = None
    ) -> None:
        if any(each.event_id == "$p" for each in settlements):
            raise ValueError("a fault of our own")
        await super().settle(settlements, shown=shown, closed=closed)


@pytest.mark.expected_log("deliveries crashed, and starts again in [12] s", times=2)
@pytest.mark.expected_log("What became of 1 message cannot be kept")
async def test_what_cannot_be_written_down_is_not_shown_for_ever_and_holds_up_no_other(clock: WallClock) -> None:
    stage = DeliveryStage(clock, ledger=FaultyLedger())
    async with running(stage.loop):
        await stage.commit(make_delivery("$p", text="once"))
        await until(lambda: stage.desktop.calls)
        await stage.commit(make_delivery("$a", room_id=OTHER_ROOM))
        await settled(stage, "$a")
        await asyncio.sleep(HOUR)
        await stage.commit(make_delivery("$b", room_id=OTHER_ROOM))
        await settled(stage, "$b")
    assert sum("once" in each.notification.body for each in stage.desktop.shown) == 1
    assert "Some messages may be shown twice" in titles(stage)


@pytest.mark.expected_log("Unexpected fault in telling hooks and bars what rang: they miss 1 message", times=2)
async def test_a_bar_or_hook_that_finds_a_fault_holds_up_nothing(
    stage: DeliveryStage,
) -> None:
    def fail(rung: Sequence[object]) -> None:
        raise RuntimeError("a fault of our own")

    stage.on_rang = fail
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await settled(stage, "$a")
        began = asyncio.get_running_loop().time()
        await stage.commit(make_delivery("$b"))
        await settled(stage, "$b")
        assert asyncio.get_running_loop().time() < began + 1


class FaultyPictures:
    async def fetch(self, uris: Collection[str]) -> Mapping[str, Picture]:
        raise RuntimeError("a fault of our own")


@pytest.mark.expected_log("system.tasks error: Unexpected fault in fetching pictures: notifications go without")
async def test_pictures_that_find_a_fault_are_done_without(clock: WallClock) -> None:
    stage = DeliveryStage(clock, pictures=FaultyPictures())
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", content=make_content(avatar="mxc://example.org/a")))
        await settled(stage, "$a")
    assert asyncio.get_running_loop().time() < 1


@pytest.mark.parametrize(("faults", "is_shown"), [(1, True), (10**9, False)])
async def test_a_notice_that_cannot_be_shown_holds_up_no_message(
    clock: WallClock, faults: int, is_shown: bool, expect_log: ExpectLog
) -> None:
    expect_log("notices error: Unexpected fault in a notice: A notice", times=min(faults, TRIES))
    stage = DeliveryStage(clock, desktop=FaultyDesktop(faults=faults))
    async with running(stage.loop):
        stage.notices.tell("A notice", "poison")
        await stage.commit(make_delivery("$a"))
        await settled(stage, "$a")
        await asyncio.wait_for(stage.notices.all_told(), HOUR)
    assert ("A notice" in titles(stage)) is is_shown
    assert stage.desktop.calls <= TRIES + 1


# Calls


class CallLedger(FakeLedger):
    """Cannot change what is called `$p`: the end of that call, or nothing at all of it."""

    def __init__(self, *, takes_nothing: bool) -> None:
        super().__init__()
        self.takes_nothing = takes_nothing
        self.refused = 0

    async def change(self, changes: Sequence[Change]) -> None:
        for each in changes:
            if each.event_id == "$p" and (self.takes_nothing or isinstance(each, Rewrite)):
                self.refused += 1
                raise ValueError("a fault of our own")
        await super().change(changes)


def make_call(event_id: str, room_id: str, until_ms: int) -> Delivery:
    content = make_content("Incoming call", category=Category.CALL, sound="ring", rings_until_ms=until_ms)
    return make_delivery(event_id, room_id=room_id, content=content)


@pytest.mark.expected_log(r"calls error: Unexpected fault in ending the call \$p\n", times=TRIES)
@pytest.mark.parametrize("takes_nothing", [False, True])
async def test_a_call_that_cannot_be_ended_is_given_up_alone_with_a_reason_and_a_notice(
    clock: WallClock, takes_nothing: bool, expect_log: ExpectLog
) -> None:
    expect_log(r"calls error: The call \$p stays on screen", times=int(takes_nothing))
    ledger = CallLedger(takes_nothing=takes_nothing)
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_call("$p", ROOM, clock() + 30_000), make_call("$good", OTHER_ROOM, clock() + 30_000))
        await settled(stage, "$p")
        await asyncio.sleep(31)
        await until(lambda: "Missed call" in "".join(each.body for each in stage.desktop.on_screen.values()))
        await until(lambda: "A call could not be ended here" in titles(stage))
        await stage.commit(make_delivery("$a", room_id=room(1)))
        await settled(stage, "$a")
        await asyncio.sleep(HOUR)
    assert ledger.refused == TRIES + takes_nothing
    assert stage.state("$p") is (State.SHOWN if takes_nothing else State.WITHDRAWN)
    if not takes_nothing:
        assert "fault of Heliograph's own" in ledger.deliveries[event_key("$p")].why


@pytest.mark.expected_log("deliveries crashed, and starts again in [12] s", times=2)
@pytest.mark.expected_log("What became of a popup cannot be kept")
async def test_a_popup_that_cannot_be_hidden_for_a_lock_keeps_no_other_from_it(clock: WallClock) -> None:
    class LockLedger(FakeLedger):
        async def settle(
            self, settlements: Sequence[Settlement], *, shown: PopupRecord | None = None, closed: str | None = None
        ) -> None:
            if shown is not None and shown.key == ROOM and shown.is_stale:
                raise ValueError("a fault of our own")
            await super().settle(settlements, shown=shown, closed=closed)

    stage = DeliveryStage(clock, ledger=LockLedger(), privacy=Privacy(locked=Level.HIDDEN))
    async with running(stage.loop):
        await stage.commit(make_delivery("$p"), make_delivery("$a", room_id=OTHER_ROOM, text="a secret"))
        await settled(stage, "$a")
        stage.loop.set_locked(True)
        await until(lambda: not any("a secret" in each.body for each in stage.desktop.on_screen.values()))
