"""What becomes of what the user asked for, over a homeserver in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

import pytest

from edges.loops.stage import FakeOpener
from fakes.notices import FakeNotices
from fakes.room_actions import FakeRoomActions
from heliograph.core.ids import EventId, RoomId
from heliograph.core.popups.actions import ActionKind, ActionRequest, MuteSpan
from heliograph.errors import (
    LoggedOut,
    RateLimited,
    Refused,
    ServerError,
    StorageError,
    Unreachable,
    UserError,
)
from heliograph.loops.actions import MAX_UNDER_WAY, MOST_MARKED, ActionRunner
from support.builders import ALICE, ROOM
from support.waiting import until

OTHER_ROOM = RoomId("!other:example.org")
READ = ActionRequest(ActionKind.MARK_READ, ROOM, "Lunch", EventId("$a"))
REPLY = ActionRequest(ActionKind.REPLY, ROOM, "Lunch", EventId("$a"), "on my way")
GONE = Unreachable("no answer in time")


class FakePopups:
    """What the delivery loop is told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str | None]] = []

    def note_read(self, room_id: RoomId, event_id: str) -> None:
        self.noted.append((room_id, event_id))

    def note_opened(self, room_id: RoomId) -> None:
        self.noted.append((room_id, None))


class Stage:
    def __init__(self, *, has_public_receipts: bool = False) -> None:
        self.rooms = FakeRoomActions()
        self.notices, self.popups = FakeNotices(), FakePopups()
        self.opener = FakeOpener()
        self.replies: list[tuple[str, str, str]] = []
        self.muted: list[tuple[str, MuteSpan]] = []
        self.declined: list[tuple[str, str]] = []
        self.reply_troubles: list[UserError] = []
        self.mute_troubles: list[ServerError | StorageError | Exception] = []
        self.above: list[EventId] = []
        """What is unread above any event, newest first."""
        self.runner = ActionRunner(
            self.rooms,
            self.notices,
            self.popups,
            self.opener,
            reply=self._reply,
            decline=self._decline,
            mute=self._mute,
            unread_above=self._unread_above,
            has_public_receipts=has_public_receipts,
            make_id=lambda: f"t{len(self.replies)}",
        )

    async def _unread_above(self, room_id: RoomId, event_id: EventId) -> list[EventId]:
        return self.above

    async def _reply(self, room_id: RoomId, text: str, transaction_id: str) -> None:
        await self.rooms.answering.wait()
        self.replies.append((room_id, text, transaction_id))
        if self.reply_troubles:
            raise self.reply_troubles.pop(0)

    async def _decline(self, room_id: RoomId, call_id: EventId) -> None:
        self.declined.append((room_id, call_id))

    async def _mute(self, room_id: RoomId, span: MuteSpan) -> None:
        if self.mute_troubles:
            raise self.mute_troubles.pop(0)
        self.muted.append((room_id, span))


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_room_is_marked_as_read_privately_unless_the_user_wants_it_otherwise(stage: Stage) -> None:
    open_hearted = Stage(has_public_receipts=True)
    await stage.runner.do(READ)
    await open_hearted.runner.do(READ)
    assert stage.rooms.done == [("private", ROOM, "$a")]
    assert open_hearted.rooms.done == [("public", ROOM, "$a")]
    assert stage.popups.noted == [(ROOM, "$a")]


async def test_who_answers_has_read(stage: Stage) -> None:
    await stage.runner.do(REPLY)
    assert stage.replies == [(ROOM, "on my way", "")]
    assert stage.rooms.done == [("private", ROOM, "$a")]
    assert stage.popups.noted == [(ROOM, "$a")]


async def test_a_reply_that_was_sent_is_sent_though_the_receipt_fails(stage: Stage) -> None:
    stage.rooms.failures.append(GONE)
    await stage.runner.do(REPLY)
    assert stage.popups.noted == [(ROOM, None)]
    assert stage.notices.questions == {}


async def test_a_declined_call_is_left_to_the_sync_to_take_away(stage: Stage) -> None:
    decline = replace(READ, kind=ActionKind.DECLINE_CALL)
    await stage.runner.do(decline)
    await stage.runner.do(replace(decline, event_id=None))
    assert stage.declined == [(ROOM, "$a")]
    assert stage.popups.noted == []


async def test_a_reply_to_what_has_no_event_marks_nothing_as_read(stage: Stage) -> None:
    await stage.runner.do(replace(REPLY, event_id=None))
    assert stage.rooms.done == []
    assert stage.popups.noted == [(ROOM, None)]


