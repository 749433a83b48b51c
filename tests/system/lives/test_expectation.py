"""What is owed for an event follows from what the homeserver says of it, and excuses are for what they name alone."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.ids import UserId
from heliograph.demo.user import DemoUser
from system.lives.excuses import EXCUSES, TIMELINE, Case
from system.lives.expectation import must_ring, why_gone
from system.lives.oracle import Fault, Violation
from system.lives.people import User
from system.lives.truth import Event, Receipt, Room, Truth

ME = UserId("@me:example.org")
ALICE = "@alice:example.org"
ROOM = "!harbour:example.org"


class Builder:
    """A user in one room, of whom another device has seen what is put in here."""

    def __init__(self) -> None:
        device = DemoUser("http://127.0.0.1:1", ME, "PHONE", "token", "password")
        self.user = User(device, device, Truth(device, {}))
        self.user.first_look = 0
        self.room = self.user.truth.rooms[ROOM] = Room(ROOM, membership="join", stays=[0])

    def event(self, event_id: str, *, look: int = 1, sender: str = ALICE, **changes: Any) -> Event:
        place = 1 + len(self.room.events)
        given: dict[str, Any] = {
            "type": "m.room.message",
            "content": {},
            "is_encrypted": False,
            "state_key": None,
            "redacts": None,
        }
        event = Event(event_id=event_id, room_id=ROOM, sender=sender, place=place, look=look, **(given | changes))
        self.room.events[event_id] = event
        return event

    def threaded(self, event_id: str, root: str, **changes: Any) -> Event:
        return self.event(event_id, content={"m.relates_to": {"rel_type": "m.thread", "event_id": root}}, **changes)

    def receipt(self, event_id: str, thread_id: str | None = None, *, look: int = 2) -> None:
        self.user.truth.receipts.append(Receipt(ROOM, event_id, "m.read", thread_id, look))

    def gone(self, event: Event) -> str:
        return why_gone(self.user, self.room, event)

    def excuses(self, fault: Fault, event: Event, why: str = "", *, is_direct: bool = False) -> list[str]:
        """Names of all that apply."""
        violation = Violation(fault, ME, event.event_id, why=why)
        case = Case(violation, self.user, self.room, event, is_direct)
        return [each.name for each in EXCUSES if each.applies(case)]


@pytest.fixture
def world() -> Builder:
    return Builder()


def test_a_receipt_reads_what_stands_above_it_and_nothing_below(world: Builder) -> None:
    first, second = world.event("$1"), world.event("$2")
    world.receipt("$1")
    assert (world.gone(first), world.gone(second)) == ("read", "")


def test_a_receipt_for_a_thread_reads_that_thread_alone(world: Builder) -> None:
    root, reply, other = world.event("$1"), world.threaded("$2", "$1"), world.threaded("$3", "$0")
    world.receipt("$3", "$1")
    assert (world.gone(root), world.gone(reply), world.gone(other)) == ("", "read", "")
    world.receipt("$3", "main")
    assert (world.gone(root), world.gone(other)) == ("read", "")


def test_what_was_said_before_the_last_join_is_gone(world: Builder) -> None:
    before, join, after = world.event("$1"), world.event("$2"), world.event("$3")
    world.room.stays.append(join.place)
    assert (world.gone(before), world.gone(after)) == ("left", "")
    world.room.membership = "leave"
    assert world.gone(after) == "left"


def test_an_own_message_reads_its_thread(world: Builder) -> None:
    main, reply = world.event("$1"), world.threaded("$2", "$1")
    world.event("$3", sender=ME)
    assert (world.gone(main), world.gone(reply)) == ("answered", "")


def test_what_is_listed_rings_and_what_is_encrypted_rings_by_what_it_says(world: Builder) -> None:
    room, user = world.room, world.user
    assert must_ring(user, room, world.event("$1", listed=True))
    assert not must_ring(user, room, world.event("$2"))
    assert not must_ring(user, room, world.event("$3", listed=True, is_encrypted=True))
    assert must_ring(user, room, world.event("$4", by_clear_text=True, is_encrypted=True))


def test_nothing_rings_from_before_the_start_from_oneself_from_the_ignored_or_while_silenced(world: Builder) -> None:
    room, user = world.room, world.user
    user.first_look = 5
    assert not must_ring(user, room, world.event("$1", look=5, listed=True))
    assert must_ring(user, room, world.event("$2", look=6, listed=True))
    assert not must_ring(user, room, world.event("$3", look=6, listed=True, sender=ME))
    assert not must_ring(user, room, world.event("$4", look=6, listed=True, is_from_ignored=True))
    user.silenced = [(6, True), (8, False)]
    assert not must_ring(user, room, world.event("$5", look=7, listed=True))
    assert must_ring(user, room, world.event("$6", look=9, listed=True))


def _flood(world: Builder, look: int, count: int) -> None:
    for number in range(count):
        world.event(f"$flood{number}", look=look)


@pytest.mark.parametrize(("followers", "excused"), [(TIMELINE, ["change in a gap"]), (TIMELINE - 1, [])])
def test_a_missed_redaction_is_excused_in_a_gap_alone(world: Builder, followers: int, excused: list[str]) -> None:
    event = world.event("$1")
    world.event("$2", look=4, type="m.room.redaction", redacts="$1")
    _flood(world, 5, followers)
    assert world.excuses(Fault.KEPT, event, "redacted, and shown") == []
    world.user.absences = [(3, 6)]
    assert world.excuses(Fault.KEPT, event, "redacted, and shown") == excused


def test_what_is_lost_in_a_gap_is_excused_if_it_is_encrypted_or_the_mode_is_direct(world: Builder) -> None:
    plain = world.event("$1", look=4, listed=True)
    clear = world.event("$2", look=4, is_encrypted=True, by_clear_text=True)
    _flood(world, 5, TIMELINE)
    world.user.absences = [(3, 6)]
    assert world.excuses(Fault.NEVER_RANG, plain) == []
    assert world.excuses(Fault.NEVER_RANG, plain, is_direct=True) == ["gap behind the relay"]
    assert world.excuses(Fault.NEVER_RANG, clear) == ["clear text in a gap"]
    world.user.absences = []
    assert world.excuses(Fault.NEVER_RANG, plain, is_direct=True) == []


def test_what_is_judged_by_later_rules_is_excused_in_an_absence_alone(world: Builder) -> None:
    event = world.event("$1", look=4)
    world.user.truth.rule_changes = [5]
    assert world.excuses(Fault.RANG, event) == []
    world.user.absences = [(3, 6)]
    assert world.excuses(Fault.RANG, event) == ["later rules"]
    assert world.excuses(Fault.RANG_TWICE, event) == []
    world.user.truth.rule_changes = [4]
    assert world.excuses(Fault.RANG, event) == []


def test_a_read_marker_and_a_count_of_zero_excuse_what_counts_as_read(world: Builder) -> None:
    event = world.event("$1", look=3)
    assert world.excuses(Fault.SETTLED, event) == []
    world.room.fully_read = [(4, "$0")]
    assert world.excuses(Fault.SETTLED, event) == ["fully read"]
    world.room.fully_read = [(2, "$0")]
    world.event("$reaction", type="m.reaction")
    world.receipt("$unknown", look=4)
    world.room.counts = [(1, 0), (3, 1)]
    assert world.excuses(Fault.SETTLED, event) == []
    world.room.counts = [(1, 1), (3, 0)]
    assert world.excuses(Fault.SETTLED, event) == ["count of zero"]


def test_a_list_that_knows_no_threads_excuses_what_a_receipt_of_another_thread_reads(world: Builder) -> None:
    world.room.counts = [(1, 1)]
    event = world.event("$1", listed=True)
    world.threaded("$2", "$0")
    world.receipt("$2", "$0")
    assert world.excuses(Fault.NEVER_RANG, event) == []
    event.is_listed_as_read = True
    assert world.excuses(Fault.NEVER_RANG, event) == ["list without threads"]


def test_a_receipt_at_a_reaction_is_excused_and_one_at_a_message_is_not(world: Builder) -> None:
    event = world.event("$1")
    world.event("$2", type="m.reaction")
    world.event("$3")
    world.receipt("$2")
    assert world.excuses(Fault.KEPT, event, "read, and shown") == ["receipt at a reaction"]
    world.receipt("$3")
    assert world.excuses(Fault.KEPT, event, "read, and shown") == []


def test_coming_back_is_excused_within_one_absence_alone(world: Builder) -> None:
    event = world.event("$1", look=1)
    world.room.changes = [(4, "leave"), (5, "join")]
    assert world.excuses(Fault.KEPT, event, "left, and shown") == []
    world.user.absences = [(3, 6)]
    assert world.excuses(Fault.KEPT, event, "left, and shown") == ["left and back"]
    world.user.absences = [(3, 4)]
    assert world.excuses(Fault.KEPT, event, "left, and shown") == []


def test_every_excuse_says_what_it_excuses() -> None:
    assert len({each.name for each in EXCUSES}) == len(EXCUSES)
    assert all(each.sentence.endswith(".") for each in EXCUSES)
