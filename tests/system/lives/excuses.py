"""What is known to be wrong in what Heliograph makes of reading, membership and gaps, and is to be mended.

Each excuse is for exactly one fault: a sentence, and the condition that recognises it. Nothing else is excused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.lives.expectation import covers
from system.lives.oracle import Fault, Violation
from system.lives.people import User
from system.lives.truth import Event, Receipt, Room
from system.lives.world import World

TIMELINE = 20
"""So many events of a room a sync brings."""
_STAYS = frozenset({Fault.KEPT, Fault.ON_SCREEN})
_SETTLED = frozenset({Fault.SETTLED, Fault.NEVER_RANG})
_JUDGED = frozenset({Fault.RANG, Fault.NEVER_RANG})
_UNSEEN = ("m.reaction", "m.room.redaction", "org.example.odd", "org.matrix.msc3381.poll.start")
"""Types that the daemon does not ask for, so that it knows no order of them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A violation of what is right for one event."""

    violation: Violation
    user: User
    room: Room
    event: Event
    is_direct: bool

    @property
    def fault(self) -> Fault:
        return self.violation.fault

    def absence(self, look: int) -> tuple[int, int] | None:
        """The daemon's absence in which that look was."""
        return next(((begin, end) for begin, end in self.user.absences if begin < look <= end), None)

    def is_beyond_sync(self, event: Event) -> bool:
        """The daemon was away when it came, and so much followed in its room that the next sync was without it."""
        absence = self.absence(event.look)
        if absence is None:
            return False
        later = [each for each in self.room.events.values() if each.place > event.place and each.look <= absence[1]]
        return len(later) >= TIMELINE

    def receipts(self) -> list[Receipt]:
        """Of its room, since it came."""
        receipts = self.user.truth.receipts
        return [each for each in receipts if each.room_id == self.room.room_id and each.look >= self.event.look]

    def marked(self) -> list[Event]:
        """What the receipts that read it point at."""
        return [self.room.events[each.event_id] for each in self.receipts() if covers(self.user, each, self.event)]

    def is_gone_by(self, why: str) -> bool:
        return self.fault in _STAYS and self.violation.why.startswith(why)


@dataclass(frozen=True, slots=True)
class Excuse:
    """`applies` is asked of each violation that is about an event."""

    name: str
    sentence: str
    applies: Callable[[Case], bool]


def find_excuse(violation: Violation, world: World) -> Excuse | None:
    """What this is known as."""
    for user in world.people.users:
        event = user.truth.find(violation.event_id) if user.user_id == violation.account else None
        if event is not None:
            case = Case(violation, user, user.truth.rooms[event.room_id], event, world.mode.is_direct)
            return next((excuse for excuse in EXCUSES if excuse.applies(case)), None)
    return None


def _is_invite_of_a_member(case: Case) -> bool:
    event = case.event
    return case.fault is Fault.RANG and event.type == "m.room.member" and event.state_key == case.user.user_id


def _was_left_and_joined_in_one_absence(case: Case) -> bool:
    if not case.is_gone_by("left") or case.room.membership != "join":
        return False
    looks = [look for look, _ in case.room.changes if look > case.event.look]
    absence = case.absence(looks[0]) if looks else None
    return absence is not None and absence[0] < looks[-1] <= absence[1]


def _was_changed_beyond_sync(case: Case) -> bool:
    if not (case.fault is Fault.OLD_VERSION or case.is_gone_by("redacted") or case.is_gone_by("taken")):
        return False
    changes = (
        each
        for each in case.room.events.values()
        if case.event.event_id in (each.redacts, each.replaces) or each.type == "m.call.answer"
    )
    return any(case.is_beyond_sync(change) for change in changes)


def _rings_by_clear_text_beyond_sync(case: Case) -> bool:
    is_encrypted = case.event.is_encrypted and not case.event.listed
    return case.fault is Fault.NEVER_RANG and is_encrypted and case.is_beyond_sync(case.event)


def _is_beyond_sync_behind_the_relay(case: Case) -> bool:
    return case.is_direct and case.fault is Fault.NEVER_RANG and case.is_beyond_sync(case.event)


def _was_judged_by_later_rules(case: Case) -> bool:
    absence = case.absence(case.event.look)
    if case.fault not in _JUDGED or absence is None:
        return False
    truth = case.user.truth
    silenced = (look + 1 for look, _ in case.user.silenced)
    changes = [*truth.rule_changes, *(look for look, _ in truth.ignoring), *silenced]
    return any(case.event.look < look <= absence[1] for look in changes)


def _is_fully_read(case: Case) -> bool:
    return case.fault in _SETTLED and any(look >= case.event.look for look, _ in case.room.fully_read)


def _is_counted_as_read(case: Case) -> bool:
    if case.fault not in _SETTLED:
        return False
    return any(
        not covers(case.user, each, case.event) and case.room.count_at(each.look) == 0 for each in case.receipts()
    )


def _is_listed_as_read(case: Case) -> bool:
    return case.fault in _SETTLED and case.event.is_listed_as_read and not case.marked()


def _is_read_at_what_is_not_asked_for(case: Case) -> bool:
    marked = case.marked()
    return case.is_gone_by("read") and bool(marked) and all(each.type in _UNSEEN for each in marked)


def _is_read_in_a_gap(case: Case) -> bool:
    marked = [each for each in case.marked() if each.type not in _UNSEEN]
    return case.is_gone_by("read") and bool(marked) and all(case.is_beyond_sync(each) for each in marked)


EXCUSES: Sequence[Excuse] = (
    Excuse(
        "invite of a member",
        "Who is invited and joins within one sync is told of the invite, though one is in the room already.",
        _is_invite_of_a_member,
    ),
    Excuse(
        "left and back",
        "What was unread in a room that one left and joined again within one absence stays unread.",
        _was_left_and_joined_in_one_absence,
    ),
    Excuse(
        "change in a gap",
        "An edit, a redaction or the end of a call is missed if more than a sync brings follows it in one absence.",
        _was_changed_beyond_sync,
    ),
    Excuse(
        "clear text in a gap",
        "What only its clear text lets ring is missed if more than a sync brings follows it in one absence.",
        _rings_by_clear_text_beyond_sync,
    ),
    Excuse(
        "gap behind the relay",
        "In direct mode nothing is asked for what a sync leaves out, and the relay lists nothing while one is away.",
        _is_beyond_sync_behind_the_relay,
    ),
    Excuse(
        "later rules",
        "What came in an absence is judged by the push rules, the ignored users and the silence of its end.",
        _was_judged_by_later_rules,
    ),
    Excuse("fully read", "The read marker is taken for a receipt.", _is_fully_read),
    Excuse(
        "count of zero",
        "Any receipt in a room in which the server counts nothing unread withdraws all of it.",
        _is_counted_as_read,
    ),
    Excuse(
        "list without threads",
        "Synapse's list says of all that stands above a receipt that it is read, whatever its thread, and is believed.",
        _is_listed_as_read,
    ),
    Excuse(
        "receipt at a reaction",
        "A receipt at an event that the daemon does not ask for reads nothing while something else is unread.",
        _is_read_at_what_is_not_asked_for,
    ),
    Excuse(
        "receipt in a gap",
        "A receipt at an event of which no sync told reads nothing while something else is unread.",
        _is_read_in_a_gap,
    ),
    Excuse(
        "ignored",
        "Ignoring somebody takes nothing back of what that user wrote before.",
        lambda case: case.is_gone_by("ignored"),
    ),
    Excuse(
        "answered",
        "A message of one's own, sent from elsewhere, reads nothing.",
        lambda case: case.is_gone_by("answered"),
    ),
)
