"""Why an event rang or not, in sentences that hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.delivery import State
from heliograph.core.encryption.values import Locked, Reason, RoomKey
from heliograph.core.events import Event
from heliograph.core.explanation import MAX_RULES, Evidence, Explanation, explain
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import FAULT, UNKEPT, UNLISTED, AccountState, Decision, EventRecord, Judged
from heliograph.core.sync.judging import SERVER_RULE
from support.builders import ALICE, BOB, ME, ROOM, make_delivery, make_event, make_facts
from support.rule_builders import make_rule, match

MESSAGE = make_event("lunch?")


def explained(event: Event | None = MESSAGE, rules: dict[str, Any] | None = None, **evidence: Any) -> Explanation:
    ruleset = Ruleset.predefined(ME) if rules is None else Ruleset.parse(rules)
    return explain(Evidence(**{"me": ME, "ruleset": ruleset, "account": AccountState(), "event": event,
                               "facts": make_facts(), **evidence}))  # fmt: skip


def sentence_of(condition: dict[str, Any], event: Event = MESSAGE, **evidence: Any) -> str:
    (tried,) = explained(event, {"override": [make_rule(conditions=[condition])]}, **evidence).tried
    assert not tried.has_matched
    return tried.sentence


def judged(decision: Decision, reason: str, rule: str | None = None) -> EventRecord:
    return EventRecord(Judged(MESSAGE.event_id, ROOM, decision, reason, rule, ALICE), 1_000)


def delivered(**delivery: Any) -> EventRecord:
    record = judged(Decision.RING, "content/lunch", "content/lunch")
    return replace(record, delivery=make_delivery(MESSAGE.event_id, **delivery))


def test_every_rule_is_told_of_up_to_the_one_that_decides() -> None:
    rules = {
        "override": [make_rule("off", enabled=False), make_rule("no", conditions=[match("content.body", "dinner")])],
        "content": [make_rule("yes", "notify", {"set_tweak": "highlight"}, pattern="lunch"), make_rule(pattern="x")],
    }

    told = explained(rules=rules)

    assert [(tried.rule, tried.is_enabled, tried.has_matched, tried.sentence) for tried in told.tried] == [
        ("override/off", False, False, "disabled"),
        ("override/no", True, False, 'asks that it says “dinner”; it is "lunch?"'),
        ("content/yes", True, True, "matched: notify, highlighted"),
    ]
    no = told.tried[1]
    assert (no.condition, no.saw) == (match("content.body", "dinner"), '"lunch?"')
    assert told.verdict is not None
    assert told.verdict.rule == "content/yes"
    assert told.rings


@pytest.mark.parametrize(
    ("condition", "evidence", "saw"),
    [
        (match("content.nothing", "x"), {}, "there is none"),
        ({"kind": "unheard of"}, {}, "it is not one that Heliograph knows"),
        ({"kind": "contains_display_name"}, {}, 'you are called "Me", and it says "lunch?"'),
        (
            {"kind": "contains_display_name"},
            {"event": make_event(content={})},
            "you are called \"Me\", and it says nothing",
        ),
        ({"kind": "contains_display_name"}, {"facts": make_facts(own_display_name=None)}, "you have no name there"),
        ({"kind": "room_member_count", "is": "2"}, {}, "it has 5"),
        ({"kind": "room_member_count", "is": "2"}, {"facts": None}, "how many it has is not known"),
        (
            {"kind": "sender_notification_permission", "key": "room"},
            {"facts": make_facts(power_levels={"notifications": {"room": 10}, "users": {ALICE: 5}})},
            "the sender's power level is 5, and 10 is needed",
        ),
        (
            {"kind": "sender_notification_permission", "key": "room"},
            {"facts": None},
            "the sender's power level is not known, and 50 is needed",
        ),
        (
            {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
            {},
            "whether you follow it is not known",
        ),
        (
            {"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.in_reply_to"},
            {},
            "it is related to none, or to one that is not known",
        ),
        (
            {"kind": "org.matrix.msc3931.room_version_supports", "feature": "x"},
            {},
            'the version is "11"',
        ),
        (
            {"kind": "org.matrix.msc3931.room_version_supports", "feature": "x"},
            {"facts": None},
            "the version is not known",
        ),
        (
            {"kind": "org.matrix.msc3914.call_started"},
            {"event": make_event(content={"a": [1, None]})},
            'it is {"a": [1, null]}',
        ),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_match_tells_what_it_saw(condition: dict[str, Any], evidence: Any, saw: str) -> None:
    assert sentence_of(condition, **evidence).endswith(f"; {saw}")


def test_a_legacy_rule_tells_that_mentions_switch_it_off() -> None:
    event = make_event(content={"body": "me", "m.mentions": {}})

    (tried,) = explained(event, {"content": [make_rule(".m.rule.contains_user_name", pattern="me")]}).tried

    assert tried.sentence.endswith("; it says whom it mentions: {}")


@pytest.mark.parametrize("body", ["\x1b[2J\u202e" + "x" * 9_999, "\ud800", "\n" * 10_000])
def test_what_a_stranger_wrote_is_short_and_cannot_command_the_terminal(body: str) -> None:
    sentence = sentence_of(match("content.body", "dinner"), make_event(body))

    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize("size", [5_000, 4])
def test_a_number_too_large_to_be_written_is_not_shown(size: int) -> None:
    saw = sentence_of(match("content.n", "x"), make_event(content={"n": 10**size}))

    assert saw.endswith("it is 10000" if size == 4 else "it is too large to be shown")


def test_a_rule_with_a_hostile_name_is_one_line() -> None:
    (tried,) = explained(rules={"override": [make_rule("\x1b[2J\n" + "x" * 900, enabled=False)]}).tried

    assert tried.rule.isprintable()
    assert len(tried.rule) <= 200


def test_of_thousands_of_rules_the_first_are_told_and_the_one_that_decides() -> None:
    keywords = [make_rule(f"k{number}", pattern=f"word{number}") for number in range(MAX_RULES + 9)]

    told = explained(rules={"content": keywords, "underride": [make_rule("last")]})

    assert len(told.tried) == MAX_RULES
    assert told.tried[-1].rule == "underride/last"
    assert told.untold == 10


@pytest.mark.parametrize(
    ("evidence", "answer"),
    [
        ({}, "It would ring, by underride/.m.rule.message, but Heliograph was not told of it."),
        ({"event": make_event(sender=ME)}, "It does not ring: it is your own."),
        (
            {"account": AccountState(ignored_users=frozenset({ALICE}))},
            "It does not ring: you ignore its sender.",
        ),
        (
            {"event": make_event(content={"msgtype": "m.notice"})},
            "It does not ring: override/.m.rule.suppress_notices says so.",
        ),
        ({"rules": {}}, "It does not ring: no rule matches it."),
        (
            {"account": AccountState(is_silenced=True)},
            "It does not ring: another client silenced this device.",
        ),
        (
            {"account": AccountState(is_pusher_enabled=False)},
            "It does not ring: another client switched this device's pusher off.",
        ),
        ({"event": None}, "Nothing is known of it."),
    ],
)
def test_of_an_event_that_was_never_judged_the_rules_tell(evidence: Any, answer: str) -> None:
    told = explained(**evidence)

    assert told.answer == answer
    assert told.rings == answer.startswith("It would ring")


@pytest.mark.parametrize(
    ("reason", "rule", "why"),
    [
        (UNLISTED, None, "in direct mode the homeserver says what rings, and it did not list this event"),
        ("own event", None, "it is your own"),
        ("its sender is ignored", "content/x", "you ignore its sender"),
        ("its sender was ignored when it came", None, "you ignored its sender when it came"),
        ("read elsewhere", "content/x", "you had read it elsewhere before it could be shown"),
        (
            "deleted by its sender or a moderator",
            None,
            "it was deleted by its sender or a moderator before it could be shown",
        ),
        ("from before you joined", None, "it is from before you joined the room"),
        ("no rule matched", None, "no rule matched it"),
        ("content/x", "content/x", "content/x said so"),
        (SERVER_RULE, SERVER_RULE, "the homeserver said so"),
        ("another client silenced this device", "content/x", "another client silenced this device"),
    ],
)
def test_of_an_event_that_was_silent_the_reason_is_told(reason: str, rule: str | None, why: str) -> None:
    told = explained(record=judged(Decision.SILENT, reason, rule))

    assert told.answer == f"It did not ring: {why}."
    assert not told.rings


def test_of_a_malformed_event_it_is_told_what_was_wrong() -> None:
    told = explained(None, record=judged(Decision.MALFORMED, "timeline: not JSON"))

    assert told.answer == "It did not ring: it is malformed (timeline: not JSON)."
    assert (told.verdict, told.tried) == (None, ())


@pytest.mark.parametrize("reason", [FAULT, UNKEPT])
def test_of_an_event_that_finds_a_fault_of_ours_it_is_told_where_to_look(reason: str) -> None:
    told = explained(None, record=judged(Decision.MALFORMED, reason))

    assert told.answer == f"It did not ring: {reason}, whose traceback is in the log."


@pytest.mark.parametrize(
    ("delivery", "became"),
    [
        ({}, "It waits to be shown."),
        ({"attempts": 1, "why": "no server"}, "It waits to be shown, which failed once: no server."),
        ({"attempts": 3, "why": "no server"}, "It waits to be shown, which failed 3 times: no server."),
        ({"state": State.SHOWN, "popup_key": ROOM}, "It is on screen."),
        ({"state": State.SHOWN}, "It was shown; whether it still is, is unknown."),
        ({"state": State.OPENED}, "You opened it, or its room."),
        ({"state": State.DISMISSED}, "It was shown, and you or your desktop closed it."),
        ({"state": State.WITHDRAWN, "why": "read elsewhere"}, "It was shown, and taken back: read elsewhere."),
        ({"state": State.CANCELLED, "why": "left the room"}, "It was taken back before it was shown: left the room."),
        ({"state": State.LOST, "why": "refused"}, "It could not be shown: refused."),
    ],
)
def test_of_an_event_that_rang_it_is_told_what_became_of_it(delivery: Any, became: str) -> None:
    told = explained(record=delivered(**delivery))

    assert told.answer == f"It rang, by content/lunch. {became}"
    assert told.rings


def test_a_ring_whose_delivery_is_forgotten_says_so() -> None:
    record = judged(Decision.RING, SERVER_RULE, SERVER_RULE)

    assert explained(record=record).answer == "It rang, as the homeserver said. What became of it is not known."


def test_an_event_that_is_gone_is_explained_from_its_record_alone() -> None:
    told = explained(None, record=delivered())

    assert told.answer.startswith("It rang, by content/lunch.")
    assert (told.verdict, told.tried, told.notes) == (None, (), ())


def test_that_newer_rules_cannot_be_used_is_pointed_out() -> None:
    account = AccountState(rules_problem="none can be read; \x1b the last good ones stay in force")

    assert explained(account=account, record=judged(Decision.SILENT, "content/lunch")).notes[-1:] == (
        "Newer push rules cannot be used: none can be read; the last good ones stay in force.",
    )


def test_rules_that_changed_since_are_pointed_out() -> None:
    record = judged(Decision.SILENT, "content/old", "content/old")

    assert explained(record=record).notes == (
        "The rules, the room or the event have changed since content/old decided: "
        "now underride/.m.rule.message decides.",
    )
    assert explained(rules={}, record=record).notes[0].endswith("now no rule matches.")


@pytest.mark.parametrize("rule", [None, SERVER_RULE, "underride/.m.rule.message"])
def test_nothing_changed_where_the_same_rule_or_none_is_on_record(rule: str | None) -> None:
    assert explained(record=judged(Decision.RING, "x", rule)).notes == ()


@pytest.mark.parametrize(
    ("evidence", "note"),
    [
        (
            {"event": make_event(type="m.room.encrypted", content={})},
            "It is encrypted, and what it says is not known here: the rules were tried on the encrypted event.",
        ),
        (
            {"event": make_event(content={}, unsigned={"redacted_because": {}})},
            "It was deleted since: the rules were tried on what is left of it.",
        ),
        (
            {"facts": None},
            "Nothing is known of its room: what asks for members, names or power levels does not match.",
        ),
        (
            {},
            "The ledger has no record of it: it came before the first start or is forgotten, or it is yet to come.",
        ),
        (
            {"gap": "too much came"},
            "It may have come in a gap, of which not all could be fetched: too much came.",
        ),
        (
            {"event": make_event(type="org.example.x"), "event_types": frozenset({"m.room.message"})},
            'No rule lets "org.example.x" ring, so such events are not asked for.',
        ),
        (
            {
                "event": make_event("lunch?", type="org.example.x"),
                "event_types": frozenset({"m.room.message"}),
                "rules": {"content": [make_rule(pattern="lunch")]},
            },
            'Only messages and what rules name are asked for: "org.example.x" is a type that no rule names.',
        ),
        (
            {"account": AccountState(is_silenced=True)},
            "Nothing rings now: another client silenced this device.",
        ),
    ],
)
def test_what_else_matters_is_noted(evidence: Any, note: str) -> None:
    assert note in explained(**evidence).notes


def test_a_silence_that_was_the_reason_is_not_told_twice() -> None:
    record = judged(Decision.SILENT, "another client silenced this device", "underride/.m.rule.message")

    assert explained(record=record, account=AccountState(is_silenced=True)).notes == ()


def test_an_event_that_is_asked_for_is_not_said_to_be_left_out() -> None:
    (note,) = explained(event_types=frozenset({"m.room.message"})).notes

    assert note.startswith("The ledger has no record of it")


def test_an_encrypted_event_is_judged_by_what_it_says_once_that_is_known() -> None:
    event = make_event(type="m.room.encrypted", content={"ciphertext": "x"}, sender=BOB)
    clear = {"type": "m.room.message", "content": {"body": "lunch?"}}

    told = explained(event, {"content": [make_rule("lunch", pattern="lunch")]}, clear=clear)

    assert told.verdict is not None
    assert told.verdict.rule == "content/lunch"
    assert "It is encrypted; the rules were tried on what it says." in told.notes


def test_an_encrypted_event_that_cannot_be_read_says_why_then_and_now() -> None:
    event = make_event(type="m.room.encrypted", content={})
    record = judged(Decision.RING, "underride/.m.rule.encrypted", "underride/.m.rule.encrypted")
    record = replace(record, judged=replace(record.judged, encryption="its key has not come"))
    locked = Locked(Reason.WITHHELD, RoomKey(ROOM, "session"), "m.unverified")

    assert explained(event, record=record, locked=locked).notes == (
        "When it was judged: its key has not come.",
        "It is encrypted and cannot be read: its sender withheld the key: this device is not verified."
        " The rules were tried on the encrypted event.",
    )


def test_a_thread_that_is_not_followed_says_so() -> None:
    condition = {
        "kind": "im.nheko.msc3664.related_event_match",
        "rel_type": "m.in_reply_to",
        "key": "x",
        "pattern": "y",
    }

    assert sentence_of(condition).endswith("it is related to none, or to one that is not known")
