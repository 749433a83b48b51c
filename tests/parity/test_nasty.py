"""Rules and events as nasty as they come: where Synapse answers otherwise, a row of docs/push-rules.md says why.

A class is a predicate on one rule, one event and its context. A difference that none explains is a failure, and so is a
class without an occurrence that it alone explains: it would excuse what no longer happens.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.core.push.context import Context
from heliograph.core.push.patterns import MAX_PATTERN, MAX_TEXT, collapse, is_glob
from heliograph.core.push.rules import Ruleset
from support import synapse_evaluator as synapse
from support.builders import ALICE, BOB, ME, ROOM
from support.rule_builders import make_rule, match, with_content

_DOCS = Path(__file__).parents[2] / "docs/push-rules.md"

Json = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """One rule that matches here and not in Synapse, or the other way round."""

    kind: str
    rule: Json
    event: Json
    context: Context
    we_match: bool
    refusal: str | None = None
    """Why Synapse takes the rule or the event not at all."""

    @property
    def conditions(self) -> list[Json]:
        match self.kind:
            case "content":
                return [{"kind": "event_match", "key": "content.body", "pattern": self.rule["pattern"]}]
            case "override":
                return [each for each in self.rule["conditions"] if isinstance(each, dict)]
        return []

    def patterns(self, *, of_body: bool | None = None) -> Iterator[tuple[str, str]]:
        """Pattern and text of each event_match that finds a string, and of a display name, which is one in Synapse."""
        for condition in self.conditions:
            match condition:
                case {"kind": "event_match", "key": str(key), "pattern": str(pattern)}:
                    text = value_of(self.event, key)
                case {"kind": "im.nheko.msc3664.related_event_match", "key": str(key), "pattern": str(pattern)}:
                    text = value_of(self.context.related.get(condition.get("rel_type", ""), {}), key)
                case {"kind": "contains_display_name"}:
                    key, pattern = "content.body", self.context.display_name or ""
                    text = value_of(self.event, key)
                case _:
                    continue
            if isinstance(text, str) and of_body in (None, key == "content.body"):
                yield pattern, text


def value_of(json: Any, key: str) -> Any:
    """What stands at the key, by a reading of the specification of its own."""
    for name in re.split(r"\0", re.sub(r"\\([.\\])|(\.)", lambda part: part[1] or "\0", key)):
        json = json.get(name) if isinstance(json, dict) else None
    return json


def is_unicode_word(letter: str) -> bool:
    """What Unicode's regular expressions (UTS 18) call a word character."""
    return (
        letter in "\u200c\u200d"
        or letter.isalpha()
        or unicodedata.category(letter) in ("Mn", "Mc", "Me", "Nd", "Nl", "Pc")
    )


def words_end_at_letters_that_are_not_ascii(case: Difference) -> bool:
    return case.we_match and any(
        is_unicode_word(left) and is_unicode_word(right) and not (left + right).isascii()
        for _, text in case.patterns(of_body=True)
        for left, right in itertools.pairwise(text[:MAX_TEXT].lower())
    )


def wildcards_match_newlines(case: Difference) -> bool:
    return case.we_match and any(is_glob(pattern) and "\n" in text for pattern, text in case.patterns())


def a_needless_backslash_stands_for_itself(case: Difference) -> bool:
    keys = [condition.get("key") for condition in case.conditions]
    return case.we_match and any(isinstance(key, str) and re.sub(r"\\[.\\]", "", key).count("\\") for key in keys)


def a_glob_matches_itself_in_any_case(case: Difference) -> bool:
    return case.we_match and any(is_glob(pattern) and "İ" in pattern + text for pattern, text in case.patterns())


def long_patterns_never_match(case: Difference) -> bool:
    return not case.we_match and any(len(collapse(pattern)) > MAX_PATTERN for pattern, _ in case.patterns())


def of_long_values_the_beginning_counts(case: Difference) -> bool:
    return any(len(text) > MAX_TEXT for _, text in case.patterns())


