"""What nobody can know any more of an event that came while Heliograph was not running. Pure.

Heliograph learns of an absence at its end, and whatever the homeserver tells of it by then is owed: in what order
things came, who was ignored, and what rang of all that the homeserver could read. Three things no homeserver tells, so
neither ringing nor silence is wrong where they decide:

- since when another client has silenced this device: what came in an absence goes by its end (`expectation.must_ring`);
  a kill may fall before or after the first event's judgement
- which rules held when an encrypted event came, unless those from before the absence and those of its end disagree on
  the encrypted event, which the homeserver did judge by one of them
- whether somebody was still ignored when an encrypted event came that did not ring as such
"""

from __future__ import annotations

from dataclasses import replace

from system.lives.people import Absence, User
from system.lives.truth import Event


def note_unknown(user: User, absence: Absence) -> None:
    """Marks such events of an absence that is over."""
    for event in user.truth.events:
        if not absence.has(event.look) or event.sender == user.user_id:
            continue
        event.ring_is_unknown = _is_silence_unknown(user, absence, event)
        if event.is_encrypted and event.type != "m.room.encrypted":
            event.ring_is_unknown |= _was_maybe_ignored(user, absence, event)
            _note_unknown_rules(user, absence, event)


def _is_silence_unknown(user: User, absence: Absence, event: Event) -> bool:
    is_first = event.look == absence.begin + 1
    return is_first and not absence.is_in_order and user.is_silenced(event.look) != user.is_silenced(absence.end)


def _was_maybe_ignored(user: User, absence: Absence, event: Event) -> bool:
    was_ignored = event.sender in user.truth.ignored_at(absence.begin)
    return was_ignored and not event.listed and event.sender not in user.truth.ignored_at(absence.end)


def _note_unknown_rules(user: User, absence: Absence, event: Event) -> None:
    truth = user.truth
    before, then, after = map(truth.rules_at, (absence.begin, event.look, absence.end))
    seen = replace(
        event, type="m.room.encrypted", content={name: event.content[name] for name in _SEEN & event.content.keys()}
    )
    differ = truth.judge(seen, before)[0] != truth.judge(seen, after)[0]
    if differ and then in (before, after):
        return
    verdicts = {truth.judge(event, rules) for rules in (before, then, after)}
    event.ring_is_unknown |= len({rings for rings, _ in verdicts}) > 1
    event.highlight_is_unknown = len({highlights for _, highlights in verdicts}) > 1


_SEEN = {"m.relates_to"}
"""Of the content of an encrypted event."""
