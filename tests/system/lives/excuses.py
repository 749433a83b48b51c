"""What is known to be wrong in what Heliograph makes of reading, membership and gaps, and is to be mended.

Each excuse is for exactly one fault: a sentence, and the condition that recognises it. Nothing else is excused, and of
what was excused only what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.lives.expectation import is_silenced
from system.lives.oracle import Fault, Violation
from system.lives.people import Absence, User
from system.lives.truth import Event, Room
from system.lives.world import World

_STAYS = frozenset({Fault.KEPT, Fault.ON_SCREEN})


@dataclass(frozen=True, slots=True)
class Case:
    """A violation of what is right for one event."""

    violation: Violation
    user: User
    room: Room
    event: Event

    def absence(self, look: int) -> Absence | None:
        """The daemon's absence in which that look was."""
        return next((each for each in self.user.absences if each.has(look)), None)

    def taken(self, look: int) -> int:
        """By which look the daemon had taken what was there by that one."""
        absence = self.absence(look)
        return look if absence is None else absence.end

    def is_gone_by(self, why: str) -> bool:
        return self.violation.fault in _STAYS and self.violation.why.startswith(why)


@dataclass(frozen=True, slots=True)
class Excuse:
    """`applies` is asked of violations that are about an event, and one of `faults`."""

    name: str
    sentence: str
    faults: frozenset[Fault]
    applies: Callable[[Case], bool]
    follow: frozenset[Fault] = frozenset()
    """What else may be found of that event afterwards."""


def find_excuse(violation: Violation, world: World) -> Excuse | None:
    """What this is known as."""
    for user in world.people.users:
        event = user.truth.find(violation.event_id) if user.user_id == violation.account else None
        if event is not None:
            case = Case(violation, user, user.truth.rooms[event.room_id], event)
            return next((excuse for excuse in EXCUSES if excuse_applies(excuse, case)), None)
    return None


def excuse_applies(excuse: Excuse, case: Case) -> bool:
    return case.violation.fault in excuse.faults and excuse.applies(case)


def _is_invite_of_a_member(case: Case) -> bool:
    """The invite, and the join after it, came in one sync."""
    event = case.event
    is_invite = event.state_key == case.user.user_id and event.content.get("membership") == "invite"
    joins = [
        each.look
        for each in case.room.events.values()
        if each.state_key == case.user.user_id and each.content.get("membership") == "join" and each.place > event.place
    ]
    return is_invite and bool(joins) and case.taken(joins[0]) == case.taken(event.look)


def _was_left_and_joined_in_one_absence(case: Case) -> bool:
    if not case.is_gone_by("left") or case.room.membership != "join":
        return False
    looks = [look for look, _ in case.room.changes if look > case.event.look]
    absence = case.absence(looks[0]) if looks else None
    return absence is not None and len(looks) > 1 and absence.has(looks[-1])


def _was_judged_by_later_rules(case: Case) -> bool:
    """The end of its absence says otherwise of it than the time when it came, which the homeserver could not judge."""
    absence = case.absence(case.event.look)
    if absence is None:
        return False
    truth, event = case.user.truth, case.event
    silenced = [look + 1 for look, _ in case.user.silenced]
    is_unjudged = event.is_encrypted and not event.listed
    if is_unjudged and case.violation.fault is Fault.NEVER_RANG and _was_forgiven(case, absence):
        return True
    changes = [*(truth.rule_changes if event.is_encrypted else ()), *silenced]
    if is_unjudged:
        changes += [look for look, _ in truth.ignoring]
    is_silent = event.sender in truth.ignored_at(absence.end) or is_silenced(case.user, absence.end)
    rings = event.rings_later and not is_silent
    return rings == (case.violation.fault is Fault.RANG) and any(event.look < look <= absence.end for look in changes)


def _was_forgiven(case: Case, absence: Absence) -> bool:
    """Its sender was ignored when the absence began, and no longer at its end."""
    truth, sender = case.user.truth, case.event.sender
    return sender in truth.ignored_at(absence.begin) and sender not in truth.ignored_at(absence.end)


_LATE = frozenset({Fault.RANG_LATE})
"""What was kept while it was held back rings when that is over."""

EXCUSES: Sequence[Excuse] = (
    Excuse(
        "invite of a member",
        "Who is invited and joins within one sync is told of the invite, though one is in the room already.",
        frozenset({Fault.RANG}),
        _is_invite_of_a_member,
    ),
    Excuse(
        "left and back",
        "What was unread in a room that one left and joined again within one absence stays unread.",
        _STAYS,
        _was_left_and_joined_in_one_absence,
        _LATE | {Fault.RANG_TWICE},
    ),
    Excuse(
        "later rules",
        "What came in an absence is judged by the silence of its end, which no homeserver tells otherwise; what came "
        "encrypted also by the push rules of then, and as if whoever was ignored before still were.",
        frozenset({Fault.RANG, Fault.NEVER_RANG}),
        _was_judged_by_later_rules,
    ),
    Excuse(
        "ignored",
        "Ignoring somebody takes nothing back of what that user wrote before.",
        _STAYS,
        lambda case: case.is_gone_by("ignored"),
        _LATE,
    ),
)
