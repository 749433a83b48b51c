"""`heliograph rules check`: an answer for each line, whatever the line is."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edges.cli.conftest import Shell
from heliograph.cli.rules.check import MAX_LINE, answer_lines
from heliograph.core.push.predefined import predefined_rules
from support.builders import ALICE, ME
from support.rule_builders import make_rule, match, with_body, with_content
from support.spoiling import spoiled

MESSAGE = with_body("lunch?")
RINGS = {
    "notify": True,
    "rule": "underride/.m.rule.message",
    "actions": ["notify"],
    "highlight": False,
    "sound": None,
}


def check(*lines: bytes | Any) -> list[dict[str, Any]]:
    """The answers to these lines; what is no bytes is written as JSON."""
    written = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    answers = io.BytesIO()
    answer_lines(io.BytesIO(b"\n".join(written) + b"\n"), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_each_line_has_its_answer_in_order(shell: Shell) -> None:
    lines = [
        {"event": MESSAGE},
        "no case",
        {"event": MESSAGE, "rules": {"content": [make_rule(pattern="LUNCH")]}},
        {"event": MESSAGE, "rules": {}},
        {"event": {**MESSAGE, "sender": ME}, "user_id": ME},
    ]
    result = shell.run("rules", "check", "--stdin", stdin="\n".join(map(json.dumps, lines)))

    assert result.exit_code == 0
    rings, error, keyword, no_rules, own = map(json.loads, result.stdout.splitlines())
    assert rings == RINGS
    assert list(error) == ["error"]
    assert keyword == RINGS | {"rule": "content/mine"}
    assert no_rules == own == {"notify": False, "rule": None, "actions": [], "highlight": False, "sound": None}


def test_without_stdin_it_says_what_to_give(shell: Shell) -> None:
    result = shell.run("rules", "check")
    assert result.exit_code == 2
    assert "--stdin" in result.stderr


def test_an_answer_comes_before_the_next_line_is_asked_for() -> None:
    program = [sys.executable, "-m", "heliograph", "rules", "check", "--stdin"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(json.dumps({"event": MESSAGE}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == RINGS
        process.stdin.close()
        assert process.wait(10) == 0


def test_facts_and_a_decrypted_payload_are_taken_into_account() -> None:
    encrypted = with_content({"m.relates_to": {"rel_type": "m.replace"}}, type="m.room.encrypted")
    clear = {"type": "m.room.message", "content": {"body": "@room", "m.mentions": {"room": True}}}
    room = {"event": {**encrypted, "content": {}}, "clear": clear, "user_id": ME}

    assert [answer["rule"] for answer in check(
        {"event": encrypted, "clear": clear, "user_id": ME},
        {**room, "member_count": 2},
        {**room, "member_count": 2, "sender_power_level": 50},
        {**room, "power_levels": {"users": {ALICE: 50}}},
    )] == [
        "override/.m.rule.suppress_edits",
        "underride/.m.rule.room_one_to_one",
        "override/.m.rule.is_room_mention",
        "override/.m.rule.is_room_mention",
    ]  # fmt: skip


def test_predefined_rules_are_those_of_the_user_in_the_line() -> None:
    mention = with_content({"body": "hi", "m.mentions": {"user_ids": [ME]}})

    rules = [answer["rule"] for answer in check({"event": mention, "user_id": ME}, {"event": mention, "user_id": "@x"})]

    assert rules == ["override/.m.rule.is_user_mention", "underride/.m.rule.message"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"event": {"a": 1e999}}',
        b'{"event": {"a": ' + b"9" * 5_000 + b"}}",
        b'{"event": ' + b"[" * 200_000,
        b'{"event": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001,
        b'{"event": {}',
        b'{"event": {"a": NaN}, "more": "' + b"x" * 1_048_576 + b'"}',
        b'{"event": {}} {}',
        b'{"event": {}, "rules": []}',
        b'{"event": {}, "rules": {"global": {"override": []}}}',
        b'{"event": {}, "member_count": true}',
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)
def test_what_is_no_case_is_an_error_and_the_next_line_is_judged(line: bytes) -> None:
    error, answer = check(line, {"event": MESSAGE})

    assert list(error) == ["error"]
    assert error["error"].isprintable()
    assert len(error["error"]) < 200
    assert answer == RINGS


@pytest.mark.parametrize(
    "value",
    [
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=lambda value: value[:20].decode("latin-1"),
)
def test_what_a_homeserver_may_send_and_parsers_refuse_is_judged_without_it(value: bytes) -> None:
    in_event = b'{"event": {"type": "m.room.message", "sender": "@a:x", "content": {"a": %b}}}'
    in_rules = b'{"event": {"type": "m.room.message"}, "rules": {"override": [%b], "underride": [%b]}}'
    rule = json.dumps(make_rule()).encode()

    in_event_answer, in_rules_answer = check(in_event % value, in_rules % (value, rule))

    assert in_event_answer == RINGS
    assert in_rules_answer == RINGS | {"rule": "underride/mine"}


def test_a_line_without_end_is_not_kept() -> None:
    class Endless(io.RawIOBase):
        """A line three times as long as is read, made as it is asked for."""

        left = 3 * MAX_LINE
        largest = 0

        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None
            self.largest = max(self.largest, size)
            count = min(size, self.left)
            self.left -= count
            return b"x" * count if count else b""

    questions, answers = Endless(), io.BytesIO()
    answer_lines(questions, answers)  # type: ignore[arg-type]

    assert answers.getvalue() == f'{{"error":"the line is longer than {MAX_LINE} bytes"}}\n'.encode()
    assert questions.largest <= MAX_LINE + 1


def test_after_a_line_that_is_too_long_the_next_one_is_judged() -> None:
    error, answer = check(b" " * (MAX_LINE + 5), {"event": MESSAGE})

    assert list(error) == ["error"]
    assert answer == RINGS


STARS = "*" * 65_536


@pytest.mark.parametrize(
    "case",
    [
        {"rules": {"content": [make_rule(str(n), pattern=f"w*{n}") for n in range(10_000)]}},
        {"rules": {"content": [make_rule(pattern=STARS)]}},
        {"rules": {"override": [make_rule(conditions=[match("content.body", "*a" * 32_768)])]}},
        {"rules": {"override": [make_rule(conditions=[match("content." + "\\." * 900, "x")])]}},
        {"power_levels": {"users": {ALICE: ALICE}, "users_default": "users_default", "notifications": "users"}},
        {"power_levels": {"users": {ALICE: 10**30}, "notifications": {"room": "9" * 4_000}}},
        {"event": with_content({"n": 10**30, "f": 1.5, "a.b\\c": {"": []}}), "member_count": 10**30},
    ],
    ids=["10,000 rules", "stars", "stars and letters", "dots", "levels", "large levels", "numbers and keys"],
)
def test_hostile_cases_are_judged_like_any(case: dict[str, Any]) -> None:
    (answer,) = check({"event": with_body("a" * 60_000), "user_id": ME, **case})

    assert set(answer) == {"notify", "rule", "actions", "highlight", "sound"}


WHOLE_CASE = {
    "event": with_content({"body": "hello", "m.mentions": {"user_ids": [ME], "room": True}}),
    "rules": {**predefined_rules(ME), "content": [make_rule(pattern="h*o")], "room": [make_rule("!room:x")]},
    "user_id": ME,
    "display_name": "hello",
    "member_count": 2,
    "power_levels": {"users": {ALICE: 1}, "users_default": 1, "notifications": {"room": 50}},
    "sender_power_level": None,
    "creators": [ALICE],
    "room_version": "12",
    "related": {"m.in_reply_to": with_body("x")},
    "thread_subscribed": True,
    "clear": {"type": "m.room.message", "content": {"body": "hello"}},
}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(spoiled(WHOLE_CASE), min_size=1, max_size=3))
def test_of_cases_spoiled_at_any_depth_each_has_one_answer(cases: list[Any]) -> None:
    answers = check(*cases)

    assert len(answers) == len(cases)
    assert all(answer.keys() in ({"error"}, RINGS.keys()) for answer in answers)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b" ")), min_size=1, max_size=3))
def test_of_lines_of_any_bytes_each_has_one_answer(lines: list[bytes]) -> None:
    assert len(check(*lines)) == len(lines)