@pytest.mark.expected_log("Not done in !room:example.org", times=2)
async def test_a_failed_reply_says_so_and_keeps_what_was_typed_and_is_sent_once_in_the_end(stage: Stage) -> None:
    stage.reply_troubles = [UserError("The reply was not sent: no answer in time.", "Try again.")] * 2
    stage.runner.take(REPLY)
    for _ in range(2):
        await until(lambda: stage.notices.questions)
        assert stage.notices.question.summary == "Your reply to Lunch was not sent"
        assert "no answer in time" in stage.notices.question.body
        assert "You wrote: on my way" in stage.notices.question.body
        stage.notices.answer("Try again")
    await until(lambda: stage.popups.noted)
    assert stage.replies == [(ROOM, "on my way", "t0")] * 3


@pytest.mark.expected_log("Not done in !room:example.org")
async def test_looking_at_the_room_does_not_lose_what_was_typed(stage: Stage) -> None:
    stage.reply_troubles = [UserError("No.", "Later.")]
    stage.runner.take(REPLY)
    await until(lambda: stage.notices.questions)
    stage.notices.answer("Open room")
    await until(lambda: stage.opener.opened)
    assert stage.opener.opened == [(ROOM, "$a", None)]
    assert "on my way" in stage.notices.question.body


@pytest.mark.expected_log("Not done in !room:example.org", times=2)
async def test_a_room_that_cannot_be_opened_is_told_of(stage: Stage) -> None:
    stage.opener.works = False
    stage.rooms.failures.append(GONE)
    stage.runner.take(READ)
    await until(lambda: stage.notices.questions)
    stage.notices.answer("Open room")
    await until(lambda: stage.notices.questions)
    assert stage.notices.question.summary == "Lunch could not be opened"


async def test_what_the_homeserver_hands_out_no_longer_keeps_nothing_unread_that_stands_above(stage: Stage) -> None:
    stage.above = [EventId("$also-refused"), EventId("$above"), EventId("$older")]
    stage.rooms.failures += [Refused(403, "M_FORBIDDEN", "not for you")] * 2
    await stage.runner.do(READ)
    assert [done[2] for done in stage.rooms.done] == ["$above"]
    assert stage.popups.noted == [(ROOM, "$a")]


async def test_only_so_many_are_tried_where_the_homeserver_hands_out_none(stage: Stage) -> None:
    stage.above = [EventId(f"${number}") for number in range(2 * MOST_MARKED)]
    stage.rooms.failures += [Refused(403, "M_FORBIDDEN", "not for you")] * (1 + MOST_MARKED)
    with pytest.raises(UserError, match="does not allow it"):
        await stage.runner.do(READ)
    assert not stage.rooms.failures
    assert stage.popups.noted == []


@pytest.mark.expected_log("Not done in !room:example.org")
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (GONE, "cannot be reached: no answer in time"),
        (Refused(403, "M_FORBIDDEN", "not in this room"), "does not allow it"),
        (Refused(400, "M_UNKNOWN", "what?"), "refuses it"),
        (RateLimited("slow down", 7.2), "Try again in 7 s"),
        (RateLimited("slow down", None), "Try again in a while"),
        (LoggedOut(soft=True), "signed out"),
    ],
)
async def test_a_failure_is_told_in_words_and_leaves_it_unread(stage: Stage, trouble: ServerError, words: str) -> None:
    stage.rooms.failures.append(trouble)
    stage.runner.take(READ)
    await until(lambda: stage.notices.questions)
    assert stage.notices.question.summary == "Lunch could not be marked as read"
    assert words in stage.notices.question.body
    assert stage.popups.noted == []
    stage.notices.answer("Try again")
    await until(lambda: stage.popups.noted)


@pytest.mark.expected_log("Not done in !room.*: mark as read", times=31)
async def test_many_rooms_that_could_not_be_marked_as_read_are_one_notice(stage: Stage) -> None:
    rooms = [RoomId(f"!room{number}:example.org") for number in range(30)]
    stage.rooms.failures.extend([GONE] * 30)
    for room in rooms:
        stage.runner.take(replace(READ, room_id=room))
    await until(lambda: stage.notices.questions and stage.notices.question.summary.startswith("30 rooms"))
    assert [action.label for action in stage.notices.question.actions] == ["Try again"]
    stage.notices.answer("Try again")
    await until(lambda: len(stage.popups.noted) == 30)
    assert {room for room, _ in stage.popups.noted} == set(rooms)
    stage.rooms.failures.append(GONE)
    stage.runner.take(READ)
    await until(lambda: stage.notices.questions)
    assert stage.notices.question.summary == "Lunch could not be marked as read"


@pytest.mark.expected_log("Not done in !room:example.org")
async def test_the_notice_goes_when_the_room_was_marked_as_read_after_all(stage: Stage) -> None:
    stage.rooms.failures.append(GONE)
    stage.runner.take(READ)
    await until(lambda: stage.notices.questions)
    await stage.runner.do(READ)
    assert stage.notices.questions == {}


