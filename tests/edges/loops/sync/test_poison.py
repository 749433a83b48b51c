"""One event or room that finds a fault of ours while a sync is taken in: it alone is given up, and recorded as such."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.encryption import FakeEncryption
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from heliograph.core.encryption.values import Clear, Locked, Received, Rejected, RoomKey, Taken
from heliograph.core.events import Event, JoinedRoom, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import FAULT, UNKEPT, Decision, Plan, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.suspects import TRIES
from heliograph.core.sync.needs import missing_names
from heliograph.loops.sync import ToDevice
from heliograph.loops.sync import planner as planner_module
from heliograph.ports.homeserver import Member, MessagesPage, NotificationsPage
from heliograph.ports.ledger import Committed
from support.builders import ME, make_encrypted, make_event
from support.waiting import until

OTHER = RoomId("!other:example.org")
FAULTY = RoomId("!faulty:example.org")
THIRD = RoomId("!third:example.org")
ENCRYPTED = "New encrypted message"


class FaultyHomeserver(FakeHomeserver):
    """What is asked about the room FAULTY finds a fault of ours."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.has_faulty_list = False

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        self._fail(*room_ids)
        return await super().room_facts(room_ids)

    async def member(self, room_id: RoomId, user_id: UserId) -> Member:
        self._fail(room_id)
        return await super().member(room_id, user_id)

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        raise RuntimeError("a fault of our own")

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        self._fail(room_id)
        return MessagesPage((make_event("from the gap", room_id=room_id),), None)

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        if self.has_faulty_list:
            raise RuntimeError("a fault of our own")
        return await super().notifications(since=since, limit=limit)

    def _fail(self, *room_ids: RoomId) -> None:
        if FAULTY in room_ids:
            raise RuntimeError("a fault of our own")


class FaultyEncryption(FakeEncryption):
    """Decrypting what `poison` names, or taking it, finds a fault of ours."""

    poison = "$none"

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        if any(b"poison" in each for each in to_device):
            raise RuntimeError("a fault of our own")
        return await super().take(to_device)

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        if any(event.event_id == self.poison for event in events):
            raise RuntimeError("a fault of our own")
        return await super().decrypt(events)


@pytest.fixture
def homeserver() -> FaultyHomeserver:
    return FaultyHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: FaultyHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver, encryption=FaultyEncryption())


def message(text: str, room_id: RoomId = OTHER) -> Event:
    return make_event(text, room_id=room_id)


def find_a_fault(monkeypatch: pytest.MonkeyPatch, is_faulty: Callable[[set[str]], bool]) -> None:
    """Planning finds one where what rings is in such rooms, after all that is tried of an event alone."""

    def find_or_fail(decided: Plan, rooms: Mapping[RoomId, RoomRecord]) -> frozenset[tuple[str, str]]:
        if is_faulty({each.room_id for each in decided.deliveries}):
            raise RuntimeError("a fault of our own")
        return missing_names(decided, rooms)

    monkeypatch.setattr(planner_module, "missing_names", find_or_fail)


async def take(stage: SyncStage, *rooms: JoinedRoom, last: str) -> None:
    """A sync brings these; it is over when the text `last` rang."""
    stage.homeserver.answers.append(Sync("s900", joined=rooms))
    await stage.homeserver.drop_connections()
    await stage.rings(last)


@pytest.mark.expected_log("Unexpected fault in decrypting several events")
@pytest.mark.expected_log(r"Unexpected fault in decrypting \$event", times=3)
async def test_a_message_that_cannot_be_decrypted_for_a_fault_rings_without_its_text(stage: SyncStage) -> None:
    assert isinstance(stage.encryption, FaultyEncryption)
    bad, good = make_encrypted(message("bad")), make_encrypted(message("good"))
    stage.encryption.poison = bad.event_id
    stage.encryption.keys.add(RoomKey(OTHER, "session"))
    async with running(stage.loop):
        await stage.connected()
        await take(stage, JoinedRoom(OTHER, (bad, good, message("after"))), last="after")
    assert stage.rung == [ENCRYPTED, "good", "after"]
    assert "fault of Heliograph's own" in stage.ledger.judged[bad.event_id].encryption


