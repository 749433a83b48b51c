"""What became of each event of a life, and whether that is right. Pure: it looks at evidence alone.

What should be is the homeserver's word (see `truth`), turned here into four questions for each event: does it ring, is
it gone since (read, taken back, left), does a popup have to show it, in which version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from system.faults.screen import Telling

UNREAD = frozenset({"pending", "shown", "dismissed", "lost"})
_QUOTED = 4
"""A popup quotes no more messages."""
SUMMARY_KEY = "summary:"
"""How the keys of popups begin that show many rooms."""
_SUMMARY_TITLE = re.compile(r"(?:(\d+) )?new messages? in \d+ rooms")


class Fault(StrEnum):
    """What can be wrong."""

    NEVER_RANG = "it rings, and never rang"
    NOT_TOLD = "the ledger says it was shown, and no notification ever said it"
    RANG = "it rang, and should not have"
    RANG_LATE = "it rang after it was gone"
    RANG_IN_QUIET = "it popped up in quiet"
    RINGS_ON = "no call rings any more, and its popup insists"
    RANG_TWICE = "it rang twice"
    KEPT = "it is gone, and still counts as unread"
    ON_SCREEN = "it is gone, and still on screen"
    OLD_VERSION = "an old version of it is on screen"
    NOT_ON_SCREEN = "it is unread, was not closed, and is not on screen"
    SETTLED = "it is unread, and counts as read or withdrawn"
    INBOX = "inbox and ledger differ"
    BAR = "the bar counts otherwise"
    NOTICE = "a notice that nothing accounts for"
    SUMMARY = "the summary of the first start is wrong"
    COUNT = "a summary of many rooms counts otherwise"
    PHONE = "the phone rang for what the desktop had"
    NOBODY = "neither the desktop nor the phone rang"
    NAME = "it is said to be of somebody else, or of nobody"
    COMMAND = "a command prints what the daemon does not say"
    PROGRAM = "a program has a fault"


@dataclass(frozen=True, slots=True)
class Expected:
    """One event that could ring. `event_id` is the ledger's: an invite has an id of its own there."""

    number: int
    event_id: str
    room_id: str
    account: str
    rings: bool
    gone: str = ""
    """Why it is no longer unread: "read", "redacted", "left", "joined", "opened"; or ""."""
    version: int = 0
    is_quoted: bool = True
    is_cleared: bool = False
    """No popup has to show it any more."""
    is_highlight: bool = False
    was_gone: bool = False
    """It was gone before the daemon could know of it, or by the last look already."""
    ring_is_unknown: bool = False
    """It may ring, and need not."""
    highlight_is_unknown: bool = False
    names: frozenset[str] = frozenset()
    """How its sender may be called; none: that is not asked."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the ledger."""

    event_id: str
    room_id: str
    state: str
    popup_key: str | None


@dataclass(frozen=True, slots=True)
class Popup:
    """One that is on screen. `tokens`: the messages that it quotes, and their versions.

    `key`: the room that it is of in the ledger, something else for a summary, or "" for words of Heliograph's own.
    """

    key: str
    title: str
    body: str
    account: str
    tokens: Mapping[int, int]
    is_urgent: bool = False
    """It stays until somebody answers, as calls do."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong; `number` 0: it is of no event."""

    fault: Fault
    account: str = ""
    event_id: str = ""
    number: int = 0
    why: str = ""

    @property
    def key(self) -> tuple[Fault, str, str]:
        """The same for the same thing in later looks."""
        return self.fault, self.account, self.event_id or self.why

    def __str__(self) -> str:
        of = f" (w{self.number:04d} {self.event_id} of {self.account})" if self.event_id else ""
        return f"{self.fault}{of}{': ' if self.why else ''}{self.why}"


