"""Writes the answer of `heliograph explain`, in words and as JSON. Strangers' texts are cleaned before they are
shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heliograph.cli.explain.evidence import Gathered
from heliograph.cli.output.times import local_time
from heliograph.core.explanation import Explanation, TriedRule, explain
from heliograph.core.push.case import verdict_as_json
from heliograph.core.record import EventRecord
from heliograph.core.text.clean import clean_line

_LINE = 300


def render_text(gathered: Gathered) -> Iterator[str]:
    """The answer as lines for people."""
    evidence, told = gathered.evidence, explain(gathered.evidence)
    event, record = evidence.event, evidence.record
    yield told.answer
    yield ""
    yield _row("event", event.event_id if event is not None else record.judged.event_id if record is not None else "-")
    if gathered.room_id is not None:
        title = evidence.facts.title(evidence.me) if evidence.facts is not None else ""
        yield _row("room", f"{title} ({gathered.room_id})" if title else gathered.room_id)
    if event is not None:
        yield _row("type", event.type)
        yield _row("sender", event.sender)
    if record is not None:
        yield _row("judged", local_time(record.judged_ms))
    yield _row("account", gathered.account.user_id)
    if told.tried:
        yield ""
        yield "Rules, in the order in which they are tried:"
        yield from _rules(told)
    if told.notes or gathered.problems:
        yield ""
    yield from told.notes
    yield from (clean_line(problem, _LINE) for problem in gathered.problems)


def render_json(gathered: Gathered) -> dict[str, Any]:
    """The same answer as an object for JSON, for scripts."""
    evidence, told = gathered.evidence, explain(gathered.evidence)
    event = evidence.event
    return {
        "answer": told.answer,
        "rings": told.rings,
        "account": gathered.account.user_id,
        "room_id": gathered.room_id,
        "event": None
        if event is None
        else {"event_id": event.event_id, "type": event.type, "sender": event.sender, "ts": event.origin_server_ts},
        "verdict": None if told.verdict is None else verdict_as_json(told.verdict),
        "rules": [_rule_as_json(tried) for tried in told.tried],
        "untold_rules": told.untold,
        "ledger": None if evidence.record is None else _record_as_json(evidence.record),
        "notes": [*told.notes, *gathered.problems],
    }


def _rules(told: Explanation) -> Iterator[str]:
    width = min(max(len(tried.rule) for tried in told.tried), 60)
    for number, tried in enumerate(told.tried):
        if told.untold and number == len(told.tried) - 1:
            # Before the last step, which is told however many come before it.
            yield f"    {told.untold} more that did not match"
        yield f"  {'*' if tried.has_matched else ' '} {tried.rule:<{width}}  {tried.sentence}"


def _rule_as_json(tried: TriedRule) -> dict[str, Any]:
    return {
        "rule": tried.rule,
        "enabled": tried.is_enabled,
        "matched": tried.has_matched,
        "sentence": tried.sentence,
        "condition": tried.condition,
        "saw": tried.saw,
    }


def _record_as_json(record: EventRecord) -> dict[str, Any]:
    judged, delivery = record.judged, record.delivery
    return {
        "event_id": judged.event_id,
        "decision": judged.decision.value,
        "reason": judged.reason,
        "rule": judged.rule,
        "judged_ms": record.judged_ms,
        "delivery": None
        if delivery is None
        else {
            "state": delivery.state.value,
            "why": delivery.why,
            "attempts": delivery.attempts,
            "due_ms": delivery.due_ms,
            "popup": delivery.popup_key,
        },
    }


def _row(label: str, value: str) -> str:
    return f"  {label:<9}{clean_line(value, _LINE)}"
