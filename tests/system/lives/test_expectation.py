"""What is owed for an event follows from what the homeserver says of it, and from what nobody can know."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.ids import UserId
from heliograph.demo.user import DemoUser
from system.lives.expectation import WITH_ALL, may_ring, must_ring, why_gone
from system.lives.names import CYRILLIC_ADA, NOTHING
from system.lives.people import Absence, User
from system.lives.truth import DECLINE, MEMBER, RING, Event, Receipt, Room, Rules, Truth
from system.lives.unknown import note_unknown

ME = UserId("@me:example.org")
ALICE = "@alice:example.org"
BOB = "@bob:example.org"
ROOM = "!harbour:example.org"


class Builder:
    """A user in one room, of whom another device has seen what is put in here."""

    def __init__(self) -> None:
        device = DemoUser("http://127.0.0.1:1", ME, "PHONE", "token", "password")
        self.clear: dict[str, tuple[str, dict[str, Any]]] = {}
        self.user = User(device, device, Truth(device, self.clear))
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

    def away(self, begin: int, end: int, *, is_in_order: bool = True) -> None:
        self.user.absences = [Absence(begin, is_in_order, end)]
        note_unknown(self.user, self.user.absences[0])


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


def _rule(rule_id: str, *actions: str) -> dict[str, Any]:
    return {"rule_id": rule_id, "default": True, "enabled": True, "actions": [*actions]}


@pytest.mark.parametrize("rang", [False, True])
@pytest.mark.parametrize(("msgtype", "rings"), [("m.text", True), ("m.notice", False)])
def test_what_can_be_read_late_rings_by_what_it_says_from_then_on(
    world: Builder, msgtype: str, *, rang: bool, rings: bool
) -> None:
    world.user.truth.rules = {
        "override": [_rule(".m.rule.suppress_notices")],
        "underride": [_rule(".m.rule.message", "notify")],
    }
    event = world.event("$1", type="m.room.encrypted", is_encrypted=True, by_clear_text=rang)
    world.clear["$1"] = "m.room.message", {"msgtype": msgtype, "body": "something"}
    world.user.truth.read_late("$1")
    assert must_ring(world.user, world.room, event) == (rang or rings)
    assert world.gone(event) == ("silent after all" if rang and not rings else "")


def test_the_key_of_what_the_homeserver_kept_back_changes_nothing(world: Builder) -> None:
    """As it does with what somebody ignored says."""
    world.clear["$1"] = "m.room.message", {"msgtype": "m.text", "body": "something"}
    world.user.truth.read_late("$1")
    assert not list(world.user.truth.events)


def test_a_call_rings_until_it_is_over_or_somebody_ends_it(world: Builder) -> None:
    def rings(now_ms: int) -> bool:
        return may_ring(world.user, world.room, call, now_ms)

    content = {"call_id": "one", "lifetime": 60_000}
    call = world.event("$1", type="m.call.invite", content=content, sent_ms=1_000)
    assert rings(60_000)
    assert not rings(62_000)
    world.event("$2", type="m.call.hangup", content={"call_id": "another"})
    assert rings(60_000)
    world.event("$3", type="m.call.hangup", content=content)
    assert not rings(60_000)


@pytest.mark.parametrize(
    ("answer", "is_taken"),
    [
        ({"type": "m.call.answer", "content": {"call_id": "one"}}, True),
        ({"type": DECLINE, "content": {"m.relates_to": {"rel_type": "m.reference", "event_id": "$1"}}}, True),
        ({"type": DECLINE, "content": {"m.relates_to": {"rel_type": "m.reference", "event_id": "$0"}}}, False),
        ({"type": MEMBER, "content": {"call_id": "one"}, "state_key": ME}, True),
        ({"type": MEMBER, "content": {}, "state_key": ME}, False),
        ({"type": MEMBER, "content": {"call_id": "one"}, "state_key": BOB, "sender": BOB}, False),
    ],
)
def test_a_call_is_taken_or_declined_by_the_users_own_events(
    world: Builder, answer: dict[str, Any], *, is_taken: bool
) -> None:
    call = world.event("$1", type=RING, content={"lifetime": 60_000}, sent_ms=1_000)
    world.event("$2", **({"sender": ME} | answer))
    assert world.gone(call) == ("taken elsewhere" if is_taken else "")
    assert may_ring(world.user, world.room, call, 2_000) is not is_taken


def test_a_call_of_the_room_is_over_when_its_caller_leaves_it(world: Builder) -> None:
    call = world.event("$1", type=RING, content={"lifetime": 60_000}, sent_ms=1_000)
    world.event("$2", type=MEMBER, content={}, state_key=BOB, sender=BOB)
    assert may_ring(world.user, world.room, call, 2_000)
    world.event("$3", type=MEMBER, content={}, state_key=ALICE)
    assert not may_ring(world.user, world.room, call, 2_000)


def test_a_call_for_somebody_else_does_not_ring(world: Builder) -> None:
    for invitee, rings in ((ME, True), (BOB, False)):
        content = {"invitee": invitee, "lifetime": 60_000}
        call = world.event(f"${invitee}", type="m.call.invite", content=content, listed=True, sent_ms=1_000)
        assert must_ring(world.user, world.room, call) is rings
        assert may_ring(world.user, world.room, call, 2_000) is rings


def test_a_ban_takes_back_what_its_user_wrote_before_if_it_says_so(world: Builder) -> None:
    before, others = world.event("$1", sender=BOB), world.event("$2")
    world.event("$3", type="m.room.member", state_key=BOB, content={"membership": "ban"})
    assert world.gone(before) == ""
    world.event("$4", type="m.room.member", state_key=BOB, content={"membership": "ban", WITH_ALL: True})
    after = world.event("$5", sender=BOB)
    assert [world.gone(each) for each in (before, others, after)] == ["redacted", "", ""]


def test_a_member_may_be_called_as_in_the_room_by_then_or_since(world: Builder) -> None:
    def name(user_id: str, displayname: str) -> None:
        content = {"membership": "join", "displayname": displayname}
        world.event(f"${user_id}{displayname}", type="m.room.member", state_key=user_id, content=content)
        world.room.state["m.room.member", user_id] = world.room.events[f"${user_id}{displayname}"]

    name(ALICE, "Ada")
    assert world.room.names_of(ALICE) == {"Ada", f"Ada ({ALICE})"}
    name(BOB, CYRILLIC_ADA)
    assert world.room.names_of(ALICE) == {f"Ada ({ALICE})"}
    assert world.room.names_of(BOB) == {f"{CYRILLIC_ADA} ({BOB})"}
    for misleading in (*NOTHING, "", ALICE):
        name(BOB, misleading)
        assert world.room.names_of(BOB) == {BOB}


def test_a_message_just_after_a_rename_may_have_been_listed_before_it(world: Builder) -> None:
    def name(displayname: str, look: int) -> None:
        content = {"membership": "join", "displayname": displayname}
        event = world.event(f"${look}", type="m.room.member", state_key=BOB, look=look, content=content)
        world.room.note_rename(look)
        world.room.state["m.room.member", BOB] = event

    name("Bob", 3)
    name("Ada", 6)
    assert world.room.names_heard(BOB, 7) == {"Bob", f"Bob ({BOB})", "Ada", f"Ada ({BOB})"}
    assert world.room.names_heard(BOB, 8) == {"Ada", f"Ada ({BOB})"}


def test_what_came_in_an_absence_goes_by_the_silence_of_its_end(world: Builder) -> None:
    before, away, after = (world.event(f"${look}", look=look, listed=True) for look in (3, 4, 7))
    world.away(3, 6)
    world.user.silenced = [(4, True)]
    rings = [must_ring(world.user, world.room, each) for each in (before, away, after)]
    assert rings == [True, False, False]
    assert not away.ring_is_unknown


def test_whether_a_kill_fell_before_a_judgement_is_unknown_where_the_device_is_silenced_since(world: Builder) -> None:
    first, second = (world.event(f"${look}", look=look, listed=True) for look in (4, 5))
    world.user.silenced = [(5, True)]
    world.away(3, 6, is_in_order=False)
    assert (first.ring_is_unknown, second.ring_is_unknown) == (True, False)


_ENCRYPTED, _NOTICES = ".m.rule.encrypted", ".m.rule.suppress_notices"
_TEXTS = _rule(".m.rule.message", "notify")
_LOUD: Rules = {"override": [_rule(_NOTICES, "notify")], "underride": [_rule(_ENCRYPTED, "notify"), _TEXTS]}
_NO_NOTICES: Rules = {**_LOUD, "override": [_rule(_NOTICES)]}
_QUIETER: Rules = {"override": [_rule(_NOTICES)], "underride": [_rule(_ENCRYPTED), _TEXTS]}


@pytest.mark.parametrize(
    ("before", "then", "after", "is_unknown"),
    [
        (_LOUD, _LOUD, _LOUD, False),
        # The homeserver let the encrypted event ring by the ones, and not by the others.
        (_LOUD, _LOUD, _QUIETER, False),
        (_QUIETER, _LOUD, _LOUD, False),
        (_LOUD, _QUIETER, _LOUD, True),
        # Both let it ring.
        (_LOUD, _LOUD, _NO_NOTICES, True),
        (_NO_NOTICES, _LOUD, _LOUD, True),
        # A third one held.
        (_LOUD, _NO_NOTICES, _QUIETER, True),
    ],
)
def test_which_rules_held_is_known_where_they_disagree_on_the_encrypted_event(
    world: Builder, before: Rules, then: Rules, after: Rules, *, is_unknown: bool
) -> None:
    notice = {"msgtype": "m.notice", "body": "something"}
    event = world.event("$1", look=4, is_encrypted=True, content=notice)
    unread = world.event("$2", look=4, is_encrypted=True, type="m.room.encrypted")
    clear = world.event("$3", look=4, content=notice)
    world.user.truth.ruling = [(1, before), (4, then), (5, after)]
    world.away(3, 6)
    assert event.ring_is_unknown is is_unknown
    assert not unread.ring_is_unknown
    assert not clear.ring_is_unknown


def test_what_rings_by_all_rules_may_highlight_by_some(world: Builder) -> None:
    highlights = _rule(".m.rule.message", "notify")
    highlights["actions"].append({"set_tweak": "highlight"})
    louder = {**_LOUD, "underride": [_LOUD["underride"][0], highlights]}
    event = world.event("$1", look=4, is_encrypted=True, content={"msgtype": "m.text", "body": "something"})
    world.user.truth.ruling = [(1, _LOUD), (5, louder)]
    world.away(3, 6)
    assert (event.ring_is_unknown, event.highlight_is_unknown) == (False, True)


def test_whether_somebody_was_still_ignored_is_unknown_of_what_the_homeserver_could_not_read(world: Builder) -> None:
    events = [
        world.event("$1", look=4, is_encrypted=True),
        world.event("$2", look=4, is_encrypted=True, listed=True),
        world.event("$3", look=4),
        world.event("$4", look=4, is_encrypted=True, sender=BOB),
    ]
    world.user.truth.ruling = [(1, _LOUD)]
    world.user.truth.ignoring = [(2, frozenset({ALICE})), (4, frozenset())]
    world.away(3, 6)
    assert [each.ring_is_unknown for each in events] == [True, False, False, False]


def test_an_edit_that_rings_stands_in_the_place_of_what_it_edits(world: Builder) -> None:
    def edit(event_id: str, **changes: Any) -> Event:
        return world.event(event_id, content={"m.relates_to": {"rel_type": "m.replace", "event_id": "$1"}}, **changes)

    original, silent, by_another = world.event("$1"), edit("$2"), edit("$3", sender=BOB, listed=True)
    assert (world.gone(original), world.gone(silent)) == ("", "")
    first = edit("$4", listed=True)
    assert (world.gone(original), world.gone(first)) == ("edited", "")
    newest = edit("$5", listed=True)
    assert [world.gone(each) for each in (original, first, newest, by_another)] == ["edited", "edited", "", ""]
    original.redacted_look = 2
    assert world.gone(newest) == "redacted"
