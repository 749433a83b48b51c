"""`heliograph rules check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from heliograph.errors import EXIT_USAGE, UserError

if TYPE_CHECKING:
    from heliograph.core.push.rules import Ruleset

MAX_LINE = 16 * 1024 * 1024
"""The most bytes of a line, with its line break. 10,000 rules take about 2 MB."""
_MAX_MENDED = 1024 * 1024
"""The most bytes of a line that is mended. What a homeserver sends is mended as well, so that the answer here is that
of the daemon."""


@click.command("check", short_help="Judge events by rules, both given as JSON.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read cases from standard input, one in each line.")
def command(from_stdin: bool) -> None:
    """Judge events by push rules without an account: JSON lines in, JSON lines out, an answer for each line, in order.

    \b
    In, all but event optional:
      {"event": {...}, "rules": {...}, "user_id": "@me:x", "display_name": "Me", "member_count": 3,
       "power_levels": {...}, "sender_power_level": 0, "creators": [], "room_version": "11",
       "related": {"m.in_reply_to": {...}}, "thread_subscribed": true, "clear": {"type": "...", "content": {...}}}
    Out:
      {"notify": true, "rule": "underride/.m.rule.message", "actions": ["notify"], "highlight": false, "sound": null}
      {"error": "..."} for a line that cannot be judged

    rules is the `global` object of GET /pushrules/ (absent: the predefined rules), power_levels the content of
    m.room.power_levels, clear the decrypted payload. What wants a fact that is not given does not match.

    \b
    Example:
      echo '{"event": {"type": "m.room.message", "content": {}}}' | heliograph rules check --stdin
    """
    if not from_stdin:
        raise UserError(
            "There is nothing to judge.", "Give cases on standard input: --stdin < cases.jsonl", exit_code=EXIT_USAGE
        )
    answer_lines(sys.stdin.buffer, sys.stdout.buffer)


def answer_lines(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answers each line of `questions` until they end. Each answer is flushed before the next line is read, so that
    another program may wait for it."""
    import msgspec

    judge = CaseJudge()
    while line := questions.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            _skip_line(line, questions)
            answer = {"error": f"the line is longer than {MAX_LINE} bytes"}
        else:
            answer = judge.answer(line)
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


class CaseJudge:
    """Answers one line at a time. Keeps the last ruleset, since many lines in a row often have the same."""

    def __init__(self) -> None:
        self._key: object = None
        self._ruleset: Ruleset | None = None

    def answer(self, line: bytes) -> dict[str, Any]:
        """The verdict on the case in this line as an object for JSON, or `{"error": "..."}`."""
        import msgspec

        from heliograph.core.mending import MAX_DEPTH, mend

        unreadable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
        try:
            try:
                return self._judge(line)
            except unreadable:
                # Mending takes long, and a line may have 16 MiB.
                if len(line) > _MAX_MENDED:
                    raise
                return self._judge(mend(line, MAX_DEPTH + 1))
        except unreadable as error:
            return {"error": f"the line cannot be read as a JSON object: {error}"}

    def _judge(self, line: bytes) -> dict[str, Any]:
        import msgspec

        from heliograph.core.push.case import NotACase, read_case, verdict_as_json

        try:
            fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            # Rules are decoded apart from the rest: they may be long, and the same as in the line before.
            rules = bytes(fields.pop("rules", b"null"))
            case = read_case({name: msgspec.json.decode(raw) for name, raw in fields.items()})
            ruleset = self._ruleset_of(rules, case.context.user_id)
        except NotACase as problem:
            return {"error": str(problem)}
        return verdict_as_json(ruleset.judge(case.event, case.context))

    def _ruleset_of(self, rules: bytes, user_id: str) -> Ruleset:
        import msgspec

        from heliograph.core.push.case import NotACase
        from heliograph.core.push.rules import Ruleset

        # Without rules the predefined ones are meant, which name the user; given rules are the same for all users.
        key = (rules, user_id if rules == b"null" else "")
        if self._ruleset is None or key != self._key:
            json = msgspec.json.decode(rules)
            if json is not None and not isinstance(json, dict):
                raise NotACase("rules is not an object")
            if json is not None and isinstance(json.get("global"), dict):
                raise NotACase("rules is the whole answer of GET /pushrules/: give its `global` object")
            self._ruleset = Ruleset.predefined(user_id) if json is None else Ruleset.parse(json)
            self._key = key
        return self._ruleset


def _skip_line(line: bytes, stream: BinaryIO) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(MAX_LINE)
