"""What became of each event of a run, and whether that keeps the guarantees. Pure: it looks at evidence alone.

Guarantees are named G1 to G8 as in docs/guarantees.md. Which events ring is Synapse's word (GET /notifications) and the
senders': where those two differ, the run itself is at fault. A repeated notification is excused only by a kill or a
lost screen in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from system.faults.record import Sent
from system.faults.screen import Telling, read_tokens
from system.faults.wire import Sync

GRACE_S = 1.5
"""Between an answer's arrival at the daemon and what follows from it on screen; twice that on the phone."""
_QUOTED = 4
"""A popup quotes no more messages."""
_UNREAD = frozenset({"shown", "dismissed"})
_KEPT = _UNREAD | {"pending"}
"""States of what the daemon has on disk. A kill may come between the request that acknowledges it and its answer: only
the relay knows of it then, and the desktop rings when it starts again."""


class Outcome(StrEnum):
    """What may become of an event."""

    RANG = "rang once"
    SILENT = "rightly silent"
    WITHDRAWN = "withdrawn"
    VIOLATION = "violation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one event, or about the run (`number` 0)."""

    number: int
    outcome: Outcome
    guarantee: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.guarantee} of w{self.number:04d}: {self.why}" if self.guarantee else str(self.outcome)


@dataclass(frozen=True)
class Evidence:
    """What was seen from outside. Times are of the test's monotonic clock."""

    sent: Sequence[Sent]
    listed: Mapping[str, bool]
    """Events that ring by GET /notifications; whether they are read."""
    tellings: Sequence[Telling]
    on_screen: Sequence[str]
    """What the popups say at the end."""
    states: Mapping[str, str]
    """Of the deliveries in the ledger."""
    syncs: Sequence[Sync] = ()
    kills_s: Sequence[float] = ()
    """When the daemon was killed: the notification under way may be repeated, once."""
    screen_lost_s: Sequence[float] = ()
    """When the notification server lost what was on screen, or answered a call that was given up."""
    is_direct: bool = False
    acknowledged: Mapping[str, float] = field(default_factory=dict)
    pushed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """When the phone was rung, by event."""
    relay_faults_s: Sequence[tuple[float, float]] = ()
    """While the relay, its disk or the way to it were at fault, an acknowledgement may not have been kept."""
    relay_kills: int = 0
    """At each of them a push that was under way may go out again."""
    unrung: Sequence[Sent] = ()
    """What the phone owed while the desktop was gone, and everything else in order."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """Of each program, by its name."""
    ends: Sequence[str] = ()
    """How programs ended that nobody ended."""


def judge(evidence: Evidence) -> list[Verdict]:
    """One verdict for each event, and one for each violation that is of no event."""
    first_told = _first_told(evidence.tellings)
    verdicts = [_judge_event(sent, evidence, first_told) for sent in evidence.sent]
    return [*verdicts, *_judge_repeats(evidence), *_judge_phone(evidence), *_judge_programs(evidence)]


def violations(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [each for each in verdicts if each.outcome is Outcome.VIOLATION]


def unfinished(evidence: Evidence) -> list[str]:
    """What the daemon has not caught up with yet."""
    waiting = []
    for sent in evidence.sent:
        state = evidence.states.get(sent.event_id)
        if _has_to_ring(sent, evidence) and state not in _UNREAD:
            waiting.append(f"w{sent.number:04d} is {state}")
        elif state == "pending" or (state in _UNREAD and _is_gone(sent, evidence)):
            waiting.append(f"w{sent.number:04d} is {state}, and gone")
        elif sent.is_loud and _is_on_screen_wrongly(sent, evidence):
            waiting.append(f"w{sent.number:04d} is on screen")
    return waiting


def _is_gone(sent: Sent, evidence: Evidence) -> bool:
    """Read, redacted, or an invite that was answered."""
    if sent.redacted_s is not None or (sent.is_invite and sent.read_s is not None):
        return True
    if sent.is_answered:
        return True
    # Synapse forgets some of what was read.
    return evidence.listed.get(sent.event_id, sent.read_s is not None)


def _has_to_ring(sent: Sent, evidence: Evidence) -> bool:
    return sent.is_loud and not _is_gone(sent, evidence)


def _is_on_screen_wrongly(sent: Sent, evidence: Evidence) -> bool:
    """Although it is gone, or in a version that is not the last."""
    quoted = [tokens[sent.number] for tokens in map(read_tokens, evidence.on_screen) if sent.number in tokens]
    return bool(quoted) and (_is_gone(sent, evidence) or any(version != sent.version for version in quoted))


def _judge_event(sent: Sent, evidence: Evidence, first_told: Mapping[int, float]) -> Verdict:
    def violates(guarantee: str, why: str) -> Verdict:
        return Verdict(sent.number, Outcome.VIOLATION, guarantee, why)

    told_s = first_told.get(sent.number)
    state = evidence.states.get(sent.event_id)
    is_listed = sent.event_id in evidence.listed
    is_taken_back = sent.redacted_s is not None or sent.is_invite
    if sent.is_loud and not is_listed and not is_taken_back and sent.read_s is None:
        return violates("harness", "the senders say it rings, Synapse does not")
    if not sent.is_loud:
        if told_s is not None or state is not None:
            return violates("G3", f"it rang ({state}), and the push rules say nothing of that")
        return Verdict(sent.number, Outcome.SILENT)
    if _is_gone(sent, evidence):
        if _is_on_screen_wrongly(sent, evidence) or state in _UNREAD or state == "pending":
            return violates("G4", f"it is read or redacted, and still {state}")
        if told_s is not None and _is_too_late(told_s, sent, evidence):
            return violates("G4", "it rang after the daemon had heard that it was read")
        return Verdict(sent.number, Outcome.SILENT if told_s is None else Outcome.WITHDRAWN)
    if state not in _UNREAD:
        return violates("G1", f"it never rang: {state or 'unknown to the ledger'}")
    if told_s is None and not _may_be_counted_only(sent, evidence):
        return violates("G1", f"the ledger says {state}, and no notification ever said it")
    if _is_on_screen_wrongly(sent, evidence):
        return violates("G4", "an edit is not on screen")
    return Verdict(sent.number, Outcome.RANG)


def _first_told(tellings: Sequence[Telling]) -> dict[int, float]:
    told: dict[int, float] = {}
    for telling in tellings:
        for number in telling.tokens:
            told.setdefault(number, telling.at_s)
    return told


def _may_be_counted_only(sent: Sent, evidence: Evidence) -> bool:
    """A popup may count more messages than it quotes."""
    rooms = {each.number: each.room_id for each in evidence.sent}
    return any(
        telling.at_s > sent.at_s - GRACE_S
        and len(telling.tokens) >= _QUOTED
        and sent.room_id in {rooms.get(number) for number in telling.tokens}
        for telling in evidence.tellings
    )


def _is_too_late(told_s: float, sent: Sent, evidence: Evidence) -> bool:
    """Two syncs asked for after it was read had arrived: the first may have been without that room's receipts."""
    gone_s = min(each for each in (sent.read_s, sent.redacted_s) if each is not None) if _knows_when(sent) else None
    if gone_s is None:
        return False
    heard = [sync.brought_s for sync in evidence.syncs if sync.asked_s > gone_s]
    return len(heard) > 1 and told_s > sorted(heard)[1] + GRACE_S


