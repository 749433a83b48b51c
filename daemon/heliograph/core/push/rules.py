"""Finds the rule of a user's ruleset that decides on an event, if there is one.

https://spec.matrix.org/v1.17/client-server-api/#push-rules. The order of the server's arrays is the order in which
rules are tried; it is never sorted anew. The first enabled rule whose conditions all hold decides, alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from heliograph.core.push.condition import Condition, Test
from heliograph.core.push.conditions.unstable import SUBSCRIPTION
from heliograph.core.push.context import Context
from heliograph.core.push.patterns import WORK, Work, is_glob
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.reader import Reader
from heliograph.core.push.rule import Rule
from heliograph.core.push.subject import Subject
from heliograph.core.push.verdict import SILENT, Verdict
from heliograph.core.value_type import value_type

MAX_EXTRA_TYPES = 50
"""Event types that rules can add to the filter of /sync, which travels in the request's URL."""

_RULE = 50
"""Units of work that trying a rule costs, whatever it asks."""
_CONDITION = 80
"""Units for each further condition of a rule whose first one holds."""
_AT_ONCE = 250
"""Rules that are tried before looking whether there is work left."""
_MAX_KNOWN_TYPES = 128
_MAX_TYPE = 255

_Candidate = tuple[tuple[Test, ...], Verdict]


@value_type
class _Candidates:
    """The rules that events of one type can meet."""

    batches: tuple[tuple[_Candidate, ...], ...]
    """The rules in the order in which they are tried, `_AT_ONCE` in each batch."""
    last: Verdict
    """The verdict of the last rule, if that asks for nothing but the type; else SILENT. Given also when no work is left
    to try all rules."""
    cost: int
    """Units of work that finding these rules took. Each event pays them: the first of its type must get the same answer
    as those after it."""


@value_type
class TracedRule:
    """One rule as it was tried, for `Ruleset.trace`."""

    rule: Rule
    has_matched: bool
    failed: Condition | None = None
    """The first condition that did not hold; None if the rule matched or is disabled."""
    seen: Any = None
    """The value which that condition saw; MISSING if there was none."""