@dataclass(frozen=True)
class Evidence:
    """What is seen at one moment, while the daemon runs."""

    expected: Sequence[Expected]
    deliveries: Mapping[str, Sequence[Delivery]]
    """By account."""
    inbox: Mapping[str, Mapping[str, tuple[int, Sequence[str]]]]
    bar: int
    highlights: int
    popups: Sequence[Popup]
    tellings: Sequence[Telling]
    told_before: int = 0
    """How many of them there were at the last look."""
    is_quiet: bool = False
    """Nothing new pops up that does not highlight and is not of `loud_rooms`."""
    was_quiet: bool = False
    """Since the last look."""
    loud_rooms: frozenset[str] = frozenset()
    popped_up: frozenset[str] = frozenset()
    """Ids of events that had been shown by the last look."""
    ringing: frozenset[str] = frozenset()
    """Rooms in which a call may ring."""
    is_locked: bool = False
    """Popups do not say what they are about."""
    kills: int = 0
    """While the daemon was at work: each may repeat one notification."""
    orphans: Sequence[Mapping[int, int]] = ()
    """What the last notifications before each kill quoted. One of them may have been answered and not recorded: its
    popup stays, and no daemon knows its id."""
    summaries: Sequence[str] = ()
    """What the first start of each account has to say."""
    rung: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """When the phone rang, by event."""
    had: frozenset[str] = frozenset()
    """Events that the desktop had in good time."""
    unrung: Sequence[tuple[str, str]] = ()
    """Accounts and events that neither side rang for."""
    senders: Mapping[str, str] = field(default_factory=dict)
    """Who wrote what is in the inbox, by event id."""
    notices: Sequence[str] = ()
    """Titles that popups of Heliograph itself may have by now."""
    unquoted: frozenset[str] = frozenset()
    """Ids of events whose popup did not say what they say: the session was locked, their key was not there, or it was
    of many rooms."""


def judge(evidence: Evidence) -> list[Violation]:
    """All that is wrong."""
    evidence = replace(evidence, popups=_without_orphans(evidence))
    told = {number for telling in evidence.tellings for number in telling.tokens}
    states = {account: {each.event_id: each.state for each in rows} for account, rows in evidence.deliveries.items()}
    found: list[Violation] = []
    for each in evidence.expected:
        if each.account in states:
            found += _judge_event(each, states[each.account].get(each.event_id), evidence, told)
    found += _judge_unknown(evidence)
    found += _judge_late(evidence)
    found += _judge_counts(evidence)
    found += _judge_names(evidence)
    found += _judge_notices(evidence)
    found += _judge_popups(evidence)
    found += _judge_phone(evidence)
    return found


def _without_orphans(evidence: Evidence) -> Sequence[Popup]:
    """The popups on screen, without those that a killed daemon may have left: one for each of `orphans`."""
    orphans = list(evidence.orphans)
    kept = []
    for popup in evidence.popups:
        if not popup.key and popup.tokens and popup.tokens in orphans:
            orphans.remove(popup.tokens)
        else:
            kept.append(popup)
    return kept


def _judge_event(expected: Expected, state: str | None, evidence: Evidence, told: set[int]) -> Iterator[Violation]:
    def violation(fault: Fault, why: str = "") -> Violation:
        return Violation(fault, expected.account, expected.event_id, expected.number, why or f"state {state}")

    quoted = _quoted_versions(expected, evidence)
    if expected.ring_is_unknown and state is None and not quoted:
        return
    if not expected.rings and not expected.ring_is_unknown:
        if state is not None and not (state not in UNREAD and expected.gone):
            yield violation(Fault.RANG)
        elif quoted:
            yield violation(Fault.RANG, "it is on screen")
        return
    if expected.gone:
        if state in UNREAD:
            yield violation(Fault.KEPT, f"{expected.gone}, and {state}")
        if quoted:
            yield violation(Fault.ON_SCREEN, expected.gone)
        return
    if state is None:
        yield violation(Fault.NEVER_RANG)
        return
    if state not in UNREAD:
        yield violation(Fault.SETTLED)
        return
    if any(version != expected.version for version in quoted):
        yield violation(Fault.OLD_VERSION, f"{quoted} instead of {expected.version}")
    is_held_back = evidence.is_quiet and not _passes_quiet(expected, evidence)
    if state == "pending":
        if not is_held_back:
            yield violation(Fault.NEVER_RANG)
        return
    if state == "shown" and is_held_back and evidence.was_quiet and expected.event_id not in evidence.popped_up:
        yield violation(Fault.RANG_IN_QUIET)
    is_known_to_be_told = expected.number in told or expected.event_id in evidence.unquoted
    is_known_to_be_told |= _is_in_summary(expected, evidence)
    if expected.is_quoted and not is_known_to_be_told and not _may_be_counted_only(expected, evidence):
        yield violation(Fault.NOT_TOLD)
    if not expected.is_cleared and not _has_popup(expected, evidence):
        yield violation(Fault.NOT_ON_SCREEN)
    if expected.is_cleared and quoted and state == "dismissed":
        yield violation(Fault.ON_SCREEN, "its popup was closed")