def a_display_name_has_no_wildcards(case: Difference) -> bool:
    named = any(condition.get("kind") == "contains_display_name" for condition in case.conditions)
    return named and not case.we_match and is_glob(case.context.display_name or "")


def integers_have_53_bits(case: Difference) -> bool:
    values = [condition.get("value") for condition in case.conditions]
    return not case.we_match and any(isinstance(value, int) and abs(value) >= 2**53 for value in values)


def no_subscription_outside_threads(case: Difference) -> bool:
    kinds = [condition.get("kind") for condition in case.conditions]
    relation = case.event["content"].get("m.relates_to")
    in_thread = isinstance(relation, dict) and relation.get("rel_type") == "m.thread"
    return not case.we_match and not in_thread and "io.element.msc4306.thread_subscription" in kinds


def booleans_are_no_levels(case: Difference) -> bool:
    keys = [each.get("key") for each in case.conditions if each.get("kind") == "sender_notification_permission"]
    notifications = (case.context.power_levels or {}).get("notifications")
    return isinstance(notifications, dict) and any(isinstance(notifications.get(key), bool) for key in keys)


def rooms_and_senders_are_named_exactly(case: Difference) -> bool:
    actual = {"room": case.event["room_id"], "sender": case.event["sender"]}.get(case.kind)
    return actual is not None and not case.we_match and case.rule["rule_id"] != actual


def calls_that_start(case: Difference) -> bool:
    return case.we_match and any("call_started" in str(condition.get("kind")) for condition in case.conditions)


def what_no_event_can_hold(case: Difference) -> bool:
    if case.refusal is None:
        return False
    texts = repr([case.rule, case.event, case.context])
    is_text = re.search(r"\\ud[89a-f]", texts) is None
    return not is_text or any(len(number) > 18 for number in re.findall("[0-9]+", texts))


CLASSES: dict[Callable[[Difference], bool], str] = {
    words_end_at_letters_that_are_not_ascii: "Where do words end?",
    wildcards_match_newlines: "Does `*` or `?` match a newline?",
    a_needless_backslash_stands_for_itself: "A needless escape in a key",
    a_glob_matches_itself_in_any_case: "A glob with `İ`",
    long_patterns_never_match: "Very long patterns",
    of_long_values_the_beginning_counts: "Values longer than an event can be",
    a_display_name_has_no_wildcards: "Wildcards in a display name",
    integers_have_53_bits: "Integers beyond 53 bits",
    no_subscription_outside_threads: "MSC4306 `thread_subscription` outside threads",
    booleans_are_no_levels: "Levels that are booleans",
    rooms_and_senders_are_named_exactly: "Room and sender ids: case and wildcards",
    calls_that_start: "MSC3914 `call_started`",
    what_no_event_can_hold: "Integers beyond 64 bits, lone surrogates",
}
"""Each with the beginning of its row in docs/push-rules.md."""


def classes_of(difference: Difference) -> list[Callable[[Difference], bool]]:
    return [explains for explains in CLASSES if explains(difference)]


_WORDS = [
    *["foo", "Foo", "fo", "o", "f"],
    *["日本", "é", "É", "ß", "ẞ", "ſ", "İ", "ı", "σ", "ς", "Σ", "K", "k", "å", "٣"],
]
_BETWEEN = [
    "",
    "",
    " ",
    " ",
    "-",
    "_",
    "\n",
    "\r",
    "\u2028",
    "é",
    "日",
    "\ufe0f",
    "\u0301",
    "\u200d",
    "😀",
    "\0",
    "7",
    "İ",
]
_WILD = ["*", "?", "**", "*?", "f*", "*o", "F?o", "f??", "*.*", "[a-z]", "\\*", "@", ":)"]
_LONG = [("a", MAX_PATTERN + 70), ("*a", 40), ("foo ", MAX_TEXT // 4 + 9)]
"""Texts and how often they are repeated."""
words = st.lists(st.sampled_from([*_WORDS, *_BETWEEN]), max_size=5).map("".join)
wild = st.lists(st.sampled_from([*_WORDS[:5], *_WORDS, *_WILD, *_WILD]), max_size=4).map("".join)
long = st.builds(
    lambda start, text, end: start + text[0] * text[1] + end,
    st.sampled_from(["", "foo", "* "]),
    st.sampled_from(_LONG),
    st.sampled_from(["", "*", " o"]),
)


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any], times: int = 9) -> st.SearchStrategy[Any]:
    return st.integers(0, times).flatmap(lambda number: usual if number else rare)


