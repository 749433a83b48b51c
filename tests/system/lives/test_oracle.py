"""The oracle sees what is wrong. If it did not, lives would prove nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from system.faults.screen import Telling, read_tokens
from system.lives.oracle import Delivery, Evidence, Expected, Fault, Popup, judge

ME = "@me:example.org"
ROOM = "!harbour:example.org"
EVENT = "$one"
EXPECTED = Expected(1, EVENT, ROOM, ME, rings=True)
POPUP = Popup(ROOM, "Harbour", "Alice: w0001v0", ME, {1: 0})


def _telling(body: str, *, at_s: float = 1.0, is_heard: bool = True) -> Telling:
    return Telling(at_s, (1, 1), "Harbour", body, is_heard)


def _rows(state: str | None) -> dict[str, list[Delivery]]:
    key = ROOM if state == "shown" else None
    return {ME: [] if state is None else [Delivery(EVENT, ROOM, state, key)]}


def _evidence(state: str | None = "shown", **changes: Any) -> Evidence:
    """Of one message that rang, is on screen, in the inbox and counted."""
    is_unread = state in ("pending", "shown", "dismissed", "lost")
    evidence = Evidence(
        expected=[EXPECTED],
        deliveries=_rows(state),
        inbox={ME: {ROOM: (1, [EVENT])}} if is_unread else {},
        bar=int(is_unread),
        highlights=0,
        popups=[POPUP] if state == "shown" else [],
        tellings=[_telling("Alice: w0001v0")] if state is not None else [],
    )
    return replace(evidence, **changes)


def _faults(evidence: Evidence) -> set[Fault]:
    return {each.fault for each in judge(evidence)}


def test_a_message_that_rang_once_is_in_order() -> None:
    assert _faults(_evidence()) == set()


def test_the_ledgers_word_needs_the_screens() -> None:
    assert _faults(_evidence(tellings=[])) == {Fault.NOT_TOLD}
    assert _faults(_evidence(tellings=[], unquoted=frozenset({EVENT}))) == set()
    assert _faults(_evidence(popups=[])) == {Fault.NOT_ON_SCREEN}
    assert _faults(_evidence(popups=[], expected=[replace(EXPECTED, is_cleared=True)])) == set()


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("Bob: w0002v1\nBob: w0003v0\nBob: w0004v0\nBob: w0002v1", set()),
        ("Bob: w0002v1\nBob: w0003v0\nBob: w0002v1", {Fault.NOT_TOLD}),
    ],
)
def test_a_popup_that_quotes_all_it_can_may_count_the_others(body: str, faults: set[Fault]) -> None:
    """Also if an edit that rang by itself is quoted beside what it edits."""
    others = [Expected(number, f"$other{number}", ROOM, ME, rings=False) for number in (2, 3, 4)]
    evidence = _evidence(tellings=[_telling(body)], expected=[EXPECTED, *others])
    assert _faults(evidence) & {Fault.NOT_TOLD} == faults


@pytest.mark.parametrize("state", [None, "pending"])
def test_what_rings_must_ring(state: str | None) -> None:
    assert _faults(_evidence(state)) == {Fault.NEVER_RANG}


def test_in_quiet_it_may_wait() -> None:
    assert _faults(_evidence("pending", is_quiet=True)) == set()


@pytest.mark.parametrize("state", ["withdrawn", "opened", "cancelled"])
def test_what_is_unread_must_not_be_settled(state: str) -> None:
    assert _faults(_evidence(state)) == {Fault.SETTLED}


def test_what_does_not_ring_must_not_ring() -> None:
    silent = [replace(EXPECTED, rings=False)]
    assert _faults(_evidence(expected=silent)) == {Fault.RANG}
    assert _faults(_evidence(None, expected=silent)) == set()
    assert _faults(_evidence("withdrawn", expected=silent)) == {Fault.RANG}
    assert _faults(_evidence(expected=[])) == {Fault.RANG}


def test_a_popup_that_a_killed_daemon_did_not_record_may_stay_once_for_each_kill() -> None:
    orphan = replace(POPUP, key="")
    beside = _evidence(popups=[orphan, POPUP])
    assert _faults(beside) == {Fault.NOTICE}
    assert _faults(replace(beside, orphans=[{1: 0}])) == set()
    assert _faults(replace(beside, orphans=[{2: 0}])) == {Fault.NOTICE}
    assert _faults(replace(beside, popups=[orphan, orphan, POPUP], orphans=[{1: 0}])) == {Fault.NOTICE}
    assert _faults(replace(beside, popups=[orphan], orphans=[{1: 0}])) == {Fault.NOT_ON_SCREEN}


def test_what_is_gone_is_withdrawn() -> None:
    gone = [replace(EXPECTED, gone="read")]
    assert _faults(_evidence(expected=gone)) == {Fault.KEPT, Fault.ON_SCREEN}
    assert _faults(_evidence("withdrawn", expected=gone)) == set()
    assert _faults(_evidence(None, expected=gone)) == set()


def test_an_edit_is_on_screen_in_its_last_version() -> None:
    assert _faults(_evidence(expected=[replace(EXPECTED, version=1)])) == {Fault.OLD_VERSION}


def test_what_was_gone_before_must_not_ring_later() -> None:
    gone = [replace(EXPECTED, gone="read", was_gone=True)]
    rang = [_telling("Alice: w0001v0")]
    assert _faults(_evidence("withdrawn", expected=gone, tellings=rang)) == {Fault.RANG_LATE}
    assert _faults(_evidence("withdrawn", expected=gone, tellings=rang, told_before=1)) == set()


def test_the_same_is_not_heard_twice() -> None:
    twice = [_telling("Alice: w0001v0"), _telling("Alice: w0001v0", at_s=2.0)]
    assert _faults(_evidence(tellings=twice)) == {Fault.RANG_TWICE}
    quietly = [twice[0], replace(twice[1], is_heard=False)]
    assert _faults(_evidence(tellings=quietly)) == set()
    assert _faults(_evidence(tellings=twice, told_before=2)) == set()


def test_inbox_and_bar_say_what_the_ledger_says() -> None:
    assert _faults(_evidence(inbox={})) == {Fault.INBOX}
    assert _faults(_evidence(inbox={ME: {ROOM: (2, [EVENT])}})) == {Fault.INBOX}
    assert _faults(_evidence(inbox={ME: {ROOM: (1, ["$other"])}})) == {Fault.INBOX}
    assert _faults(_evidence(bar=0)) == {Fault.BAR}
    assert _faults(_evidence(highlights=1)) == {Fault.BAR}
    assert _faults(_evidence(expected=[replace(EXPECTED, is_highlight=True)])) == {Fault.BAR}
    assert _faults(_evidence(expected=[replace(EXPECTED, is_highlight=True)], highlights=1)) == set()


def test_in_quiet_only_what_highlights_and_what_is_of_the_named_rooms_pops_up() -> None:
    quiet: dict[str, Any] = {"is_quiet": True, "was_quiet": True}
    assert _faults(_evidence(**quiet)) == {Fault.RANG_IN_QUIET}
    assert _faults(_evidence(is_quiet=True)) == set()
    assert _faults(_evidence(**quiet, popped_up=frozenset({EVENT}))) == set()
    assert _faults(_evidence("pending", **quiet, tellings=[])) == set()
    highlights: dict[str, Any] = {"expected": [replace(EXPECTED, is_highlight=True)], "highlights": 1}
    is_named: dict[str, Any] = {"loud_rooms": frozenset({ROOM})}
    for passing in (is_named, highlights):
        assert _faults(_evidence(**quiet, **passing)) == set()
        assert _faults(_evidence("pending", **quiet, **passing)) == {Fault.NEVER_RANG}


def test_what_was_shown_without_its_words_is_not_heard_again_with_them() -> None:
    quoted = _evidence(unquoted=frozenset({EVENT}))
    assert _faults(quoted) == {Fault.RANG_TWICE}
    assert _faults(replace(quoted, tellings=[_telling("Alice: w0001v0", is_heard=False)])) == set()


def test_only_while_a_call_may_ring_does_a_popup_insist() -> None:
    insisting = _evidence(popups=[replace(POPUP, is_urgent=True)])
    assert _faults(insisting) == {Fault.RINGS_ON}
    assert _faults(replace(insisting, ringing=frozenset({ROOM}))) == set()


def test_a_summary_counts_what_is_unread_in_its_rooms() -> None:
    two = [EXPECTED, Expected(2, "$two", "!quarry:example.org", ME, rings=True)]
    key = "summary:$one"
    rows = [Delivery(each.event_id, each.room_id, "shown", key) for each in two]
    summary = Popup(key, "2 new messages in 2 rooms", "Harbour: 1", ME, {})
    evidence = _evidence(
        expected=two,
        deliveries={ME: rows},
        inbox={ME: {each.room_id: (1, [each.event_id]) for each in two}},
        bar=2,
        popups=[summary],
        tellings=[_telling("Harbour: 1")],
    )
    assert _faults(evidence) == set()
    assert _faults(replace(evidence, popups=[replace(summary, title="3 new messages in 2 rooms")])) == {Fault.COUNT}
    assert _faults(replace(evidence, popups=[])) == {Fault.NOT_ON_SCREEN}


def test_who_wrote_is_told_so_that_it_can_be_nobody_else() -> None:
    named = [replace(EXPECTED, names=frozenset({"Ada (@ada:example.org)"}))]
    assert _faults(_evidence(expected=named, senders={EVENT: "Ada (@ada:example.org)"})) == set()
    assert _faults(_evidence(expected=named, senders={EVENT: "Ada"})) == {Fault.NAME}
    assert _faults(_evidence(senders={EVENT: "Ada"})) == set()


def test_words_of_our_own_need_a_reason() -> None:
    notice = Popup("", "Some messages may be missing", "Look there.", ME, read_tokens(""))
    assert _faults(_evidence(popups=[POPUP, notice])) == {Fault.NOTICE}
    assert _faults(_evidence(popups=[POPUP, notice], notices=[notice.title])) == set()


def test_what_nobody_knows_to_ring_may_ring_and_need_not() -> None:
    unknown = [replace(EXPECTED, rings=False, ring_is_unknown=True, highlight_is_unknown=True)]
    assert _faults(_evidence(None, expected=unknown)) == set()
    assert _faults(_evidence(expected=unknown)) == set()
    assert _faults(_evidence(highlights=1, expected=unknown)) == set()
    assert _faults(_evidence(highlights=2, expected=unknown)) == {Fault.BAR}
    assert _faults(_evidence(expected=unknown, popups=[])) == {Fault.NOT_ON_SCREEN}
    gone = [replace(unknown[0], gone="read")]
    assert _faults(_evidence(expected=gone)) == {Fault.KEPT, Fault.ON_SCREEN}
    assert _faults(_evidence("withdrawn", expected=gone, highlights=1)) == {Fault.BAR}
