"""The push rules beside Synapse's evaluator, on the same events and rules in the same minute.

Each takes an event as its JSON decoder left it, and all that it needs for each event counts: here the facts of the
room as a context and the verdict; in Synapse flattening, building the evaluator and running it.
"""

from __future__ import annotations

import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

from heliograph.core.ids import RoomId
from heliograph.core.push.context import Context
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.room import RoomFacts

Figures = dict[str, float]
Json = dict[str, Any]
Judge = Callable[[Json], object]

NAME = "synapse"
_ME = "@quentin:example.org"
_LOCALPART = "quentin"
_EVENTS = 300
_FACTS = RoomFacts(
    RoomId("!room:example.org"), True, joined_member_count=5, own_display_name="Pepper", power_levels={"users": {}}
)
_KEYWORDS = (
    *("deploy*", "release?", "*outage*", "pager*", "*urgent", "invoice*", "budget-*", "review*", "merge?request"),
    *("branch/*", "docker*", "kernel-*", "serve?", "backup*", "alert*", "cve-*", "ticket ????", "*pepper*", "on?call"),
    "sprint*",
)
"""Twenty, as people who look after something have them."""


def measure_rules(*, is_quick: bool = False) -> dict[str, Figures]:
    """Microseconds for each event, best of rounds in which both take their turns; the worst case in milliseconds."""
    events = [*itertools.islice(_ordinary_events(), _EVENTS)]
    default, keywords = Ruleset.parse(_rules(())), Ruleset.parse(_rules(_KEYWORDS))
    rounds = 10 if is_quick else 40
    ours, theirs = _in_turns(_judge_of(default), _synapse_judge(()), events, rounds)
    # Synapse takes ten thousand times as long for these: fewer of them, and in other rounds.
    own_keywords, _ = _in_turns(_judge_of(keywords), _judge_of(default), events, rounds)
    _, their_keywords = _in_turns(_judge_of(keywords), _synapse_judge(_KEYWORDS), events[:20], 3)
    return {
        "heliograph": {
            "rules_us": ours,
            "rules_keywords_us": own_keywords,
            "rules_worst_ms": _worst_ms(),
            "rules_parse_ms": _parse_ms(),
        },
        NAME: {"rules_us": theirs, "rules_keywords_us": their_keywords},
    }


def _in_turns(ours: Judge, theirs: Judge, events: Sequence[Json], rounds: int) -> tuple[float, float]:
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for judge, times in zip((ours, theirs), took, strict=True):
            begun = time.perf_counter_ns()
            for event in events:
                judge(event)
            times.append((time.perf_counter_ns() - begun) / 1_000 / len(events))
    return min(took[0]), min(took[1])


def _judge_of(ruleset: Ruleset) -> Judge:
    return lambda event: ruleset.judge(event, _FACTS.context(_ME))


def _synapse_judge(keywords: Sequence[str]) -> Judge:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from synapse.push.bulk_push_rule_evaluator import _flatten_dict
        from synapse.synapse_rust.push import FilteredPushRules, PushRule, PushRuleEvaluator, PushRules

    own = [
        PushRule.from_db(
            f"global/content/{word}",
            4,
            json.dumps([{"kind": "event_match", "key": "content.body", "pattern": word}]),
            '["notify"]',
        )
        for word in keywords
    ]
    switches = ("msc1767", "msc3381_polls", "msc3664", "msc4028_push_encrypted_events", "msc4075", "msc4210", "msc4306")
    names = [name if name.endswith("events") else f"{name}_enabled" for name in switches]
    filtered = FilteredPushRules(
        PushRules(own), {"global/override/.m.rule.master": False}, **dict.fromkeys(names, False)
    )

    def judge(event: Json) -> object:
        evaluator = PushRuleEvaluator(
            _flatten_dict(event),
            has_mentions="m.mentions" in event["content"],
            room_member_count=5,
            sender_power_level=0,
            notification_power_levels={},
            related_events_flattened={},
            related_event_match_enabled=False,
            room_version_feature_flags=[],
            msc3931_enabled=False,
            msc4210_enabled=False,
            msc4306_enabled=False,
        )
        return evaluator.run(filtered, _ME, "Pepper", None)

    return judge


def _rules(keywords: Sequence[str]) -> dict[str, list[Json]]:
    """As Synapse gives them to a user with these keywords: also those that intentional mentions made superfluous."""
    rules = predefined_rules(_ME)
    at_room = [
        {"kind": "event_match", "key": "content.body", "pattern": "@room"},
        {"kind": "sender_notification_permission", "key": "room"},
    ]
    jitsi = [
        {"kind": "event_match", "key": key, "pattern": pattern}
        for key, pattern in (("type", "im.vector.modular.widgets"), ("content.type", "jitsi"), ("state_key", "*"))
    ]
    actions = ["notify", {"set_tweak": "highlight"}]
    name = {"rule_id": ".m.rule.contains_display_name", "conditions": [{"kind": "contains_display_name"}]}
    rules["override"].insert(5, {**name, "actions": actions})
    rules["override"].insert(7, {"rule_id": ".m.rule.roomnotif", "conditions": at_room, "actions": actions})
    rules["content"] = [{"rule_id": word, "pattern": word, "actions": ["notify"]} for word in keywords]
    rules["content"].append({"rule_id": ".m.rule.contains_user_name", "pattern": _LOCALPART, "actions": actions})
    rules["underride"].append({"rule_id": ".im.vector.jitsi", "conditions": jitsi, "actions": ["notify"]})
    return rules


