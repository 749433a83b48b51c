"""The oracle knows a violation when it sees one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from system.faults.oracle import Evidence, Outcome, judge, owed_to_phone, unfinished, violations
from system.faults.record import Sent
from system.faults.screen import Telling, write_token
from system.faults.wire import Sync

SENT = Sent(1, "$one", "!room", at_s=10.0, is_loud=True)
SILENT = Sent(2, "$two", "!room", at_s=10.0, is_loud=False)


def telling(at_s: float, *numbers: int, version: int = 0, is_heard: bool = True) -> Telling:
    body = "\n".join(write_token(number, version) for number in numbers)
    return Telling(at_s, (1, 1), "Room", body, is_heard)


def evidence(sent: Sent = SENT, state: str | None = "shown", **more: object) -> Evidence:
    good = Evidence(
        sent=[sent],
        listed={sent.event_id: sent.read_s is not None} if sent.is_loud and sent.redacted_s is None else {},
        tellings=[telling(11.0, sent.number)] if state is not None else [],
        on_screen=[write_token(sent.number, sent.version)] if state == "shown" else [],
        states={} if state is None else {sent.event_id: state},
    )
    return replace(good, **more)  # type: ignore[arg-type]


READ = replace(SENT, read_s=12.0)
ANSWERED = replace(SENT, is_answered=True, read_s=12.0)
"""Synapse's list calls it unread still."""
SYNCS = [Sync("s", 12.1, 12.2), Sync("t", 12.3, 12.4)]

RIGHT = {
    "rang": (evidence(), Outcome.RANG),
    "silent": (evidence(SILENT, None), Outcome.SILENT),
    "read before it rang": (evidence(READ, None), Outcome.SILENT),
    "read on the phone": (evidence(READ, "withdrawn"), Outcome.WITHDRAWN),
    "answered elsewhere": (evidence(ANSWERED, "withdrawn", listed={"$one": False}), Outcome.WITHDRAWN),
    "redacted": (evidence(replace(SENT, redacted_s=12.0), "withdrawn"), Outcome.WITHDRAWN),
    "edited": (evidence(replace(SENT, version=1), tellings=[telling(11, 1), telling(12, 1, version=1)]), Outcome.RANG),
}
WRONG = {
    "never rang": (evidence(state=None), "G1"),
    "said by the ledger alone": (evidence(tellings=[]), "G1"),
    "waits for ever": (evidence(state="pending"), "G1"),
    "rang twice": (evidence(tellings=[telling(11, 1), telling(12, 1)]), "G2"),
    "rang though silent": (evidence(SILENT), "G3"),
    "read and on screen": (evidence(READ, "shown"), "G4"),
    "answered and on screen": (evidence(ANSWERED, "shown", listed={"$one": False}), "G4"),
    "rang after it was read": (evidence(READ, "withdrawn", tellings=[telling(20, 1)], syncs=SYNCS), "G4"),
    "an edit is missing": (evidence(replace(SENT, version=1), on_screen=[write_token(1)]), "G4"),
    "rang on the phone, too": (evidence(is_direct=True, acknowledged={"$one": 11}, pushed={"$one": [15]}), "G6"),
    "rang on the phone twice": (evidence(is_direct=True, pushed={"$one": [11, 12]}), "G2"),
    "rang nowhere": (evidence(unrung=[SENT]), "G6"),
    "a traceback": (evidence(logs={"daemon": "Traceback (most recent call last)"}), "G8"),
    "an end": (evidence(ends=["it ended"]), "G8"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_went_well_is_told_apart(case: str) -> None:
    seen, outcome = RIGHT[case]
    assert [each.outcome for each in judge(seen)] == [outcome]
    assert unfinished(seen) == []


@pytest.mark.parametrize("case", WRONG)
def test_a_violation_names_its_guarantee(case: str) -> None:
    seen, guarantee = WRONG[case]
    assert [each.guarantee for each in violations(judge(seen))] == [guarantee]


def test_one_repetition_is_excused_by_a_kill_in_between_and_no_more() -> None:
    twice = evidence(tellings=[telling(11, 1), telling(15, 1)], kills_s=[13.0])
    assert violations(judge(twice)) == []
    thrice = replace(twice, tellings=[*twice.tellings, telling(19, 1)])
    assert [each.guarantee for each in violations(judge(thrice))] == ["G2"]


def test_an_event_that_synapse_does_not_list_is_a_fault_of_the_harness() -> None:
    assert [each.guarantee for each in violations(judge(evidence(listed={})))] == ["harness"]


def test_the_phone_is_owed_what_nobody_has() -> None:
    assert owed_to_phone(evidence(state=None, is_direct=True)) == [SENT]
    assert owed_to_phone(evidence(is_direct=True)) == []
    assert owed_to_phone(evidence(state="pending", is_direct=True)) == []
    assert owed_to_phone(evidence(state=None, is_direct=True, pushed={"$one": [11]})) == []