def _passes_quiet(expected: Expected, evidence: Evidence) -> bool:
    return expected.is_highlight or expected.room_id in evidence.loud_rooms


def _is_in_summary(expected: Expected, evidence: Evidence) -> bool:
    return any(
        each.event_id == expected.event_id and (each.popup_key or "").startswith(SUMMARY_KEY)
        for each in evidence.deliveries[expected.account]
    )


def _quoted_versions(expected: Expected, evidence: Evidence) -> list[int]:
    return [
        popup.tokens[expected.number]
        for popup in evidence.popups
        if expected.number in popup.tokens and popup.account == expected.account
    ]


def _may_be_counted_only(expected: Expected, evidence: Evidence) -> bool:
    """A popup may count more messages than it quotes; and while the session is locked it quotes none."""
    rooms = {each.number: each.room_id for each in evidence.expected}
    return evidence.is_locked or any(
        telling.quotes >= _QUOTED and expected.room_id in {rooms.get(number) for number in telling.tokens}
        for telling in evidence.tellings
    )


def _has_popup(expected: Expected, evidence: Evidence) -> bool:
    rows = evidence.deliveries[expected.account]
    mine = next((each for each in rows if each.event_id == expected.event_id), None)
    if mine is None or mine.popup_key is None:
        return False
    if mine.popup_key.startswith(SUMMARY_KEY):
        return any(popup.key == mine.popup_key for popup in evidence.popups)
    together = {each.event_id for each in rows if each.popup_key == mine.popup_key and each.state == "shown"}
    numbers = {each.number for each in evidence.expected if each.event_id in together and each.is_quoted}
    if evidence.is_locked or not numbers:
        return any(popup.account == expected.account for popup in evidence.popups)
    return any(numbers & set(popup.tokens) for popup in evidence.popups)


def _judge_unknown(evidence: Evidence) -> Iterator[Violation]:
    """Deliveries of what nobody sent."""
    known = {(each.account, each.event_id) for each in evidence.expected}
    for account, rows in evidence.deliveries.items():
        for row in rows:
            if row.room_id and (account, row.event_id) not in known:
                yield Violation(Fault.RANG, account, row.event_id, why=f"nobody sent that; state {row.state}")


def _judge_late(evidence: Evidence) -> Iterator[Violation]:
    """What was gone by the last look and is quoted for the first time since; and what is said again without news."""
    repeats: list[Violation] = []
    before = evidence.tellings[: evidence.told_before]
    told = {number: version for telling in before for number, version in telling.tokens.items()}
    by_number = {each.number: each for each in evidence.expected if each.number}
    for telling in evidence.tellings[evidence.told_before :]:
        for number, version in telling.tokens.items():
            expected = by_number.get(number)
            if expected is None:
                continue
            if number not in told and expected.gone and expected.was_gone:
                why = f"{expected.gone}: {telling.title!r}"
                yield Violation(Fault.RANG_LATE, expected.account, expected.event_id, number, why)
            told[number] = version
        repeats += _judge_repeat(telling, evidence, by_number)
    yield from repeats[evidence.kills :]


def _judge_repeat(telling: Telling, evidence: Evidence, by_number: Mapping[int, Expected]) -> Iterator[Violation]:
    """What is heard and says nothing new is a repetition."""
    at = next(place for place, each in enumerate(evidence.tellings) if each is telling)
    told = {pair for each in evidence.tellings[:at] for pair in each.tokens.items()}
    told |= {(each.number, each.version) for each in by_number.values() if each.event_id in evidence.unquoted}
    expected = by_number.get(max(telling.tokens, default=0))
    if expected is None or not telling.is_heard or not told.issuperset(telling.tokens.items()):
        return
    if _SUMMARY_TITLE.match(telling.title):
        # What is new in it need not be quoted.
        return
    if evidence.is_locked or any(
        not each.is_quoted and each.rings and each.room_id == expected.room_id for each in evidence.expected
    ):
        # Something new may be in it that it does not quote.
        return
    yield Violation(Fault.RANG_TWICE, expected.account, expected.event_id, expected.number, repr(telling.title))


