"""What is known to be wrong in what Heliograph makes of reading, membership and gaps, and is to be mended.

Each excuse is for exactly one fault: a sentence, and the condition that recognises it. Nothing else is excused, and of
what was excused only what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.lives.expectation import is_silenced, is_taken_by, must_ring, why_gone
from system.lives.oracle import Fault, Violation
from system.lives.people import Absence, User
from system.lives.truth import Event, Room
from system.lives.world import World

TIMELINE = 20
"""So many events of a room a sync brings."""
_UNASKED = frozenset(
    {"m.reaction", "org.example.odd", "m.room.join_rules", "m.room.guest_access", "m.room.history_visibility"}
)
"""Types that the daemon does not ask for, so that it knows no order of them."""
_STAYS = frozenset({Fault.KEPT, Fault.ON_SCREEN})
_NEVER_RANG = frozenset({Fault.NEVER_RANG})


@dataclass(frozen=True, slots=True)
class Case:
    """A violation of what is right for one event."""

    violation: Violation
    user: User
    room: Room
    event: Event
    is_direct: bool

    def absence(self, look: int) -> Absence | None:
        """The daemon's absence in which that look was."""
        return next((each for each in self.user.absences if each.has(look)), None)

    def taken(self, look: int) -> int:
        """By which look the daemon had taken what was there by that one."""
        absence = self.absence(look)
        return look if absence is None else absence.end

    def is_beyond_sync(self, event: Event) -> bool:
        """The daemon was away when it came, and so much followed in its room that the next sync was without it."""
        absence = self.absence(event.look)
        if absence is None:
            return False
        events = self.user.truth.rooms[event.room_id].events.values()
        later = [each for each in events if each.place > event.place and each.look <= absence.end]
        return sum(each.type not in _UNASKED for each in later) >= TIMELINE

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
            case = Case(violation, user, user.truth.rooms[event.room_id], event, world.mode.is_direct)
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


def _is_before_one_of_the_ignored(case: Case) -> bool:
    later = (each for each in case.room.events.values() if each.place > case.event.place)
    return any(why_gone(case.user, case.room, each) == "ignored" for each in later)


def _was_left_and_joined_in_one_absence(case: Case) -> bool:
    if not case.is_gone_by("left") or case.room.membership != "join":
        return False
    looks = [look for look, _ in case.room.changes if look > case.event.look]
    absence = case.absence(looks[0]) if looks else None
    return absence is not None and len(looks) > 1 and absence.has(looks[-1])


def _was_changed_beyond_sync(case: Case) -> bool:
    """What changed it last was beyond the sync."""
    if case.violation.fault in _STAYS and not (case.is_gone_by("redacted") or case.is_gone_by("taken")):
        return False
    event = case.event
    changes = [
        each
        for each in case.room.events.values()
        if event.event_id in (each.redacts, each.replaces) or is_taken_by(case.user, each, event)
    ]
    return bool(changes) and case.is_beyond_sync(changes[-1])


def _rings_by_clear_text_beyond_sync(case: Case) -> bool:
    is_unlisted = case.event.is_encrypted and not case.event.listed
    return is_unlisted and case.is_beyond_sync(case.event)


def _is_beyond_sync_behind_the_relay(case: Case) -> bool:
    """Gaps are filled if something of the sync itself rings by the rules, is in clear, and is not listed."""
    absence = case.absence(case.event.look)
    if not case.is_direct or absence is None or not absence.is_in_order or not case.is_beyond_sync(case.event):
        return False
    truth = case.user.truth
    return not any(
        must_ring(case.user, room, each) and not each.is_encrypted and not why_gone(case.user, room, each)
        for room in truth.rooms.values()
        for each in room.events.values()
        if absence.has(each.look) and not case.is_beyond_sync(each)
    )


def _was_judged_by_later_rules(case: Case) -> bool:
    """The end of its absence says otherwise of it than the time when it came."""
    absence = case.absence(case.event.look)
    if absence is None:
        return False
    truth, event = case.user.truth, case.event
    silenced = (look + 1 for look, _ in case.user.silenced)
    changes = [*truth.rule_changes, *(look for look, _ in truth.ignoring), *silenced]
    is_silent = event.sender in truth.ignored_at(absence.end) or is_silenced(case.user, absence.end)
    rings = event.rings_later and not is_silent
    return rings == (case.violation.fault is Fault.RANG) and any(event.look < look <= absence.end for look in changes)


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
        "change in a gap",
        "An edit, a redaction or the end of a call is missed if more than a sync brings follows it in one absence.",
        _STAYS | {Fault.OLD_VERSION},
        _was_changed_beyond_sync,
        _LATE,
    ),
    Excuse(
        "clear text in a gap",
        "What only its clear text lets ring is missed if more than a sync brings follows it in one absence.",
        _NEVER_RANG,
        _rings_by_clear_text_beyond_sync,
    ),
    Excuse(
        "gap behind the relay",
        "In direct mode a sync after a stop in order is searched for gaps only if something of it rings that is not "
        "encrypted: what is followed by as much as a sync brings is missed.",
        _NEVER_RANG,
        _is_beyond_sync_behind_the_relay,
    ),
    Excuse(
        "later rules",
        "What came in an absence is judged by the push rules, the ignored users and the silence of its end.",
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
    Excuse(
        "ignored and marked",
        "The newest message of a popup is of a user who is ignored since: the homeserver refuses to mark it as read.",
        frozenset({Fault.SETTLED}),
        lambda case: case.violation.why == "state opened" and _is_before_one_of_the_ignored(case),
    ),
)
