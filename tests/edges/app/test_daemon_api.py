"""What the running daemon answers, over ledgers and desktops in memory."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator
from functools import partial

import pytest

from edges.loops.stage import DeliveryStage, FakeOpener, WallClock, running
from fakes.desktop import FakeDesktop
from heliograph.app.daemon_api import AccountHandle, DaemonApi
from heliograph.core.connection import Connection, ConnectionState
from heliograph.core.delivery import State
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Category, DoNotDisturb
from heliograph.core.popups.actions import ActionKind, ActionRequest
from heliograph.core.popups.quiet import Pause, QuietHours, Through
from heliograph.core.record import Withdrawal
from heliograph.core.status import AccountStatus, DaemonStatus
from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.errors import StorageError, UserError
from heliograph.loops.quiet import QuietLoop
from heliograph.system.time_zone import LocalZone
from support.builders import ALICE, BOB, ME, ROOM, make_content, make_delivery
from support.waiting import until

pytestmark = pytest.mark.virtual_time

OTHER_ROOM = RoomId("!other:example.org")


class Reception:
    """A front desk for two accounts on one desktop, and what it published."""

    def __init__(self, clock: WallClock) -> None:
        self.desktop = FakeDesktop()
        self.opener = FakeOpener()
        self.quiet = QuietLoop(QuietHours(), Through(), LocalZone(), clock=clock, keep=self._keep)
        self.mine = DeliveryStage(clock, desktop=self.desktop, quiet=self.quiet)
        self.hers = DeliveryStage(clock, desktop=self.desktop, me=ALICE)
        stages = (self.mine, self.hers)
        self.connections = {stage.me: Connection.CONNECTED for stage in stages}
        self.api = DaemonApi(
            lambda: DaemonStatus("1", 4711, 0, accounts=tuple(map(self._status, self.connections))),
            [
                AccountHandle(stage.me, partial(self._connection, stage.me), stage.ledger, stage.loop, self._do)
                for stage in stages
            ],
            self.desktop,
            self.opener,
            self.quiet,
        )
        for stage in stages:
            stage.on_change = self.api.note_change
        self.desktop.listen(lambda _: self.api.note_change())
        self.published: list[Summary] = []
        self.why = ""
        """Why accounts are offline."""
        self.faults = 0
        """How often publishing fails."""
        self.requests: list[ActionRequest] = []

    def _publish(self, summary: Summary) -> None:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a fault")
        self.published.append(summary)

    def _status(self, user_id: str) -> AccountStatus:
        return AccountStatus(user_id, "https://example.org", self._connection(user_id))

    def _connection(self, user_id: str) -> ConnectionState:
        state = self.connections[user_id]
        return ConnectionState(state, self.why if state is Connection.OFFLINE else "")

    async def _do(self, request: ActionRequest) -> None:
        self.requests.append(request)

    async def _keep(self, pause: Pause) -> None:
        pass

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.api.run(self._publish)),
            asyncio.create_task(self.quiet.run(self._wake)),
        ]
        self.api.note_change()
        try:
            async with running(self.mine.loop), running(self.hers.loop):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _wake(self) -> None:
        self.mine.loop.wake()
        self.api.note_change()


@pytest.fixture
def reception(clock: WallClock) -> Reception:
    return Reception(clock)


async def test_what_is_unread_in_all_accounts_is_published_as_it_changes(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        assert reception.published[0] == Summary(
            state="connected",
            accounts=((ME, "connected"), (ALICE, "connected")),
            notification_server="a fake server",
        )
        await reception.mine.commit(make_delivery("$a", content=make_content("x", is_highlight=True)))
        await reception.hers.commit(make_delivery("$b"), make_delivery("$c"))
        await until(lambda: reception.published and reception.published[-1].unread == 3)
        assert reception.published[-1].highlights == 1
        assert set(reception.published[-1].rooms) == {
            RoomCount(ME, ROOM, "Lunch", 1, 1, ALICE),
            RoomCount(ALICE, ROOM, "Lunch", 2, 0, ALICE),
        }
        await reception.mine.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: reception.published[-1].unread == 2)


async def test_what_was_dismissed_is_still_unread(reception: Reception) -> None:
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.desktop.on_screen)
        reception.desktop.dismiss(next(iter(reception.desktop.on_screen)))
        await until(lambda: reception.mine.state(EventId("$a")) is State.DISMISSED)
        await asyncio.sleep(1)
        assert reception.published[-1].unread == 1


async def test_changes_that_come_together_are_published_as_one(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.desktop.on_screen)
        await reception.hers.commit(make_delivery("$b"))
        await asyncio.sleep(1)
    assert [each.unread for each in reception.published] == [0, 2]


async def test_nothing_new_is_not_published_again(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        for _ in range(5):
            reception.api.note_change()
            await asyncio.sleep(1)
    assert len(reception.published) == 1


async def test_a_disk_that_does_not_answer_leaves_what_it_said_last(reception: Reception) -> None:
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.published and reception.published[-1].unread == 1)
        reception.mine.ledger.is_full = True
        reception.connections[ME] = Connection.OFFLINE
        reception.api.note_change()
        await until(lambda: reception.published[-1].state == "offline")
        assert reception.published[-1].unread == 1
        assert (await reception.api.status())["pid"] == 4711


async def test_opening_a_room_opens_it_at_its_newest_message(reception: Reception) -> None:
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"), make_delivery("$b"))
        await until(lambda: reception.mine.state(EventId("$b")) is State.SHOWN)
        await reception.api.open(ME, ROOM, "token")
        await until(lambda: reception.mine.state(EventId("$b")) is State.OPENED)
        await until(
            lambda: reception.published and reception.published[-1].unread == 0 and not reception.desktop.on_screen
        )
    assert reception.opener.opened == [(ROOM, "$b", "token")]


async def test_an_invite_is_opened_by_its_room_alone(reception: Reception) -> None:
    await reception.mine.commit(make_delivery(f"invite:{ROOM}:0"))
    await reception.api.open(ME, ROOM, "")
    assert reception.opener.opened == [(ROOM, None, None)]


async def test_a_room_that_cannot_be_opened_stays_unread(reception: Reception) -> None:
    reception.opener.works = False
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.mine.state(EventId("$a")) is State.SHOWN)
        with pytest.raises(UserError, match="No Matrix client"):
            await reception.api.open(ME, ROOM, "")
        assert reception.mine.state(EventId("$a")) is State.SHOWN


async def test_a_room_is_marked_as_read_up_to_its_newest_message(reception: Reception) -> None:
    await reception.mine.commit(make_delivery("$a"), make_delivery("$b"), make_delivery(f"invite:{ROOM}:0"))
    await reception.api.mark_read(ME, ROOM)
    assert reception.requests == [ActionRequest(ActionKind.MARK_READ, ROOM, ROOM, EventId("$b"))]


async def test_all_rooms_of_all_accounts_are_marked_as_read_but_for_invites(reception: Reception) -> None:
    await reception.mine.commit(
        make_delivery("$a"), make_delivery("$b"), make_delivery(f"invite:{OTHER_ROOM}:0", room_id=OTHER_ROOM)
    )
    await reception.hers.commit(make_delivery("$c", room_id=OTHER_ROOM))
    assert await reception.api.mark_all_read() == 2
    assert reception.requests == [
        ActionRequest(ActionKind.MARK_READ, ROOM, ROOM, EventId("$b")),
        ActionRequest(ActionKind.MARK_READ, OTHER_ROOM, OTHER_ROOM, EventId("$c")),
    ]


async def test_an_account_that_cannot_mark_as_read_keeps_no_other_from_it(reception: Reception) -> None:
    await reception.mine.commit(make_delivery("$a"))
    await reception.hers.commit(make_delivery("$c", room_id=OTHER_ROOM))
    reception.mine.ledger.is_full = True
    with pytest.raises(StorageError):
        await reception.api.mark_all_read()
    assert [request.room_id for request in reception.requests] == [OTHER_ROOM]


async def test_why_an_account_is_offline_is_published_anew_when_that_changes(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        for why in ("no network", "the server is down"):
            reception.connections[ME], reception.why = Connection.OFFLINE, why
            reception.api.note_change()
            await until(partial(_has_told, reception, why))


def _has_told(reception: Reception, why: str) -> bool:
    return reception.published[-1].troubles == ((ME, why),)


async def test_what_a_notification_server_showed_that_has_ended_since_is_not_on_screen(reception: Reception) -> None:
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.mine.state(EventId("$a")) is State.SHOWN)
        assert [each["shown"] for each in (await reception.api.status())["accounts"]] == [1, 0]
        reception.desktop.vanish()
        reception.desktop.appear()
        await until(lambda: not reception.mine.ledger.popup_records, "its popup is forgotten")
        assert [each["shown"] for each in (await reception.api.status())["accounts"]] == [0, 0]


async def test_before_the_first_sync_of_a_start_the_last_one_of_before_is_told(reception: Reception) -> None:
    told = await reception.api.status()
    assert [each["last_sync_ms"] for each in told["accounts"]] == [None, None]
    await reception.mine.commit(make_delivery("$a"))
    mine, hers = (await reception.api.status())["accounts"]
    assert mine["last_sync_ms"] > 0
    assert hers["last_sync_ms"] is None


async def test_an_invite_is_accepted_and_declined(reception: Reception) -> None:
    content = make_content("Invited you", category=Category.INVITE, is_direct=True)
    await reception.mine.commit(make_delivery(f"invite:{ROOM}:0", sender=BOB, content=content))
    await reception.api.accept(ME, ROOM)
    await reception.api.decline(ME, ROOM)
    assert [
        (request.kind, request.room_id, request.event_id, request.direct_with) for request in reception.requests
    ] == [
        (ActionKind.ACCEPT, ROOM, None, BOB),
        (ActionKind.DECLINE, ROOM, None, BOB),
    ]


async def test_where_no_invite_waits_none_is_answered(reception: Reception) -> None:
    await reception.mine.commit(make_delivery("$a"))
    for answer in (reception.api.accept, reception.api.decline):
        with pytest.raises(UserError, match="no invite"):
            await answer(ME, ROOM)
    assert reception.requests == []


async def test_who_is_only_invited_cannot_reply(reception: Reception) -> None:
    room_id = "!it's; a shell:example.org"
    await reception.mine.commit(make_delivery(f"invite:{room_id}:0", room_id=room_id))
    with pytest.raises(UserError, match="only invited") as refused:
        await reception.api.reply(ME, room_id, "hello")
    assert shlex.split(refused.value.hint.partition(": ")[2])[3] == f"{room_id},"
    assert reception.requests == []


async def test_a_room_without_news_and_an_invite_cannot_be_marked_as_read(reception: Reception) -> None:
    await reception.mine.commit(make_delivery(f"invite:{ROOM}:0"))
    with pytest.raises(UserError, match="An invite") as refused:
        await reception.api.mark_read(ME, ROOM)
    assert refused.value.hint == f"Accept or decline it: heliograph inbox accept '{ROOM}', or decline '{ROOM}'"
    with pytest.raises(UserError, match="nothing unread"):
        await reception.api.mark_read(ME, OTHER_ROOM)
    assert reception.requests == []


async def test_a_reply_goes_to_the_room_and_answers_its_newest_message(reception: Reception) -> None:
    await reception.mine.commit(make_delivery("$a"))
    await reception.api.reply(ME, ROOM, "on my way")
    await reception.api.reply(ME, OTHER_ROOM, "hello?")
    assert reception.requests == [
        ActionRequest(ActionKind.REPLY, ROOM, ROOM, EventId("$a"), "on my way"),
        ActionRequest(ActionKind.REPLY, OTHER_ROOM, OTHER_ROOM, None, "hello?"),
    ]


async def test_an_account_that_is_none_is_refused(reception: Reception) -> None:
    for asked in (reception.api.open("@x:y", ROOM, ""), reception.api.mark_read("@x:y", ROOM)):
        with pytest.raises(UserError, match="no account '@x:y'"):
            await asked


async def test_in_a_pause_nothing_pops_up_and_afterwards_it_does(reception: Reception) -> None:
    loud = make_delivery("$loud", room_id=OTHER_ROOM, content=make_content("for you", is_highlight=True))
    async with reception.open():
        await reception.api.pause("1h", is_everywhere=False)
        await reception.mine.commit(make_delivery("$a", text="held"), make_delivery("$b", text="read"), loud)
        await until(lambda: reception.mine.state(EventId("$loud")) is State.SHOWN)
        await until(lambda: reception.published and reception.published[-1].unread == 3)
        assert reception.published[-1].quiet_why == "paused"
        assert reception.mine.state(EventId("$a")) is State.PENDING
        await reception.mine.commit(changes=[Withdrawal(EventId("$b"), "read elsewhere")])
        await reception.api.resume()
        await until(lambda: reception.mine.state(EventId("$a")) is State.SHOWN)
        await until(lambda: reception.published[-1].quiet_why == "")
    assert reception.desktop.bodies == ["Alice: for you", "Alice: held"]


async def test_who_paused_or_resumed_is_told_so_at_once(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        for _ in range(3):
            until_ms = await reception.api.pause("1h", is_everywhere=True)
            assert reception.published[-1].paused_until_ms == until_ms
            told = {"why": "paused", "until_ms": until_ms, "everywhere": True}
            assert (await reception.api.status())["quiet"] == told
            await reception.api.resume()
            assert (reception.published[-1].quiet_why, reception.published[-1].paused_until_ms) == ("", 0)


async def test_the_desktops_own_do_not_disturb_is_told_and_left_to_it(reception: Reception) -> None:
    async with reception.open():
        reception.desktop.is_inhibited = True
        reception.desktop.signal(DoNotDisturb(True))
        await until(lambda: reception.published and reception.published[-1].quiet_why == "do not disturb")
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.mine.state(EventId("$a")) is State.SHOWN)


async def open_one(stage: DeliveryStage) -> None:
    """A message that is shown, and opened."""
    await stage.commit(make_delivery("$a"))
    await until(lambda: stage.state(EventId("$a")) is State.SHOWN)
    stage.loop.note_opened(ROOM)
    await until(lambda: stage.state(EventId("$a")) is State.OPENED)


async def test_the_history_of_all_accounts_is_erased(reception: Reception) -> None:
    async with reception.open():
        for stage in (reception.mine, reception.hers):
            await open_one(stage)
        assert await reception.api.erase_history(with_unread=False) == 2


async def test_the_inbox_tells_rooms_of_all_accounts_with_their_newest_messages(reception: Reception) -> None:
    await reception.mine.commit(*(make_delivery(f"${number}") for number in range(25)))
    await reception.hers.commit(make_delivery("$b", text="hers"))
    inbox = await reception.api.inbox()
    assert inbox["unread"] == 26
    assert [(room["account"], room["unread"], len(room["messages"])) for room in inbox["rooms"]] == [
        (ME, 25, 20),
        (ALICE, 1, 1),
    ]
    assert inbox["rooms"][1]["messages"][0]["text"] == "hers"


@pytest.mark.expected_log("bars and badges crashed", times=2)
async def test_a_summary_that_a_fault_of_our_own_kept_back_is_published_later(reception: Reception) -> None:
    async with reception.open():
        await until(lambda: reception.published)
        reception.faults = 2
        await reception.mine.commit(make_delivery("$a"))
        await until(lambda: reception.published[-1].unread == 1)
        assert not reception.faults
