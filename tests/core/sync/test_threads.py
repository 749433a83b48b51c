"""Which thread an event belongs to by what it relates to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.events import Event, Malformed, Receipt, Sync
from heliograph.core.ids import EventId
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, RoomRecord
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.sync.threads import inherit, parents_in, untold_parents
from support.builders import ALICE, ME, ROOM, make_edit, make_event, make_facts, make_server_notification, make_sync

LOUD = Ruleset.parse({"override": [{"rule_id": "all", "enabled": True, "default": False, "actions": ["notify"]}]})


def related(target: str, rel_type: str = "m.annotation", **event: Any) -> Event:
    return make_event(content={"m.relates_to": {"rel_type": rel_type, "event_id": target}}, **event)


def situation(**changes: Any) -> Situation:
    rooms = {ROOM: RoomRecord(make_facts())}
    return Situation(ME, Mode.LOCAL, AccountState(), LOUD, rooms, **changes)


def threads(sync: Sync, known: dict[str, str], **changes: Any) -> dict[str, str | None]:
    sync, told = inherit(sync, situation(**changes), known)
    events = [event for room in sync.joined for event in room.timeline if isinstance(event, Event)]
    items = [item.event for item in (*sync.notifications, *told.filled) if not isinstance(item, Malformed)]
    return {event.event_id: event.thread_root for event in (*events, *items, *told.late)}


@pytest.mark.parametrize(
    ("parent", "root"), [("$in thread", "$root"), ("$root", None), ("$unknown", None), ("$edited", "$root")]
)
def test_what_relates_to_an_event_is_in_its_thread(parent: str, root: str | None) -> None:
    timeline = [related("$root", "m.thread", event_id="$in thread"), make_edit("$in thread", event_id="$edited")]
    event = related(parent, event_id="$event")
    assert threads(make_sync(*timeline, event), {"$root": "main"})["$event"] == root
    known = {"$in thread": "$root", "$edited": "$root", "$root": "main"}
    assert threads(make_sync(event), known)["$event"] == root


def test_what_is_listed_or_late_is_in_the_thread_as_well() -> None:
    bad = Malformed("notifications", "odd")
    both = make_event(event_id="$both")
    events = [related("$a", event_id=name) for name in ("$listed", "$filled", "$late")]
    listed = (make_server_notification(events[0]), bad, make_server_notification(both))
    sync = replace(make_sync(both), notifications=listed)
    filled = (make_server_notification(events[1]),)
    found = threads(sync, {"$a": "$root"}, filled=filled, late=(events[2],))
    assert found == {"$both": None, "$listed": "$root", "$filled": "$root", "$late": "$root"}


def test_what_relates_to_nothing_stays_as_it_is() -> None:
    sync, before = make_sync(make_event(), related("$root", "m.thread")), situation()
    assert parents_in(sync, before) == frozenset()
    assert inherit(sync, before, {}) == (sync, before)


@pytest.mark.parametrize("relation", [{"rel_type": 5, "event_id": "$a"}, {"rel_type": "m.x", "event_id": 5}, "odd", {}])
def test_a_relation_that_is_none_has_no_parent(relation: object) -> None:
    assert make_event(content={"m.relates_to": relation}).parent is None


def test_only_the_parent_of_what_rings_is_asked_for() -> None:
    sync = make_sync(related("$old", event_id="$1"), related("$other", event_id="$2", sender=ME), make_event())
    decided = plan(sync, situation())
    assert untold_parents(sync, situation(), {}, decided) == {(ROOM, "$old")}
    assert untold_parents(sync, situation(), {"$old": "main"}, decided) == frozenset()


def test_a_receipt_of_the_thread_reads_a_reaction_there_and_one_of_the_rest_does_not() -> None:
    reaction = related("$old", event_id="$reaction", sender=ALICE, type="m.reaction")
    for thread, rung in (("$root", []), ("main", ["$reaction"])):
        sync = make_sync(reaction, make_event(event_id="$end"), receipts=(Receipt(ROOM, EventId("$end"), thread),))
        sync, told = inherit(sync, situation(), {"$old": "$root"})
        found = [each.event_id for each in plan(sync, told).deliveries if each.event_id != "$end"]
        assert found == rung