def _knows_when(sent: Sent) -> bool:
    return sent.read_s is not None or sent.redacted_s is not None


def _judge_repeats(evidence: Evidence) -> Iterator[Verdict]:
    """A notification that says nothing but what was said before, and is heard or the very same, is a repetition."""
    rooms = {each.number: each.room_id for each in evidence.sent}
    excuses = list(evidence.kills_s)
    last: dict[str, Telling] = {}
    told: set[tuple[int, int]] = set()
    for telling in evidence.tellings:
        tokens = telling.tokens
        room = next((rooms[number] for number in tokens if number in rooms), None)
        if room is None:
            continue
        before = last.get(room)
        last[room] = telling
        is_new = not told.issuperset(tokens.items())
        told.update(tokens.items())
        if before is None or is_new:
            continue
        is_same = (telling.title, telling.body) == (before.title, before.body)
        if not (is_same or telling.is_heard):
            continue
        since, at = before.at_s - GRACE_S, telling.at_s
        if any(since < lost <= at for lost in evidence.screen_lost_s):
            continue
        excuse = next((killed for killed in excuses if since < killed <= at), None)
        if excuse is None:
            yield Verdict(max(tokens), Outcome.VIOLATION, "G2", f"it was shown again: {telling.title!r}")


def owed_to_phone(evidence: Evidence) -> list[Sent]:
    """What neither side has rung for: with the desktop gone, it is the phone's."""
    return [
        sent
        for sent in evidence.sent
        if _has_to_ring(sent, evidence)
        and evidence.states.get(sent.event_id) not in _KEPT
        and sent.event_id not in evidence.acknowledged
        and sent.event_id not in evidence.pushed
    ]


def _judge_phone(evidence: Evidence) -> Iterator[Verdict]:
    """Behind the relay the phone rings for what the desktop has not acknowledged, and for nothing else."""
    for sent in evidence.unrung:
        yield Verdict(sent.number, Outcome.VIOLATION, "G6", "the desktop was gone, and the phone never rang")
    if not evidence.is_direct:
        return
    for sent in evidence.sent:
        known_s = evidence.acknowledged.get(sent.event_id)
        pushes = evidence.pushed.get(sent.event_id, ())
        if len(pushes) > 1 + evidence.relay_kills:
            yield Verdict(sent.number, Outcome.VIOLATION, "G2", f"the phone rang {len(pushes)} times")
        for pushed_s in pushes:
            if known_s is None or pushed_s < known_s + 2 * GRACE_S:
                continue
            if not any(began - GRACE_S < known_s < ended + GRACE_S for began, ended in evidence.relay_faults_s):
                why = f"the phone rang {pushed_s - known_s:.1f} s after the desktop had it"
                yield Verdict(sent.number, Outcome.VIOLATION, "G6", why)


def _judge_programs(evidence: Evidence) -> Iterator[Verdict]:
    for name, log in evidence.logs.items():
        for word in ("Traceback", "Unexpected fault", "never awaited"):
            if word in log:
                start = log.index(word)
                yield Verdict(0, Outcome.VIOLATION, "G8", f"the {name} says: {log[max(0, start - 300) : start + 1500]}")
    for end in evidence.ends:
        yield Verdict(0, Outcome.VIOLATION, "G8", end)