_WORDS = """
shall we have lunch at the harbour tomorrow or rather the day after I would like to see that pull request before it is
too late for this week and somebody should look at the boats which are still in the garden
"""


def _ordinary_events() -> Iterator[Json]:
    random = Random(3361)
    words = _WORDS.split()
    for number in itertools.count():
        content: Json = {"msgtype": "m.text", "body": " ".join(random.choices(words, k=random.randint(1, 60)))}
        type_ = "m.room.message"
        match random.randrange(20):
            case 0 | 1 | 2:
                content["m.mentions"] = {"user_ids": [f"@user{number}:example.org"]}
            case 3 | 4 | 5 | 6 | 7 | 8:
                content["m.mentions"] = {}
            case 9 | 10:
                type_ = "m.reaction"
                content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "👍"}}
            case 11:
                content |= {"m.new_content": dict(content), "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
            case 12:
                content["m.relates_to"] = {"m.in_reply_to": {"event_id": "$x"}}
            case 13:
                content["msgtype"] = "m.notice"
            case 14 | 15:
                type_, content = "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "A" * 400}
        yield {
            "type": type_,
            "event_id": f"$event{number}",
            "room_id": "!room:example.org",
            "sender": "@alice:example.org",
            "origin_server_ts": 1_700_000_000_000,
            "content": content,
            "unsigned": {"age": 12},
        }


def _worst_ms() -> float:
    """The longest that any of the hostile cases takes, each event of a new type."""
    numbers = itertools.count()

    def best_of(rounds: int, ruleset: Ruleset, event: Json) -> float:
        took = (partial(ruleset.judge, {**event, "type": f"m.{next(numbers)}"}, _CONTEXT) for _ in range(rounds))
        return min(map(_ms, took))

    cases = [*itertools.product(_hostile_rules(), _hostile_events())]
    slowest = sorted(cases, key=lambda case: best_of(5, *case))[-8:]
    return max(best_of(60, *case) for case in slowest)


def _hostile_events() -> Iterator[Json]:
    """With the largest bodies, and more in arrays than an event can hold."""
    content: Json = {"x": [True] * 60_000, "m.mentions": {"user_ids": ["@me:example.com"] * 8_000}}
    for text in ("a", "ab", "a ", "Σ", "a@", "aab ", "ßİ", "a\n", "😀a"):
        body = (text * 65_536)[:65_536]
        yield {"sender": "@alice:example.org", "content": {**content, "body": body}}


def _hostile_rules() -> Iterator[Ruleset]:
    for pattern in (
        *("*" * 65_536, "*a" * 500 + "b", "?" * 1_000 + "b", "?a" * 500 + "b", "?*" * 500 + "b", "a" * 512, "a " * 500),
        *("a" * 500 + "b" + "a" * 500 + "*c", "a b" * 300 + "*", "*aab*", "aa?a*aab", "@a", "a@", "Σ*"),
    ):
        yield _keyword_rules([pattern])
    for pattern in ("*a{}*", "*a a{}*", "*?a{}*", "a@{}", "a{}", "a " * 20 + "{}"):
        yield _keyword_rules([pattern.format(number) for number in range(10_000)])
    for condition in _CONDITIONS:
        yield _override_rules([[condition]] * 10_000)
        yield _override_rules([[condition] * 20_000])
    for kind in ("event_match", "event_property_is", "event_property_contains"):
        condition = {"kind": kind, "pattern": "a*b", "value": 1}
        yield _override_rules([[{**condition, "key": f"content.k{number}"}] for number in range(10_000)])
    related = {"kind": "im.nheko.msc3664.related_event_match"}
    yield _override_rules([[{**related, "rel_type": f"m.{number}"}] for number in range(10_000)])
    for pattern in ("m.?", "*m*?*", "M.0"):
        of_type = {"kind": "event_match", "key": "type", "pattern": pattern}
        yield _override_rules([[of_type, _CONDITIONS[-1]]] * 10_000)


_CONTEXT = Context(
    _ME,
    display_name="a@a" * 300,
    member_count=5,
    thread_subscribed=True,
    power_levels={"users_default": " 7 ", "notifications": {"room": "9" * 4_000}},
)
_CONDITIONS: tuple[Json, ...] = (
    {"kind": "event_property_contains", "key": "content.x", "value": 1},
    {"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": _ME},
    {"kind": "event_match", "key": "content." + r"a\.b." * 150, "pattern": "*a*"},
    {"kind": "contains_display_name"},
    {"kind": "room_member_count", "is": ">0"},
    {"kind": "org.matrix.msc3914.call_started"},
    {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
    {"kind": "sender_notification_permission", "key": "room"},
)


def _keyword_rules(patterns: Sequence[str]) -> Ruleset:
    return Ruleset.parse({"content": [{"rule_id": p[:99], "pattern": p, "actions": ["notify"]} for p in patterns]})


def _override_rules(conditions: Sequence[Sequence[Json]]) -> Ruleset:
    rules = [{"rule_id": f"r{number}", "conditions": each, "actions": []} for number, each in enumerate(conditions)]
    return Ruleset.parse({"override": rules})


def _parse_ms() -> float:
    rules = _rules(_KEYWORDS)
    return min(_ms(lambda: Ruleset.parse(rules)) for _ in range(20))


def _ms(work: Callable[[], object]) -> float:
    begun = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begun) / 1e6
