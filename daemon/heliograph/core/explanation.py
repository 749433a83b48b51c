"""Explains why an event did or did not ring.

For what happened, the ledger's word is taken; for how that came about, the rules and the room as they are now. Where
these no longer agree, the explanation says so. Contents are not kept, so the event is asked of the homeserver.
Test: test_an_event_that_is_gone_is_explained_from_its_record_alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from heliograph.core.delivery import State
from heliograph.core.encryption.values import Locked
from heliograph.core.events import Event, Json
from heliograph.core.push.context import Context
from heliograph.core.push.decrypted import decrypted
from heliograph.core.push.flatten import MISSING
from heliograph.core.push.phrases import Names, shown
from heliograph.core.push.rules import Ruleset, TracedRule
from heliograph.core.push.verdict import SILENT, Verdict
from heliograph.core.push.wording import word_verdict
from heliograph.core.record import FAULT, UNKEPT, UNLISTED, AccountState, Decision, Delivery, EventRecord, Judged
from heliograph.core.room import RoomFacts
from heliograph.core.sync.judging import SERVER_RULE
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

MAX_RULES = 500
"""The most rules that an explanation lists."""
_NAME = 200


@value_type
class Evidence:
    """All that is known of one event."""

    me: str
    ruleset: Ruleset
    account: AccountState
    event: Event | None = None
    """The event by the homeserver; None: it could not be fetched."""
    clear: Json | None = None
    """The decrypted payload, if the event is encrypted."""
    locked: Locked | None = None
    """Why the event cannot be decrypted now."""
    facts: RoomFacts | None = None
    """The present facts of its room."""
    record: EventRecord | None = None
    gap: str = ""
    """Why the newest gap in its room stays open; empty: none does."""
    event_types: frozenset[str] | None = None
    """The types of timeline events that the daemon asks for; None: all."""


@value_type
class TriedRule:
    """One push rule, and why it did or did not match."""

    rule: str
    is_enabled: bool
    has_matched: bool
    sentence: str
    """The first condition that did not hold, and what it saw; for the rule that decides, what happens."""
    condition: Json | None = None
    """The first condition that did not hold; None: the rule is disabled, or matched."""
    saw: str | None = None
    """The value at which that condition looked, as JSON; None: there was no value."""


@value_type
class Explanation:
    """The explanation. All its texts are fit for a terminal."""

    answer: str
    """The answer in one sentence."""
    rings: bool
    """True if the event rang; for an event that was never judged, if it would."""
    verdict: Verdict | None
    """The verdict of the present rules; None: the event could not be fetched."""
    tried: tuple[TriedRule, ...] = ()
    untold: int = 0
    """The number of rules beyond MAX_RULES that were tried."""
    notes: tuple[str, ...] = field(default=())


def explain(evidence: Evidence) -> Explanation:
    """Explains from the ledger's record, if there is one, since that is what happened. The present rules tell how it
    came about."""
    context, names = _context(evidence), _names(evidence)
    steps: list[TracedRule] = []
    verdict = None
    if evidence.event is not None:
        steps = list(evidence.ruleset.trace(_as_judged(evidence.event, evidence.clear), context))
        verdict = steps[-1].rule.verdict if steps and steps[-1].has_matched else SILENT
    # The last step decides, so it is told however many come before it.
    told = steps if len(steps) <= MAX_RULES else [*steps[: MAX_RULES - 1], steps[-1]]
    answer, rings = _answer(evidence, verdict)
    return Explanation(
        answer=answer,
        rings=rings,
        verdict=verdict,
        tried=tuple(_tried(step, context, names) for step in told),
        untold=len(steps) - len(told),
        notes=tuple(_notes(evidence, verdict)),
    )


def _as_judged(event: Event, clear: Json | None) -> Json:
    return event.raw if clear is None else decrypted(event.raw, clear)


def _context(evidence: Evidence) -> Context:
    return Context(evidence.me) if evidence.facts is None else evidence.facts.context(evidence.me)


def _names(evidence: Evidence) -> Names:
    facts = evidence.facts
    return Names(evidence.me, {facts.room_id: facts.title(evidence.me)} if facts is not None else {})


def _tried(step: TracedRule, context: Context, names: Names) -> TriedRule:
    rule = step.rule
    saw = None
    if not rule.enabled:
        sentence = "disabled"
    elif step.failed is None:
        sentence = f"matched: {word_verdict(rule.verdict)}"
    else:
        saw = None if step.seen is MISSING else shown(step.seen)
        sentence = f"asks that {step.failed.word(names)}; {step.failed.word_seen(saw, context)}"
    return TriedRule(
        rule=clean_line(f"{rule.kind}/{rule.rule_id}", _NAME),
        is_enabled=rule.enabled,
        has_matched=step.has_matched,
        sentence=sentence,
        condition=None if step.failed is None else step.failed.json,
        saw=saw,
    )


def _answer(evidence: Evidence, verdict: Verdict | None) -> tuple[str, bool]:
    record, event = evidence.record, evidence.event
    if record is not None:
        return _word_record(record), record.judged.decision is Decision.RING
    if event is None or verdict is None:
        return "Nothing is known of it.", False
    # In the order in which the daemon judges (`core/sync/judging.py`),
    # so that the first reason told is the one that held.
    if event.sender == evidence.me:
        return "It does not ring: it is your own.", False
    if event.sender in evidence.account.ignored_users:
        return "It does not ring: you ignore its sender.", False
    if not verdict.notify:
        decided = f"{_rule(verdict.rule)} says so" if verdict.rule else "no rule matches it"
        return f"It does not ring: {decided}.", False
    if (silence := _silence(evidence.account)) is not None:
        return f"It does not ring: {silence}.", False
    return f"It would ring, by {_rule(verdict.rule)}, but Heliograph was not told of it.", True


def _word_record(record: EventRecord) -> str:
    judged, delivery = record.judged, record.delivery
    if judged.reason in (FAULT, UNKEPT):
        return f"It did not ring: {judged.reason}, whose traceback is in the log."
    if judged.decision is Decision.MALFORMED:
        return f"It did not ring: it is malformed ({clean_line(judged.reason, _NAME)})."
    if judged.decision is Decision.SILENT:
        return f"It did not ring: {_word_silence(judged)}."
    by = "as the homeserver said" if judged.rule == SERVER_RULE else f"by {_rule(judged.rule or judged.reason)}"
    return f"It rang, {by}. {_word_delivery(delivery)}"


def _word_silence(judged: Judged) -> str:
    match judged.reason:
        case reason if reason == UNLISTED:
            return "in direct mode the homeserver says what rings, and it did not list this event"
        case "own event":
            return "it is your own"
        case "its sender is ignored":
            return "you ignore its sender"
        case "its sender was ignored when it came":
            return "you ignored its sender when it came"
        case "read elsewhere":
            return "you had read it elsewhere before it could be shown"
        case "deleted by its sender or a moderator" as reason:
            return f"it was {reason} before it could be shown"
        case "from before you joined":
            return "it is from before you joined the room"
        case "no rule matched":
            return "no rule matched it"
        case reason if reason == judged.rule:
            if reason == SERVER_RULE:
                return "the homeserver said so"
            return f"{_rule(reason)} said so"
    return clean_line(judged.reason, _NAME)


def _word_delivery(delivery: Delivery | None) -> str:
    if delivery is None:
        return "What became of it is not known."
    why = clean_line(delivery.why, _NAME)
    because = f": {why}" if why else ""
    match delivery.state:
        case State.PENDING if delivery.attempts:
            times = "once" if delivery.attempts == 1 else f"{delivery.attempts} times"
            return f"It waits to be shown, which failed {times}{because}."
        case State.PENDING:
            return "It waits to be shown."
        case State.SHOWN:
            return (
                "It is on screen."
                if delivery.popup_key is not None
                else "It was shown; whether it still is, is unknown."
            )
        case State.OPENED:
            return "You opened it, or its room."
        case State.DISMISSED:
            return "It was shown, and you or your desktop closed it."
        case State.WITHDRAWN:
            return f"It was shown, and taken back{because}."
        case State.CANCELLED:
            return f"It was taken back before it was shown{because}."
    return f"It could not be shown{because}."


def _notes(evidence: Evidence, verdict: Verdict | None) -> Iterator[str]:
    event, record = evidence.event, evidence.record
    if record is not None and record.judged.encryption:
        yield f"When it was judged: {clean_line(record.judged.encryption, _NAME)}."
    if event is not None and verdict is not None:
        yield from _notes_on_event(evidence, event)
        judged = record.judged if record is not None else None
        # Without a rule of its own there is nothing to compare: a
        # server says that an event rings, but not by which rule.
        if judged is not None and judged.rule not in (None, SERVER_RULE, verdict.rule):
            now = f"{_rule(verdict.rule)} decides" if verdict.rule else "no rule matches"
            yield f"The rules, the room or the event have changed since {_rule(judged.rule)} decided: now {now}."
        if record is None:
            yield _note_on_absence(evidence, event, verdict)
            if evidence.gap:
                why = clean_line(evidence.gap, _NAME)
                yield f"It may have come in a gap, of which not all could be fetched: {why}."
        if evidence.account.rules_problem is not None:
            yield f"Newer push rules cannot be used: {clean_line(evidence.account.rules_problem, _NAME)}."
    silence = _silence(evidence.account)
    if silence is not None and (record is None or record.judged.reason != silence):
        yield f"Nothing rings now: {silence}."


def _notes_on_event(evidence: Evidence, event: Event) -> Iterator[str]:
    if evidence.clear is not None:
        yield "It is encrypted; the rules were tried on what it says."
    elif evidence.locked is not None:
        why = clean_line(evidence.locked.words, _NAME)
        yield f"It is encrypted and cannot be read: {why}. The rules were tried on the encrypted event."
    elif event.type == "m.room.encrypted":
        yield "It is encrypted, and what it says is not known here: the rules were tried on the encrypted event."
    if event.is_redacted:
        yield "It was deleted since: the rules were tried on what is left of it."
    if evidence.facts is None:
        yield "Nothing is known of its room: what asks for members, names or power levels does not match."


def _note_on_absence(evidence: Evidence, event: Event, verdict: Verdict) -> str:
    if evidence.event_types is None or event.type in evidence.event_types:
        return "The ledger has no record of it: it came before the first start or is forgotten, or it is yet to come."
    if verdict.notify:
        return f"Only messages and what rules name are asked for: {shown(event.type)} is a type that no rule names."
    return f"No rule lets {shown(event.type)} ring, so such events are not asked for."


def _silence(account: AccountState) -> str | None:
    """Why nothing at all rings now, in the same words as `core.sync.plan` has; None: things ring."""
    if not account.is_pusher_enabled:
        return "another client switched this device's pusher off"
    return "another client silenced this device" if account.is_silenced else None


def _rule(rule: str | None) -> str:
    return clean_line(rule or "", _NAME)
