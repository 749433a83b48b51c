"""Where a sync has gaps, what they may hide, and how an open one is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.encryption.values import Locked, Reason
from heliograph.core.events import Event, JoinedRoom, Sync
from heliograph.core.ids import RoomId
from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Decision, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.sync.gaps import (
    LISTED_MS,
    gaps_in,
    hides_more_than_rings,
    is_list_recent,
    name_in_notice,
    word_open_gaps,
)
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from support.builders import ME, ROOM, make_delivery, make_event, make_facts, make_sync

HERE = "Look into your Matrix client."
OTHER = RoomId("!other:example.org")


def situation(facts: RoomFacts | None = None, **known: Any) -> Situation:
    rooms = {ROOM: RoomRecord(facts or make_facts())}
    before = Situation(ME, Mode.LOCAL, AccountState(), Ruleset.predefined(ME), rooms=rooms)
    return replace(before, **known)


def limited(*timeline: Event, **room: Any) -> JoinedRoom:
    return JoinedRoom(ROOM, timeline, limited=True, **room)


def test_what_lies_before_ones_own_joining_is_no_gap() -> None:
    joining = make_event(type="m.room.member", state_key=ME, sender=ME, content={"membership": "join"})
    rooms = (limited(make_event()), replace(limited(joining), room_id=OTHER), JoinedRoom(RoomId("!whole:example.org")))
    assert [room.room_id for room in gaps_in(Sync("s2", rooms), ME, {ROOM})] == [ROOM]
    # The join is a change of the own name where the user was in the room, and maybe where nobody knows.
    for joined in ({ROOM, OTHER}, None):
        assert [room.room_id for room in gaps_in(Sync("s2", rooms), ME, joined)] == [ROOM, OTHER]


@pytest.mark.parametrize("ahead_ms", [LISTED_MS, -LISTED_MS])
def test_a_list_is_recent_for_less_than_a_day_by_a_clock_that_may_be_wrong(ahead_ms: int) -> None:
    now = situation(account=AccountState(last_sync_ms=LISTED_MS * 2), now_ms=LISTED_MS * 2 + ahead_ms)
    assert not is_list_recent(now)
    assert is_list_recent(replace(now, now_ms=now.now_ms - ahead_ms // LISTED_MS))


def test_a_plain_room_with_nothing_open_hides_nothing_more() -> None:
    assert not hides_more_than_rings(limited(make_event()), situation())
    assert not hides_more_than_rings(limited(), situation(open_deliveries=[make_delivery(room_id=OTHER)]))


@pytest.mark.parametrize(
    ("room", "known"),
    [
        (limited(), situation(make_facts(is_encrypted=True))),
        (limited(), situation(make_facts(is_complete=False))),
        (limited(), situation(rooms={})),
        (limited(), situation(open_deliveries=[make_delivery()])),
        (limited(state=(make_event(type="m.room.encryption", state_key=""),)), situation()),
        (limited(make_event(event_id="$locked")), situation(locked={"$locked": Locked(Reason.NO_KEY)})),
    ],
    ids=["encrypted", "facts unknown", "room unknown", "something open", "encrypted since", "an encrypted event"],
)
def test_what_is_encrypted_or_open_may_hide_more_than_a_list_tells(room: JoinedRoom, known: Situation) -> None:
    assert hides_more_than_rings(room, known)


@pytest.mark.parametrize(
    ("names", "title", "where"),
    [
        (["Lunch"], "There may be more in Lunch", "there"),
        ([""], "There may be more in a room", "there"),
        (["", ""], "There may be more in 2 rooms", "there"),
        (["Lunch", "Dinner"], "There may be more in 2 rooms", "in Lunch, Dinner"),
        (["A", "", "B", "C", "D"], "There may be more in 5 rooms", "in A, B, C and 2 others"),
    ],
)
def test_an_open_gap_is_told_by_its_rooms_as_far_as_these_may_be_named(
    names: list[str], title: str, where: str
) -> None:
    hint = f"Some of what came {where} meanwhile may be missing here: too much came. {HERE}"
    assert word_open_gaps(names, "too much came") == (title, hint)


@pytest.mark.parametrize(
    ("privacy", "name"),
    [
        (Privacy(), "Lunch"),
        (Privacy(rooms={Level.HIDDEN: frozenset({ROOM})}), ""),
        (Privacy(rooms={Level.HIDDEN: frozenset({"Lunch"})}), ""),
        (Privacy(locked=Level.HIDDEN), ""),
        (Privacy(locked=Level.SENDER), "Lunch"),
    ],
)
def test_a_room_that_is_hidden_is_not_named_in_a_notice(privacy: Privacy, name: str) -> None:
    known = situation(make_facts(name="Lunch"), privacy=privacy)
    assert name_in_notice(ROOM, known) == name
    assert name_in_notice(OTHER, known) == ""


def test_a_gap_that_stays_open_is_kept_under_a_key_of_its_own() -> None:
    first, second = make_event(), make_event()
    told = plan(make_sync(first, gap="too much came"), situation()).judged
    gap = next(each for each in told if each.event_id.startswith("gap:"))
    assert (gap.room_id, gap.decision, gap.reason) == (ROOM, Decision.SILENT, "too much came")
    again = plan(make_sync(first, gap="too much came"), situation()).judged
    later = plan(make_sync(second, gap="too much came"), situation()).judged
    assert gap.event_id in {each.event_id for each in again}
    assert gap.event_id not in {each.event_id for each in later}