def _judge_counts(evidence: Evidence) -> Iterator[Violation]:
    """Inbox and bar count what the ledger has as unread."""
    total = 0
    for account, rows in evidence.deliveries.items():
        by_room: dict[str, list[str]] = {}
        for row in rows:
            if row.state in UNREAD and row.room_id:
                by_room.setdefault(row.room_id, []).append(row.event_id)
        total += sum(map(len, by_room.values()))
        told = evidence.inbox.get(account, {})
        for room in sorted(by_room.keys() | told.keys()):
            count, ids = told.get(room, (0, ()))
            known = by_room.get(room, [])
            if count != len(known) or list(ids) != known[-len(ids) :] * bool(ids):
                why = f"{room}: {count} {list(ids)} in the inbox, {known} in the ledger"
                yield Violation(Fault.INBOX, account, why=why)
    if evidence.bar != total:
        yield Violation(Fault.BAR, why=f"{evidence.bar}, and {total} are unread")
    open_ = [each for each in evidence.expected if not each.gone and each.account in evidence.deliveries]
    unknown = sum(each.highlight_is_unknown for each in open_)
    highlights = sum(each.rings and each.is_highlight and not each.highlight_is_unknown for each in open_)
    if not highlights <= evidence.highlights <= highlights + unknown:
        yield Violation(Fault.BAR, why=f"{evidence.highlights} highlights, and {highlights} are unread")


def _judge_names(evidence: Evidence) -> Iterator[Violation]:
    """Who wrote is told so that it can be nobody else."""
    for each in evidence.expected:
        told = evidence.senders.get(each.event_id)
        if told is not None and each.names and told not in each.names:
            why = f"{told!r} instead of {' or '.join(sorted(map(repr, each.names)))}"
            yield Violation(Fault.NAME, each.account, each.event_id, each.number, why)


def _judge_popups(evidence: Evidence) -> Iterator[Violation]:
    """Only calls insist; and who has news of many rooms in one popup is told of how many."""
    for popup in evidence.popups:
        if popup.is_urgent and popup.key not in evidence.ringing and not popup.key.startswith(SUMMARY_KEY):
            yield Violation(Fault.RINGS_ON, popup.account, why=f"{popup.key}: {popup.title!r}: {popup.body!r}")
        shown = [
            each
            for each in evidence.deliveries.get(popup.account, ())
            if each.popup_key == popup.key and each.state == "shown"
        ]
        if popup.key.startswith(SUMMARY_KEY) and len({each.room_id for each in shown}) > 1:
            title = _SUMMARY_TITLE.match(popup.title)
            if title is None or int(title[1] or 1) != len(shown):
                yield Violation(Fault.COUNT, popup.account, why=f"{popup.title!r}, and {len(shown)} are unread")


def _judge_notices(evidence: Evidence) -> Iterator[Violation]:
    told = [each.body for each in evidence.tellings if each.title == _SUMMARY and not each.is_listed_only]
    if sorted(told) != sorted(evidence.summaries) and not evidence.is_quiet:
        yield Violation(Fault.SUMMARY, why=f"{told} instead of {list(evidence.summaries)}")
    for popup in evidence.popups:
        if not popup.key and popup.title not in evidence.notices:
            yield Violation(Fault.NOTICE, popup.account, why=f"{popup.title!r}: {popup.body!r}")


_SUMMARY = "Matrix"
"""The title of the first start's summary."""


def _judge_phone(evidence: Evidence) -> Iterator[Violation]:
    for account, event_id in evidence.unrung:
        yield Violation(Fault.NOBODY, account, event_id)
    for event_id in sorted(evidence.had & evidence.rung.keys()):
        yield Violation(Fault.PHONE, event_id=event_id)


def describe(violations: Iterable[Violation]) -> str:
    return "\n".join(f"  {each}" for each in violations)