texts = mostly(st.one_of(words, wild), st.one_of(*[long] * 3, st.just("\ud800")), 60)
bodies = mostly(words, st.one_of(long, wild), 30)

_NAMES = ["a", "a.b", "a\\b", "a\\.b", "", ".", "\\", "é", "m.relates_to", "body", "0"]
numbers = mostly(
    st.sampled_from([0, 1, -1, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 1.0, 1.5, -0.0, 1e300]),
    st.sampled_from([2**63, -(10**30)]),
    60,
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.sampled_from([ME, "m.thread", ""]))
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)),
    max_leaves=5,
)
parts = st.sampled_from([*_NAMES, r"a\.b", r"a\\b", r"m\.relates_to", r"\a", r"a\b", "\\"])
keys = st.one_of(
    st.sampled_from(["content.body", "content.x", "type", "sender", "room_id", "content", ""]),
    parts.map("content.x.{}".format),
    parts.map("content.x.{}".format),
    st.tuples(parts, parts).map(lambda two: f"content.x.{two[0]}.{two[1]}"),
    parts.map("content.{}".format),
    words,
)
body_matches = texts.map(lambda pattern: {"kind": "event_match", "key": "content.body", "pattern": pattern})
matches = st.builds(
    lambda key, pattern: {"kind": "event_match", "key": key, "pattern": pattern}, keys, mostly(st.just("*"), texts, 2)
)
_RELATED = {"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.in_reply_to"}
conditions = st.one_of(
    *[body_matches] * 5,
    *[matches] * 4,
    st.one_of(body_matches, matches).map(lambda asked: {**asked, **_RELATED}),
    st.builds(
        lambda kind, key, value: {"kind": kind, "key": key, "value": value},
        st.sampled_from(["event_property_is", "event_property_contains"]),
        keys,
        scalars,
    ),
    st.just({"kind": "contains_display_name"}),
    st.builds(
        lambda is_: {"kind": "room_member_count", "is": is_},
        st.one_of(st.sampled_from(["2", "02", "==2", ">1", "<=2", "=2", " 2", "+2", "٣", "2" * 30, "", ">"]), scalars),
    ),
    st.builds(
        lambda key: {"kind": "sender_notification_permission", "key": key},
        st.one_of(st.sampled_from(["room", "yes", "text", "none", "other"]), scalars),
    ),
    st.builds(
        lambda subscribed: {"kind": "io.element.msc4306.thread_subscription", "subscribed": subscribed},
        st.one_of(st.booleans(), scalars),
    ),
    st.just({"kind": "org.matrix.msc3914.call_started"}),
    st.builds(lambda kind, value: {"kind": kind, "key": value}, st.sampled_from(["unheard of", "device"]), scalars),
    st.builds(lambda name, value: {"kind": "event_match", name: value}, st.sampled_from(["key", "pattern"]), scalars),
)  # fmt: skip
spellings = st.sampled_from([str, str.upper, lambda text: text[:3] + "*", lambda text: "?" + text[1:]])
overrides = st.lists(conditions, min_size=1, max_size=2).map(lambda listed: ("override", make_rule(conditions=listed)))
keywords = texts.map(lambda pattern: ("content", make_rule(pattern=pattern)))
about_rooms = st.builds(lambda spell: ("room", make_rule(spell(ROOM))), spellings)
about_senders = st.builds(lambda spell: ("sender", make_rule(spell(ALICE))), spellings)
rules = mostly(st.one_of(*[overrides] * 3, keywords), st.one_of(about_rooms, about_senders), 19)
contents = st.fixed_dictionaries(
    {},
    optional={
        "body": mostly(bodies, values),
        "x": mostly(st.dictionaries(st.sampled_from(_NAMES), st.one_of(words, words, values), max_size=5), values),
        "m.mentions": values,
        "m.relates_to": st.sampled_from([{"rel_type": "m.thread"}, {"rel_type": "m.replace"}, {}, "m.thread", None]),
        "m.intent": st.sampled_from(["m.ring", "m.prompt", "x"]),
    },
)
events = st.builds(
    lambda content, sender: with_content(content, type="org.example.any", sender=sender, event_id="$event"),
    contents,
    st.sampled_from([ALICE, BOB]),
)
levels: st.SearchStrategy[Any] = st.sampled_from([True, False, "100", " 7 ", "x", None, [], {}, 1.9, 0, 2**53])
contexts = st.builds(
    Context,
    user_id=st.just(ME),
    display_name=mostly(wild, st.one_of(st.none(), texts)),
    member_count=st.integers(0, 3),
    power_levels=st.fixed_dictionaries(
        {"users_default": st.sampled_from([0, 50, "50", 1.5])},
        optional={
            "notifications": st.one_of(
                st.fixed_dictionaries({}, optional={"room": levels, "yes": levels, "text": levels}), levels
            )
        },
    ),
    related=st.one_of(
        st.just({}), contents.map(lambda content: {"m.in_reply_to": with_content(content, event_id="$other")})
    ),
    thread_subscribed=st.sampled_from([None, True, False]),
)