@pytest.mark.expected_log("Not done in !room:example.org")
async def test_a_disk_that_takes_nothing_is_told_of(stage: Stage) -> None:
    stage.mute_troubles.append(StorageError("no space left"))
    stage.runner.take(ActionRequest(ActionKind.MUTE, ROOM, "Lunch", span=MuteSpan.DAY))
    await until(lambda: stage.notices.questions)
    assert "no space left" in stage.notices.question.body


async def test_a_fault_of_our_own_is_told_of_too(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.mute_troubles.append(ZeroDivisionError())
    with caplog.at_level(logging.CRITICAL, "heliograph"):
        stage.runner.take(ActionRequest(ActionKind.MUTE, ROOM, "Lunch", span=MuteSpan.DAY))
        await until(lambda: stage.notices.questions)
    assert "unexpected fault" in stage.notices.question.body


@pytest.mark.parametrize("span", MuteSpan)
async def test_for_how_long_a_room_is_muted_is_asked(stage: Stage, span: MuteSpan) -> None:
    stage.runner.take(ActionRequest(ActionKind.MUTE, ROOM, "Lunch"))
    assert stage.notices.question.summary == "Mute Lunch?"
    assert stage.muted == []
    label = {MuteSpan.HOUR: "For an hour", MuteSpan.DAY: "For a day", MuteSpan.FOREVER: "For ever"}[span]
    stage.notices.answer(label)
    await until(lambda: stage.muted)
    assert stage.muted == [(ROOM, span)]


async def test_an_invite_to_two_becomes_a_conversation_with_its_sender(stage: Stage) -> None:
    await stage.runner.do(ActionRequest(ActionKind.ACCEPT, ROOM, "Alice", direct_with=ALICE))
    await stage.runner.do(ActionRequest(ActionKind.ACCEPT, OTHER_ROOM, "Other"))
    assert stage.rooms.done == [("join", ROOM), ("direct", ROOM, ALICE), ("join", OTHER_ROOM)]
    assert stage.popups.noted == [(ROOM, None), (OTHER_ROOM, None)]


async def test_a_room_that_was_joined_is_joined_though_it_cannot_be_filed(stage: Stage) -> None:
    runner = stage.runner

    async def accept() -> None:
        await runner.do(ActionRequest(ActionKind.ACCEPT, ROOM, "Alice", direct_with=ALICE))

    stage.rooms.answering.clear()
    task = asyncio.create_task(accept())
    await asyncio.sleep(0)
    stage.rooms.answering.set()
    await until(lambda: stage.rooms.done)
    stage.rooms.failures.append(GONE)
    await task
    assert stage.popups.noted == [(ROOM, None)]


async def test_a_declined_invite_is_left(stage: Stage) -> None:
    await stage.runner.do(ActionRequest(ActionKind.DECLINE, ROOM, "Lunch"))
    assert stage.rooms.done == [("leave", ROOM)]
    assert stage.popups.noted == [(ROOM, None)]


async def test_replies_to_a_room_arrive_in_the_order_they_were_typed(stage: Stage) -> None:
    stage.rooms.answering.clear()
    for number in range(5):
        stage.runner.take(replace(REPLY, text=str(number)))
    await asyncio.sleep(0)
    stage.rooms.answering.set()
    await until(lambda: len(stage.replies) == 5)
    assert [text for _, text, _ in stage.replies] == list("01234")


async def test_one_room_that_hangs_holds_up_no_other(stage: Stage) -> None:
    stage.rooms.answering.clear()
    stage.runner.take(READ)
    stage.runner.take(ActionRequest(ActionKind.MUTE, OTHER_ROOM, "Other", span=MuteSpan.HOUR))
    await until(lambda: stage.muted)
    assert stage.popups.noted == []


@pytest.mark.expected_log("Not done in !room:example.org")
async def test_what_is_under_way_is_bounded(stage: Stage) -> None:
    stage.rooms.answering.clear()
    for _ in range(MAX_UNDER_WAY + 1):
        stage.runner.take(READ)
    assert "Too much" in stage.notices.question.body
    stage.rooms.answering.set()
    await until(lambda: len(stage.rooms.done) == MAX_UNDER_WAY)


async def test_at_the_end_what_is_under_way_gets_a_moment_and_no_more(stage: Stage) -> None:
    await stage.runner.finish(1)
    stage.rooms.answering.clear()
    stage.runner.take(REPLY)
    finishing = asyncio.create_task(stage.runner.finish(10))
    await asyncio.sleep(1)
    stage.rooms.answering.set()
    await finishing
    assert len(stage.replies) == 1
    stage.rooms.answering.clear()
    stage.runner.take(REPLY)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await stage.runner.finish(2)
    stage.rooms.answering.set()
    await asyncio.sleep(1)
    assert len(stage.replies) == 1
