"""What answers of the homeserver tell of reading."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heliograph.core.reading import Mark
from heliograph.relay.model.around import Around
from heliograph.relay.wire.context import around_of, read_context
from heliograph.relay.wire.sync import MAX_RECEIPTS, scan

ME, ALICE, ROOM = "@me:x", "@alice:x", "!room:x"


def event(event_id: str, sender: str = ALICE, type_: str = "m.room.message", **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "sender": sender, "type": type_, "content": {"body": "x"}, **more}


def related(event_id: str, target: Any, rel_type: Any = "m.annotation", **more: Any) -> dict[str, Any]:
    content = {"m.relates_to": {"rel_type": rel_type, "event_id": target}}
    return {**event(event_id, **more), "content": content}


THREADED = [event("$root"), related("$reply", "$root", "m.thread"), related("$like", "$reply")]


def test_the_context_of_an_event_is_a_stretch_with_the_threads_in_it() -> None:
    answer = {
        "events_before": [related("$reply", "$root", "m.thread"), event("$root")],
        "event": related("$like", "$reply"),
        "events_after": [
            related("$odd", "$far away"),
            5,
            {"event_id": 5},
            related("$worse", 5),
            related("$w", "$x", 5),
        ],
    }
    around = read_context(answer)
    assert around.stretch == ("$root", "$reply", "$like", "$odd", "$worse", "$w")
    assert around.threads == {"$root": "main", "$reply": "$root", "$like": "$root", "$worse": "main", "$w": "main"}


@pytest.mark.parametrize("answer", [None, [], {}, {"event": 5, "events_before": {}, "events_after": "x"}])
def test_a_context_that_is_none_tells_nothing(answer: Any) -> None:
    assert read_context(answer) == Around((), {})


def _read(*timeline: Any, receipts: dict[str, Any] | None = None) -> list[Mark]:
    ephemeral = {"events": [{"type": "m.receipt", "content": receipts or {}}]}
    room = {"timeline": {"events": list(timeline)}, "ephemeral": ephemeral}
    scanned = scan(json.dumps({"next_batch": "s1", "rooms": {"join": {ROOM: room}}}).encode(), ME)
    assert scanned is not None
    assert all((each.room_id, each.around) == (ROOM, around_of(timeline)) for each in scanned.read)
    return [each.mark for each in scanned.read]


def test_the_users_own_receipts_mark_and_others_do_not() -> None:
    mine = {ME: {"thread_id": "$root"}}
    receipts = {"$a": {"m.read": {ME: {}, ALICE: {}}, "m.read.private": mine}, "$b": {"m.read": {ALICE: {}}, "x": mine}}
    assert _read(*THREADED, receipts=receipts) == [Mark("$a"), Mark("$a", "$root")]


def test_of_receipts_without_measure_only_some_mark() -> None:
    assert len(_read(receipts={f"${number}": {"m.read": {ME: {}}} for number in range(5_000)})) == MAX_RECEIPTS


def test_the_last_message_that_another_device_sent_marks_in_each_thread() -> None:
    own = [event("$1", ME), event("$2", ME), related("$3", "$root", "m.thread", sender=ME)]
    assert _read(*THREADED, *own, event("$4")) == [Mark("$2", "main"), Mark("$3", "$root")]


@pytest.mark.parametrize(
    "own",
    [
        event("$1", ME, unsigned={"transaction_id": "t"}),
        event("$1", ME, unsigned={"redacted_because": {}}),
        event("$1", ME, "m.room.name", state_key=""),
        event("$1", ME, "m.reaction"),
        related("$1", "$reply", "m.replace", sender=ME),
        {"event_id": 5, "sender": ME, "type": "m.room.message"},
    ],
)
def test_what_is_no_message_from_elsewhere_marks_nothing(own: Any) -> None:
    assert _read(*THREADED, own) == []