def told_by(patterns: list[str], random: Random) -> str:
    """A text that one of the patterns may well match: its wildcards filled in, in another case, between words."""
    pattern = random.choice(patterns)[:2_000]
    letters = [*_WORDS, *_BETWEEN]
    if random.random() < 0.5:
        letters = [each for each in letters if each.isascii()]
    filled = {
        "*": lambda: "".join(random.choices(letters, k=random.randint(0, 2))),
        "?": lambda: random.choice(letters)[:1],
    }
    text = "".join(
        filled[letter]() if letter in filled else random.choice([letter, letter.swapcase()]) for letter in pattern
    )
    around = ["", "", "", *letters]
    return random.choice(around) + random.choice(around) + text + random.choice(around)


@st.composite
def examples(draw: st.DrawFn) -> tuple[list[tuple[str, Json]], list[tuple[Json, Context]]]:
    """Some rules, and events of which many come near to matching one of them."""
    some_rules = draw(st.lists(rules, min_size=_RULES, max_size=_RULES))
    cases = draw(st.lists(st.tuples(events, contexts), min_size=_CASES, max_size=_CASES))
    random = Random(draw(st.integers(0, 2**32)))
    patterns = [rule["pattern"] for _, rule in some_rules if "pattern" in rule]
    conditions = [each for _, rule in some_rules for each in rule.get("conditions", ())]
    patterns += [each["pattern"] for each in conditions if isinstance(each.get("pattern"), str)]
    for event, context in cases:
        names = [context.display_name] if context.display_name and random.random() < 0.5 else []
        if patterns + names and random.random() < 0.8:
            event["content"]["body"] = told_by(names or patterns, random)
    return some_rules, cases


_RULES, _CASES, _EXAMPLES = 8, 5, 500
"""Each rule meets each event: 20,000 cases."""


def compare(kind: str, rule: Json, cases: list[tuple[Json, Context]]) -> Iterator[Difference]:
    """Where Synapse and we do not agree on whether the rule matches."""
    ruleset, name = Ruleset.parse({kind: [rule]}), f"{kind}/{rule['rule_id']}"
    refusal = None
    try:
        theirs = synapse.SynapseRules({kind: [rule]}, are_alone=True)
    except synapse.Refusal as error:
        refusal = str(error)
    for event, context in cases:
        we_match = ruleset.judge(event, context).rule == name
        refused = refusal
        try:
            they_match = refused is None and theirs.rule_of(event, context) == name
        except synapse.Refusal as error:
            refused, they_match = str(error), not we_match
        if we_match != they_match or refused is not None:
            yield Difference(kind, rule, event, context, we_match, refused)