class Ruleset:
    """Rules in the order in which they are tried, compiled. Never changes: make another one when the rules change."""

    __slots__ = ("_by_type", "_live", "_split", "asks_subscriptions", "problems", "rules")

    def __init__(self, rules: tuple[Rule, ...], problems: tuple[str, ...] = ()) -> None:
        self.rules = rules
        self.problems = problems
        """What of the rules could not be read, in words. Such rules are left out, or never match."""
        self._live = tuple(_until_unconditional(rules))
        self.asks_subscriptions = any(each.kind == SUBSCRIPTION for rule in self._live for each in rule.conditions)
        """True if a rule asks whether the user follows the event's thread (MSC4306)."""
        self._split = tuple((*_type_asked(rule), (_other_tests(rule), rule.verdict)) for rule in self._live)
        # What is left of the rules for an event type, once their conditions on the type are decided.
        self._by_type: dict[str | None, _Candidates] = {}

    @classmethod
    def parse(cls, json: Any) -> Ruleset:
        """The ruleset of the `global` object of GET /pushrules/ or `m.push_rules`. Never raises: see `problems`."""
        reader = Reader(json)
        return cls(tuple(reader.rules), tuple(reader.problems))

    @classmethod
    def predefined(cls, user_id: str) -> Ruleset:
        """The rules of the specification, for a user whose homeserver sends none."""
        return cls.parse(predefined_rules(user_id))

    def judge(self, event: Mapping[str, Any], context: Context) -> Verdict:
        """The verdict on an event, given as its whole JSON with `room_id`. The user's own events never ring.

        Never raises. Work is bounded (`patterns.WORK`): a rule for which a hostile event leaves none does not match.
        """
        if event.get("sender") == context.user_id:
            return SILENT
        type_ = event.get("type")
        if not isinstance(type_, str):
            # Events without a type share one entry of the cache.
            type_ = None
        candidates = self._by_type.get(type_)
        if candidates is None:
            candidates = self._candidates(type_, event, context)
        work = Work(WORK - candidates.cost)
        subject = Subject(event, context, work)
        for batch in candidates.batches:
            work.left -= _RULE * len(batch)
            if work.left < 0:
                return candidates.last
            for tests, verdict in batch:
                for test in tests:
                    if not test(subject):
                        break
                else:
                    return verdict
        return SILENT

    def trace(self, event: Mapping[str, Any], context: Context) -> Iterator[TracedRule]:
        """Every rule as it is tried, up to the one that decides: `judge` gives the verdict of that one, or SILENT."""
        if event.get("sender") == context.user_id:
            return
        subject = Subject(event, context)
        for rule in self.rules:
            if not rule.enabled:
                yield TracedRule(rule, has_matched=False)
                continue
            failed = next((condition for condition in rule.conditions if not condition.holds(subject)), None)
            if failed is None:
                yield TracedRule(rule, has_matched=True)
                return
            yield TracedRule(rule, has_matched=False, failed=failed, seen=failed.seen(subject))

    def event_types(self, base: frozenset[str]) -> frozenset[str] | None:
        """Timeline event types to name in the filter of /sync, so that nothing is missed that rings. None: all types.

        `base`: those that ring by the predefined rules. Only rules that notify count, for an event that never comes is
        as silent as one that is suppressed. A type that such a rule names literally is added. A rule of the user's own
        that names none might match anything (a room, a sender, a state key), so all types are asked for; unless it
        looks at the body or the msgtype, which messages have, and they are in `base`. That is why keywords widen
        nothing. The predefined rules that name no type look for mentions; the specification puts those into messages.
        Test: test_needs.py in tests/core/push.
        """
        extra: set[str] = set()
        for rule in self._live:
            if not rule.verdict.notify:
                continue
            types = rule.event_types
            if not types and not rule.is_predefined and not rule.is_about_messages:
                return None
            extra |= types
        extra -= base
        return base | extra if len(extra) <= MAX_EXTRA_TYPES else None

    def _candidates(self, type_: str | None, event: Mapping[str, Any], context: Context) -> _Candidates:
        work = Work()
        subject = Subject(event, context, work)
        listed = [*_until_certain(self._fitting(subject))]
        is_certain = bool(listed) and not listed[-1][0]
        batches = tuple(tuple(listed[start : start + _AT_ONCE]) for start in range(0, len(listed), _AT_ONCE))
        candidates = _Candidates(batches, listed[-1][1] if is_certain else SILENT, WORK - work.left)
        # Strangers make up types, and may have left no time to try all rules: such an answer is not kept.
        if len(type_ or "") <= _MAX_TYPE and work.left >= 0:
            if len(self._by_type) >= _MAX_KNOWN_TYPES:
                self._by_type.clear()
            self._by_type[type_] = candidates
        return candidates

    def _fitting(self, subject: Subject) -> Iterator[_Candidate]:
        """The rules that do not ask for another type than the event's, as far as the work reaches."""
        type_ = subject.lowered("type", ("type",))
        for literal, fits_type, candidate in self._split:
            if literal is not None and literal != type_:
                continue
            if fits_type is None or fits_type(subject):
                yield candidate
            elif subject.work.left < 0:
                return


def _is_about_type(condition: Condition) -> bool:
    return condition.kind == "event_match" and condition.json["key"] == "type"


def _type_asked(rule: Rule) -> tuple[str | None, Test | None]:
    """The type that the rule asks for, in lower case; or else a test of the type, if there are patterns for it."""
    asked = [condition for condition in rule.conditions if _is_about_type(condition)]
    if len(asked) == 1 and not is_glob(pattern := asked[0].json["pattern"]):
        return pattern.lower(), None
    return None, _all_hold([condition.holds for condition in asked]) if asked else None


def _other_tests(rule: Rule) -> tuple[Test, ...]:
    # Most rules fail at their first condition; the others are charged together, and only once they are reached.
    tests = tuple(condition.holds for condition in rule.conditions if not _is_about_type(condition))
    return tests if len(tests) <= 1 else (tests[0], _all_hold(tests[1:]))


def _all_hold(tests: Sequence[Test]) -> Test:
    cost = _CONDITION * len(tests)

    def holds(subject: Subject) -> bool:
        if not subject.work.spend(cost):
            return False
        for test in tests:  # noqa: SIM110 (a generator costs as much as some tests)
            if not test(subject):
                return False
        return True

    return holds


def _until_certain(candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """The rules up to the first one that asks for nothing more: those after it are never reached."""
    for candidate in candidates:
        yield candidate
        if not candidate[0]:
            return


def _until_unconditional(rules: tuple[Rule, ...]) -> Iterator[Rule]:
    """The rules that can match, up to one that matches everything: those after it are never reached."""
    for rule in rules:
        if rule.can_match:
            yield rule
            if not rule.conditions:
                return