@pytest.mark.expected_log("Unexpected fault in asking for the facts of 2 rooms")
@pytest.mark.expected_log(r"Unexpected fault in asking for the facts of 1 room\n")
@pytest.mark.expected_log("Unexpected fault in asking for a display name in !faulty:")
async def test_a_room_whose_facts_find_a_fault_rings_without_them(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        joined = (JoinedRoom(FAULTY, (message("bad", FAULTY),)), JoinedRoom(OTHER, (message("good"),)))
        await take(stage, *joined, last="good")
    assert sorted(stage.rung) == ["bad", "good"]


@pytest.mark.expected_log("Unexpected fault in reading the list of notifications: gaps are filled from /messages")
@pytest.mark.expected_log("Unexpected fault in filling the gap of !faulty:example.org")
@pytest.mark.expected_log(
    "There may be more in !faulty:example.org, which could not be fetched: Heliograph has a fault"
)
@pytest.mark.expected_log("Unexpected fault in asking for the facts of 2 rooms")
@pytest.mark.expected_log(r"Unexpected fault in asking for the facts of 1 room\n")
@pytest.mark.expected_log("Unexpected fault in asking for a display name in !faulty:")
async def test_a_gap_that_finds_a_fault_is_left_open_alone_and_told(
    stage: SyncStage, homeserver: FaultyHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.has_faulty_list = True
        joined = [
            JoinedRoom(room_id, (message(f"last in {room_id}", room_id),), limited=True, prev_batch="p")
            for room_id in (FAULTY, OTHER)
        ]
        await take(stage, *joined, last=f"last in {OTHER}")
    assert sorted(stage.rung) == ["from the gap", f"last in {FAULTY}", f"last in {OTHER}"]
    assert [title for title, _ in stage.troubles] == ["There may be more in a room"]


@pytest.mark.expected_log("Unexpected fault in asking for the name of a thread in !other:")
async def test_a_thread_that_finds_a_fault_is_not_named(stage: SyncStage) -> None:
    content = {"msgtype": "m.text", "body": "hello", "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
    async with running(stage.loop):
        await stage.connected()
        await take(stage, JoinedRoom(OTHER, (make_event(room_id=OTHER, content=content),)), last="hello")


@pytest.mark.expected_log("Unexpected fault in asking for the facts of 2 rooms")
@pytest.mark.expected_log(r"Unexpected fault in asking for the facts of 1 room\n")
@pytest.mark.expected_log("Unexpected fault in judging a sync: it is judged again without what cannot be", times=2)
@pytest.mark.expected_log("Unexpected fault in judging what came in !faulty:")
async def test_a_fault_that_needs_the_room_costs_that_room_its_events(
    stage: SyncStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event does it alone."""
    find_a_fault(monkeypatch, lambda rooms: FAULTY in rooms)
    bad = message("bad", FAULTY)
    async with running(stage.loop):
        await stage.connected()
        await take(stage, JoinedRoom(FAULTY, (bad,)), JoinedRoom(OTHER, (message("good"),)), last="good")
        assert stage.rung == ["good"]
        judged = stage.ledger.judged[bad.event_id]
        assert (judged.decision, judged.reason) == (Decision.MALFORMED, FAULT)
        ((title, hint),) = stage.troubles
        assert title == "A message could not be judged"
        assert f"heliograph explain {bad.event_id}" in hint


@pytest.mark.expected_log("Unexpected fault in judging a sync: it is judged again without what cannot be", times=3)
async def test_a_fault_that_needs_several_rooms_costs_all_of_them_their_events_and_no_other_sync(
    stage: SyncStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_a_fault(monkeypatch, lambda rooms: len(rooms) > 1)
    async with running(stage.loop):
        await stage.connected()
        joined = (JoinedRoom(THIRD, (message("a", THIRD),)), JoinedRoom(OTHER, (message("b"),)))
        stage.homeserver.answers.append(Sync("s900", joined=joined))
        await stage.homeserver.drop_connections()
        await until(lambda: stage.troubles)
        await take(stage, JoinedRoom(OTHER, (message("c"),)), last="c")
    assert stage.rung == ["c"]
    assert len([each for each in stage.ledger.judged.values() if each.reason == FAULT]) == 2


@pytest.mark.expected_log("Unexpected fault in asking for the facts of 2 rooms")
@pytest.mark.expected_log(r"Unexpected fault in asking for the facts of 1 room\n")
@pytest.mark.expected_log("Unexpected fault in judging a sync: it is judged again without what cannot be", times=2)
@pytest.mark.expected_log("Unexpected fault in judging what came in !faulty:")
async def test_a_missed_message_that_finds_a_fault_does_not_keep_the_account_from_starting_anew(
    stage: SyncStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_a_fault(monkeypatch, lambda rooms: FAULTY in rooms)
    planner = stage.loop._commits._planner
    items = tuple(
        ServerNotification(message(text, room_id), ("notify",), 0, is_read=False)
        for text, room_id in (("bad", FAULTY), ("good", OTHER))
    )
    decided = await planner.plan_missed(Sync("s1"), items, stage.ledger.state)
    assert [each.room_id for each in decided.deliveries] == [OTHER]


@pytest.mark.expected_log("Unexpected fault in reading push rules")
@pytest.mark.expected_log(
    "Unusable push rules: the push rules find a fault of Heliograph's own; the last good ones stay"
)
async def test_push_rules_that_find_a_fault_are_told_and_the_last_good_ones_stay_in_force(
    stage: SyncStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(content: object) -> object:
        raise RuntimeError("a fault of our own")

    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        with monkeypatch.context() as patch:
            patch.setattr(Ruleset, "parse", fail)
            stage.homeserver.add_account_data("m.push_rules", {"global": {}})
            await until(lambda: stage.facts.rules_problem)
            await stage.hears(room, "hello")
    assert "fault of Heliograph's own" in str(stage.facts.rules_problem)


@pytest.mark.expected_log("Unexpected fault in the sync loop", times=3)
@pytest.mark.expected_log("@me:example.org: an unexpected fault, see the log$")
@pytest.mark.expected_log("Starting without what finds a fault of ours")
async def test_what_finds_a_fault_at_the_first_start_is_done_without(
    stage: SyncStage, homeserver: FaultyHomeserver
) -> None:
    homeserver.has_faulty_list = True
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "hello")


class FaultyLedger(FakeLedger):
    """Cannot keep what rings with the text `bad`, and for long not even that it was judged."""

    def __init__(self) -> None:
        super().__init__()
        self.is_all_faulty = False

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        has_bad = any(each.content is not None and each.content.text == "bad" for each in plan.deliveries)
        if has_bad or (self.is_all_faulty and plan.judged):
            raise ValueError("a fault of our own")
        return await super().commit(plan, now_ms)


async def give_up_bad(stage: SyncStage, ledger: FaultyLedger, bad: Event, *good: JoinedRoom) -> None:
    """The same sync comes until what is bad in it is given up."""
    for _ in range(TRIES):
        stage.homeserver.answers.append(Sync("s900", joined=(JoinedRoom(OTHER, (bad,)), *good)))
    await stage.homeserver.drop_connections()
    await until(lambda: "A message could not be kept" in stage.notices.titles)
    await until(lambda: ledger.state.next_batch == "s900")


@pytest.mark.expected_log("Unexpected fault in the sync loop", times=2)
@pytest.mark.expected_log("@me:example.org: an unexpected fault, see the log$")
@pytest.mark.expected_log("cannot be kept for a fault of our own: it is looked for, and given up")
@pytest.mark.expected_log(r"Given up, since it cannot be kept for a fault of our own: \$event")
async def test_a_message_that_cannot_be_kept_for_a_fault_is_given_up_alone_with_a_reason_and_a_notice(
    clock: WallClock,
) -> None:
    ledger = FaultyLedger()
    stage = SyncStage(clock, ledger=ledger)
    bad = message("bad")
    async with running(stage.loop):
        await stage.connected()
        others = [JoinedRoom(room_id, (message(room_id, room_id),)) for room_id in (FAULTY, THIRD)]
        await give_up_bad(stage, ledger, bad, *others)
        await take(stage, JoinedRoom(OTHER, (message("good"),)), last="good")
    assert stage.rung == [FAULTY, THIRD, "good"]
    assert (ledger.judged[bad.event_id].decision, ledger.judged[bad.event_id].reason) == (Decision.MALFORMED, UNKEPT)
    ((_, hint),) = stage.troubles
    assert f"heliograph explain {bad.event_id}" in hint


@pytest.mark.expected_log("Unexpected fault in the sync loop", times=2)
@pytest.mark.expected_log("@me:example.org: an unexpected fault, see the log$")
@pytest.mark.expected_log("cannot be kept for a fault of our own: it is looked for, and given up")
@pytest.mark.expected_log(r"Given up, since it cannot be kept for a fault of our own: \$event")
@pytest.mark.expected_log(r"Given up, since it cannot be kept for a fault of our own: why \$event\d+ is given up")
async def test_what_cannot_be_kept_in_any_way_does_not_hold_up_the_sync(clock: WallClock) -> None:
    ledger = FaultyLedger()
    stage = SyncStage(clock, ledger=ledger)
    bad = message("bad")
    async with running(stage.loop):
        await stage.connected()
        ledger.is_all_faulty = True
        await give_up_bad(stage, ledger, bad)
        ledger.is_all_faulty = False
        await take(stage, JoinedRoom(OTHER, (message("good"),)), last="good")
    assert stage.rung == ["good"]
    assert bad.event_id not in ledger.judged


@pytest.mark.expected_log("tasks error: Unexpected fault in what came for this device alone\n", times=(1, None))
async def test_who_is_told_beside_and_finds_a_fault_does_not_hold_up_the_sync(
    stage: SyncStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(came: ToDevice) -> None:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(stage.heard, "to_device", fail)
    event = b'{"type": "good", "sender": "@alice:example.org", "content": {}}'
    async with running(stage.loop):
        await stage.connected()
        rooms = (JoinedRoom(OTHER, (message("good"),)),)
        stage.homeserver.answers.append(Sync("s900", joined=rooms, to_device=(event,), has_changed_devices=True))
        await stage.homeserver.drop_connections()
        await stage.rings("good")


@pytest.mark.expected_log("Unexpected fault in taking 2 to-device events")
@pytest.mark.expected_log(r"Unexpected fault in taking 1 to-device event\n")
async def test_a_to_device_event_that_finds_a_fault_is_rejected_alone(stage: SyncStage) -> None:
    assert isinstance(stage.encryption, FaultyEncryption)
    async with running(stage.loop):
        await stage.connected()
        events = tuple(
            b'{"type": "%s", "sender": "@alice:example.org", "content": {}}' % each for each in (b"poison", b"good")
        )
        stage.homeserver.answers.append(Sync("s900", to_device=events))
        await stage.homeserver.drop_connections()
        await until(lambda: len(stage.heard.received) == 2)
    rejected, received = stage.heard.received
    assert isinstance(rejected, Rejected)
    assert "fault of Heliograph's own" in rejected.why
    assert isinstance(received, Received)
