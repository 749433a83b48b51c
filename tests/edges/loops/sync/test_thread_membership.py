"""Which thread something belongs to is asked of the homeserver where nobody knows."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import SyncStage, running
from edges.loops.sync.watched import WatchedHomeserver
from heliograph.core.events import Event, Malformed
from heliograph.core.ids import EventId, RoomId
from heliograph.core.reading import MAIN, MAX_HOPS
from heliograph.errors import BadAnswer, Refused, Unreachable
from heliograph.loops.sync.thread_membership import MOST_AT_ONCE, PATIENCE_S, ThreadMembership
from heliograph.loops.sync.tries import TRIES
from support.builders import ROOM, make_event
from support.waiting import until


class ToldHomeserver(WatchedHomeserver):
    """Tells of these events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, Event | Malformed | Exception] = {}
        self.asked: list[str] = []
        self.takes_s = 0.0

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        self.asked.append(event_id)
        await asyncio.sleep(self.takes_s)
        told = self.events.get(event_id)
        if isinstance(told, Exception):
            raise told
        return await super().event(room_id, event_id) if told is None else told


@pytest.fixture
def homeserver() -> ToldHomeserver:
    return ToldHomeserver()


def related(event_id: str, target: str, rel_type: str = "m.annotation") -> Event:
    return make_event(event_id=event_id, content={"m.relates_to": {"rel_type": rel_type, "event_id": target}})


async def _ask(stage: SyncStage, *events: str) -> dict[str, str]:
    return await ThreadMembership(stage.homeserver, stage.ledger).ask([(ROOM, EventId(each)) for each in events])


async def test_relations_are_followed_to_the_thread_and_no_further_than_is_recommended(
    stage: SyncStage, homeserver: ToldHomeserver
) -> None:
    chain = [related(f"${number}", f"${number + 1}") for number in range(MAX_HOPS)]
    homeserver.events = {event.event_id: event for event in chain}
    homeserver.events[f"${MAX_HOPS}"] = related(f"${MAX_HOPS}", "$root", "m.thread")
    assert await _ask(stage, "$0", "$1") == {"$0": MAIN, "$1": "$root"}


@pytest.mark.expected_log("Unexpected fault in asking for the thread of", times=(0, 1))
@pytest.mark.parametrize(
    "told",
    [Malformed("event", "odd"), Refused(404, "M_NOT_FOUND", "gone"), KeyError("a fault of ours"), make_event()],
)
async def test_what_is_not_told_is_outside_of_threads(
    stage: SyncStage, homeserver: ToldHomeserver, told: Event | Malformed | Exception
) -> None:
    homeserver.events["$a"] = told
    assert await _ask(stage, "$a") == {"$a": MAIN}


@pytest.mark.expected_log("may count as outside of their threads")
async def test_a_homeserver_that_fails_or_takes_its_time_is_asked_again_so_often_and_no_more(
    stage: SyncStage, homeserver: ToldHomeserver
) -> None:
    membership = ThreadMembership(homeserver, stage.ledger)
    untold = [(ROOM, EventId(each)) for each in ("$a", "$b", "$c")]
    homeserver.events = {"$a": related("$a", "$root", "m.thread"), "$b": BadAnswer(500, "broken")}
    with pytest.raises(BadAnswer):
        await membership.ask(untold)
    homeserver.events["$b"], homeserver.takes_s = related("$b", "$other", "m.thread"), PATIENCE_S * 0.7
    with pytest.raises(Unreachable, match="in time"):
        await membership.ask(untold)
    assert homeserver.asked == ["$a", "$b", "$b", "$c"], "what was told is not asked again"
    homeserver.takes_s = PATIENCE_S * 2
    for _ in range(TRIES - 1 - 1):
        with pytest.raises(Unreachable):
            await membership.ask(untold)
    assert await membership.ask(untold) == {"$a": "$root", "$b": "$other", "$c": MAIN}


@pytest.mark.expected_log("@me:example.org: broken")
async def test_a_relation_whose_thread_is_not_told_now_is_held_back_until_it_is(
    stage: SyncStage, room: RoomId, homeserver: ToldHomeserver
) -> None:
    root = await stage.alice.send_text(room, "before the daemon ran")
    poll = await stage.me.send_text(room, "before it, too", thread=root)
    homeserver.events[poll] = BadAnswer(500, "broken")
    async with running(stage.loop):
        await stage.connected()
        relation = {"rel_type": "m.reference", "event_id": poll}
        content = {"msgtype": "m.text", "body": "the poll ended", "m.relates_to": relation}
        end = await stage.alice.send_event(room, "m.room.message", content)
        await until(lambda: poll in homeserver.asked)
        assert end not in stage.ledger.judged
        del homeserver.events[poll]
        await until(lambda: end in stage.ledger.deliveries)
    assert stage.ledger.deliveries[end].thread_root == root


async def test_of_many_only_some_are_asked_for(stage: SyncStage, homeserver: ToldHomeserver) -> None:
    homeserver.events = {f"${number}": make_event() for number in range(MOST_AT_ONCE + 2)}
    assert set((await _ask(stage, *homeserver.events)).values()) == {MAIN}
    assert len(homeserver.asked) == MOST_AT_ONCE


async def test_what_ends_a_poll_in_a_thread_is_read_with_the_thread(
    stage: SyncStage, room: RoomId, homeserver: ToldHomeserver
) -> None:
    root = await stage.alice.send_text(room, "before the daemon ran")
    poll = await stage.me.send_text(room, "before it, too", thread=root)
    async with running(stage.loop):
        await stage.connected()
        relation = {"rel_type": "m.reference", "event_id": poll}
        content = {"msgtype": "m.text", "body": "the poll ended", "m.relates_to": relation}
        end = await stage.alice.send_event(room, "m.room.message", content)
        await until(lambda: end in stage.ledger.deliveries)
    assert stage.ledger.deliveries[end].thread_root == root
    assert poll in homeserver.asked
