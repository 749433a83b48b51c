"""A plan in parts, and together again."""

from __future__ import annotations

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData
from heliograph.core.ids import EventId, event_key
from heliograph.core.record import UNKEPT, Decision, Judged, LockedEvent, Plan, RoomRecord, Withdrawal
from heliograph.core.sync.parts import join_parts, split
from support.builders import ROOM, make_delivery, make_encrypted, make_event, make_facts


def make_judged(event_id: str) -> Judged:
    return Judged(event_key(event_id), ROOM, Decision.RING, ".m.rule.message")


PLAN = Plan(
    "s2",
    judged=(make_judged("$a"), make_judged("$silent")),
    deliveries=(make_delivery("$a"), make_delivery("$late"), make_delivery("$alone")),
    rejudged=(make_judged("$late"),),
    changes=(Withdrawal(EventId("$old"), "read elsewhere"),),
    rooms=(RoomRecord(make_facts()),),
    account_data=AccountData(is_silenced=False, direct_rooms=frozenset({ROOM})),
    locked=(LockedEvent(make_encrypted(make_event("x")), RoomKey(ROOM, "session")),),
    unlocked=(EventId("$open"),),
    timelines=((EventId("$a"), EventId("$silent")),),
    has_counted=True,
)


def test_the_parts_together_are_the_plan() -> None:
    whole = join_parts(split(PLAN), "s2")
    assert set(whole.deliveries) == set(PLAN.deliveries)
    assert (whole.judged, whole.rejudged, whole.changes) == (PLAN.judged, PLAN.rejudged, PLAN.changes)
    assert (whole.rooms, whole.account_data) == (PLAN.rooms, PLAN.account_data)
    assert (whole.timelines, whole.has_counted) == (PLAN.timelines, True)
    assert (whole.locked, whole.unlocked, whole.next_batch) == (PLAN.locked, PLAN.unlocked, "s2")


def test_an_event_stays_with_what_it_brings_to_the_screen() -> None:
    part = next(part for part in split(PLAN) if part.event_id == "$a")
    assert part.plan == Plan(None, judged=(make_judged("$a"),), deliveries=(make_delivery("$a"),))


def test_the_first_of_two_judgements_of_an_event_counts() -> None:
    first, second = make_judged("$a"), Judged(EventId("$a"), ROOM, Decision.SILENT, "own event")
    assert join_parts(split(Plan("s2", judged=(first, second))), "s2").judged == (first,)


def test_no_part_moves_the_token() -> None:
    assert {part.plan.next_batch for part in split(PLAN)} == {None}


def test_only_what_is_looked_at_for_the_first_time_is_an_event_to_be_given_up() -> None:
    assert [part.event_id for part in split(PLAN) if part.event_id] == ["$a", "$silent", "$alone"]


def test_an_event_that_is_given_up_is_recorded_with_the_reason() -> None:
    (judged,) = split(PLAN)[1].given_up().judged
    assert (judged.event_id, judged.decision, judged.reason) == ("$a", Decision.MALFORMED, UNKEPT)