@pytest.mark.timeout(900)
@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(examples())
def test_each_difference_belongs_to_a_class(
    example: tuple[list[tuple[str, Json]], list[tuple[Json, Context]]],
) -> None:
    some_rules, cases = example

    differences = itertools.chain.from_iterable(compare(kind, rule, cases) for kind, rule in some_rules)

    assert [each for each in differences if not classes_of(each)] == []


_OCCURRENCES: dict[Callable[[Difference], bool], tuple[Json, Json, Json]] = {
    words_end_at_letters_that_are_not_ascii: (match("content.body", "foo"), {"body": "éfoo"}, {}),
    wildcards_match_newlines: (match("content.x", "a*b"), {"x": "a\nb"}, {}),
    a_needless_backslash_stands_for_itself: (match(r"content.m\x", "a"), {r"m\x": "a"}, {}),
    a_glob_matches_itself_in_any_case: (match("content.x", "İ*"), {"x": "İ"}, {}),
    long_patterns_never_match: (match("content.body", "a" * 1_100 + "*"), {"body": "a" * 1_100}, {}),
    of_long_values_the_beginning_counts: (match("content.body", "b"), {"body": "a " * 40_000 + "b"}, {}),
    a_display_name_has_no_wildcards: ({"kind": "contains_display_name"}, {"body": "bob"}, {"display_name": "b*b"}),
    integers_have_53_bits: (
        {"kind": "event_property_is", "key": "content.x", "value": 2**53},
        {"x": 2**53},
        {},
    ),
    no_subscription_outside_threads: (
        {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
        {},
        {"thread_subscribed": True},
    ),
    booleans_are_no_levels: (
        {"kind": "sender_notification_permission", "key": "room"},
        {},
        {"power_levels": {"users_default": 1, "notifications": {"room": True}}},
    ),
    calls_that_start: ({"kind": "org.matrix.msc3914.call_started"}, {"m.intent": "m.ring"}, {}),
    what_no_event_can_hold: (match("content.x", "*"), {"x": "a", "y": 2**63}, {}),
}


@pytest.mark.parametrize("explains", _OCCURRENCES, ids=lambda explains: explains.__name__)
def test_each_class_occurs_and_is_needed(explains: Callable[[Difference], bool]) -> None:
    condition, content, context = _OCCURRENCES[explains]
    facts = Context(**{"user_id": ME, "member_count": 3, "power_levels": {}, **context})

    (difference,) = compare("override", make_rule(conditions=[condition]), [(with_content(content), facts)])

    assert classes_of(difference) == [explains]


@pytest.mark.parametrize(("kind", "rule_id"), [("room", ROOM), ("sender", ALICE)])
@pytest.mark.parametrize("spell", [str.upper, lambda text: text[0] + "*"], ids=["case", "wildcard"])
def test_another_spelling_of_a_room_or_sender_occurs(kind: str, rule_id: str, spell: Callable[[str], str]) -> None:
    (difference,) = compare(kind, make_rule(spell(rule_id)), [(with_content({}), Context(ME))])

    assert classes_of(difference) == [rooms_and_senders_are_named_exactly]


def test_every_class_has_its_occurrence() -> None:
    assert set(CLASSES) == {*_OCCURRENCES, rooms_and_senders_are_named_exactly}


def test_each_class_is_a_row_of_the_documented_table_and_each_marked_row_a_class() -> None:
    marked = [line for line in _DOCS.read_text().splitlines() if line.startswith("| ") and " ≠ |" in line]

    assert sorted(marked) == sorted(
        line for line in marked if any(line.startswith(f"| {row}") for row in CLASSES.values())
    )
    assert len(marked) == len(CLASSES)
