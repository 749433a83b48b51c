"""What a homeserver refuses of all that is ever asked of it, and how: a Synapse as the fake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contract.conftest import World
from contract.outcomes import ExpectRefusals, Outcome, assert_each_is_signed_out, outcome_of
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.ports.homeserver import Homeserver, Member, RoomActions, SyncRequest
from support.builders import make_pusher

ODD_ROOMS = ["!nothing", "!x:in_valid", "!x:y:z", "!x:e..x", "!", "!a\nb:localhost"]
"""Ids that Synapse takes in paths, but not in filters."""
HASH = "!" + "A" * 43
NONSENSE = "nonsense"


@dataclass
class Place:
    """What there is on the server besides the user: a room for each way to stand to one."""

    homeserver: Homeserver
    actions: RoomActions
    token: str
    rooms: dict[str, RoomId]
    event: EventId
    """In the room "own"."""
    foreign: EventId
    alice: UserId

    @property
    def own(self) -> RoomId:
        return self.rooms["own"]


@pytest.fixture
async def place(world: World) -> Place:
    alice, me = world.alice, world.me
    rooms = {"own": await world.room(), "foreign": await alice.create_room("Foreign")}
    rooms["invited"] = await alice.create_room("Invited", [me])
    rooms["withdrawn"] = await alice.create_room("Withdrawn", [me])
    await alice.kick(rooms["withdrawn"], me)
    rooms["left"] = await world.room("Left")
    await me.leave(rooms["left"])
    rooms |= {"nowhere": RoomId("!nowhere:localhost"), "hash": RoomId(HASH)}
    rooms |= {room_id: RoomId(room_id) for room_id in ODD_ROOMS}
    event = await alice.send_text(rooms["own"], "hello")
    foreign = await alice.send_text(rooms["foreign"], "secret")
    token = (await world.start()).next_batch
    return Place(world.homeserver, world.actions, token, rooms, event, foreign, alice.user_id)


Request = Callable[[Place], Awaitable[Any]]


def sync(since: str | None = None, **request: Any) -> Request:
    return lambda place: place.homeserver.sync(SyncRequest(since or place.token, 0, **request))


def messages(room: str, *, since: str | None = None, until: str | None = None, **request: Any) -> Request:
    return lambda place: place.homeserver.messages(
        place.rooms[room], since=since or place.token, until=until, limit=2, **request
    )


def event(room: str, event_id: str | None = None, *, is_foreign: bool = False) -> Request:
    def ask(place: Place) -> Awaitable[Any]:
        known = place.foreign if is_foreign else place.event
        return place.homeserver.event(place.rooms[room], known if event_id is None else EventId(event_id))

    return ask


def context(room: str, event_id: str | None = None, *, is_foreign: bool = False) -> Request:
    def ask(place: Place) -> Awaitable[Any]:
        known = place.foreign if is_foreign else place.event
        asked = known if event_id is None else EventId(event_id)
        return place.homeserver.context(place.rooms[room], asked, limit=2, event_types=frozenset({"m.room.message"}))

    return ask


def set_pusher(**pusher: Any) -> Request:
    return lambda place: place.homeserver.set_pusher(make_pusher(**pusher))


def act(verb: str, room: str) -> Request:
    return lambda place: getattr(place.actions, verb)(place.rooms[room])


def mark_read(room: str, *, is_foreign: bool = False, is_public: bool = False) -> Request:
    return lambda place: place.actions.mark_read(
        place.rooms[room], place.foreign if is_foreign else place.event, is_public=is_public
    )


def note_conversation(room: str) -> Request:
    return lambda place: place.actions.add_direct(place.rooms[room], place.alice)


def change(change: RuleChange) -> Request:
    return lambda place: place.actions.change_push_rules(change)


FORBIDDEN, NO_EVENT, BAD = (403, "M_FORBIDDEN"), (404, "M_NOT_FOUND"), (400, "M_UNKNOWN")
NO_URL = (400, "M_MISSING_PARAM")
OUTSIDE = ["foreign", "invited", "nowhere", "hash", *ODD_ROOMS]
ODD_TYPES = frozenset({"", "*", "m.*", "é\U0001f600", "a b\n", "\0", "x" * 255, "[]"})

REQUESTS: dict[str, tuple[Request, Outcome]] = {
    "sync": (sync(), None),
    "sync for all": (sync(receipts_in=None), None),
    "sync with an unknown token": (sync(NONSENSE), BAD),
    "sync for odd types": (sync(event_types=ODD_TYPES), None),
    "sync for no types": (sync(event_types=frozenset()), None),
    "sync for good rooms": (sync(receipts_in=frozenset({RoomId(HASH), RoomId("!é \n:localhost:80")})), None),
    **{
        f"sync with receipts in {room_id!r}": (sync(receipts_in=frozenset({RoomId(room_id), RoomId(HASH)})), None)
        for room_id in ODD_ROOMS
    },
    "messages": (messages("own"), None),
    "messages for odd types": (messages("own", event_types=ODD_TYPES), None),
    "messages from an unknown token": (messages("own", since=NONSENSE), BAD),
    "messages to an unknown token": (messages("own", until=NONSENSE), BAD),
    **{f"messages of {room!r}": (messages(room), FORBIDDEN) for room in OUTSIDE},
    "messages of a room that was left": (messages("left"), None),
    "event": (event("own"), None),
    "event that is unknown": (event("own", "$unknown"), NO_EVENT),
    "event of another room": (event("own", is_foreign=True), NO_EVENT),
    "event that is not ours to see": (event("foreign", is_foreign=True), NO_EVENT),
    **{f"event with an odd id {odd!r}": (event("own", odd), NO_EVENT) for odd in ("$x:y:z", "$a/b", "$é", "$ ?#%")},
    **{f"event in {room!r}": (event(room), NO_EVENT) for room in OUTSIDE},
    "context": (context("own"), None),
    "context of an unknown event": (context("own", "$unknown"), NO_EVENT),
    "context of an event of another room": (context("own", is_foreign=True), (404, "M_UNKNOWN")),
    "context of an event that is not ours to see": (context("foreign", is_foreign=True), FORBIDDEN),
    "notifications": (lambda place: place.homeserver.notifications(since=None, limit=1), None),
    "notifications from an unknown token": (lambda place: place.homeserver.notifications(since=NONSENSE, limit=1), BAD),
    "notifications from a token of /sync": (
        lambda place: place.homeserver.notifications(since=place.token, limit=1),
        BAD,
    ),
    "pusher": (set_pusher(), None),
    "direct pusher": (set_pusher(kind="direct", data={}), None),
    "pusher without a url": (set_pusher(data={}), NO_URL),
    "pusher with another path": (set_pusher(data={"url": "https://push.example.org/other"}), NO_URL),
    "pusher with no whole url": (set_pusher(data={"url": "push.example.org"}), NO_URL),
    "pusher with long names": (set_pusher(app_id="a" * 65, pushkey="k" * 513, app_display_name="x" * 500), None),
    "removing no pusher": (lambda place: place.homeserver.remove_pusher("none", "none"), None),
    "reading": (mark_read("own"), None),
    "reading publicly": (mark_read("own", is_public=True), None),
    "reading an event of another room": (mark_read("own", is_foreign=True), (404, "M_UNKNOWN")),
    **{f"reading in {room!r}": (mark_read(room), (404, "M_UNKNOWN")) for room in OUTSIDE},
    **{f"leaving {room!r}": (act("leave", room), None) for room in ("own", "left", "withdrawn", *OUTSIDE)},
    **{f"joining {room!r}": (act("join", room), None) for room in ("own", "invited")},
    **{f"joining {room!r}": (act("join", room), FORBIDDEN) for room in ("foreign", "withdrawn", "left")},
    **{f"joining {room!r}": (act("join", room), (404, "M_UNKNOWN")) for room in ("nowhere", "hash", *ODD_ROOMS)},
    **{
        f"noting a conversation in {room!r}": (note_conversation(room), None) for room in ("own", "nowhere", "!nothing")
    },
    **{f"rule for {room!r}": (change(Put("room", room, {"actions": []})), None) for room in (HASH, *ODD_ROOMS)},
    "rule with a slash": (change(Put("room", "!a/b:x", {"actions": []})), (400, "M_UNRECOGNIZED")),
    "rule with a backslash": (change(Put("room", "!a\\b:x", {"actions": []})), BAD),
    "rule with a long id": (change(Put("room", "!" + "a" * 300, {"actions": []})), (413, "M_UNKNOWN")),
    "rule that looks predefined": (change(Put("override", ".x", {"conditions": [], "actions": []})), BAD),
    "rule of no kind": (change(Put("nonsense", "x", {"actions": []})), BAD),
    "rule without a pattern": (change(Put("content", "x", {"actions": []})), BAD),
    "rule without conditions": (change(Put("override", "x", {"actions": []})), BAD),
    "rule with an odd action": (change(Put("room", "x", {"actions": ["nonsense"]})), BAD),
    "rule before none": (change(Put("room", "x", {"actions": []}, before="gone")), BAD),
    "rule after a predefined one": (
        change(Put("override", "x", {"conditions": [], "actions": []}, after=".m.rule.master")),
        BAD,
    ),
    "switching a predefined rule": (change(SetEnabled("override", ".m.rule.master", False)), None),
    "switching no rule": (change(SetEnabled("override", "gone", True)), NO_EVENT),
    "changing no rule": (change(SetActions("override", "gone", ())), NO_EVENT),
    "changing a rule to odd actions": (change(SetActions("underride", ".m.rule.message", ("nonsense",))), BAD),
    "deleting no rule": (change(Delete("override", "gone")), None),
    "push rules": (lambda place: place.homeserver.push_rules(), None),
    "features": (lambda place: place.homeserver.features(), None),
}


ASKED = {
    "sync": "GET sync",
    "messages": "GET rooms/*/messages",
    "event": "GET rooms/*/event/*",
    "context": "GET rooms/*/context/*",
    "notifications": "GET notifications",
    "pusher": "POST pushers/set",
    "reading": "POST rooms/*/read_markers",
    "joining": "POST rooms/*/join",
    "rule": "PUT pushrules/global/*/*",
    "switching": "PUT pushrules/global/*/*/enabled",
    "changing": "PUT pushrules/global/*/*/actions",
}
"""What is asked for, by the first word of a name."""
PASSED_OVER = {
    **{f"leaving {room!r}": "403 POST rooms/*/leave" for room in ("withdrawn", "foreign")},
    **{f"leaving {room!r}": "404 POST rooms/*/leave" for room in ("nowhere", "hash", *ODD_ROOMS)},
    "deleting no rule": "404 DELETE pushrules/global/*/*",
}
"""Refusals by which what was wanted is so already."""


def refusals_of(name: str) -> list[str]:
    outcome = REQUESTS[name][1]
    if outcome is None:
        return [PASSED_OVER[name]] if name in PASSED_OVER else []
    return [f"{outcome[0]} {ASKED[name.partition(' ')[0]]}"]


@pytest.mark.parametrize("name", REQUESTS)
async def test_each_request_is_answered_or_refused_as_by_the_real_one(
    place: Place, name: str, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(*refusals_of(name))
    request, outcome = REQUESTS[name]
    assert await outcome_of(request(place)) == outcome


async def test_what_cannot_be_told_of_a_room_is_told_as_nothing(place: Place, expect_refusals: ExpectRefusals) -> None:
    # Ourselves for the facts of each, then Alice.
    expect_refusals("403 GET rooms/*/state/m.room.member/*", times=2 * len(OUTSIDE))
    # Nobody of this homeserver is in the room of that hash, and the others have no other homeserver to ask.
    expect_refusals("404 GET /_matrix/client/v1/room_summary/*")
    expect_refusals("400 GET /_matrix/client/v1/room_summary/*", times=len(ODD_ROOMS) + 2)
    expect_refusals("404 GET rooms/*/state/m.room.member/*", times=5)
    rooms = [place.rooms[room] for room in place.rooms]
    assert (await place.homeserver.room_facts(rooms)).keys() == {place.own}
    assert await place.homeserver.open_invites(rooms) == {place.rooms["invited"]}
    for room in OUTSIDE:
        assert await place.homeserver.member(place.rooms[room], place.alice) == Member()
    for user_id in ("@nobody:localhost", "@x:in_valid", "@x:y:z", "@é /?:localhost", "@:localhost"):
        assert await place.homeserver.member(place.own, UserId(user_id)) == Member()


CALLS: dict[str, Request] = {
    "features": lambda place: place.homeserver.features(),
    "sync": sync(),
    "push_rules": lambda place: place.homeserver.push_rules(),
    "room_facts": lambda place: place.homeserver.room_facts([place.own]),
    "open_invites": lambda place: place.homeserver.open_invites([place.own]),
    "member": lambda place: place.homeserver.member(place.own, place.alice),
    "notifications": lambda place: place.homeserver.notifications(since=None, limit=1),
    "messages": messages("own"),
    "event": event("own"),
    "context": context("own"),
    "pushers": lambda place: place.homeserver.pushers(),
    "set_pusher": set_pusher(),
    "remove_pusher": lambda place: place.homeserver.remove_pusher("none", "none"),
}


SIGNED_OUT = (
    "401 GET /_matrix/client/versions",
    "401 GET sync",
    "401 GET pushrules/",
    *["401 POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync"] * 2,
    "401 GET rooms/*/state/m.room.member/*",
    "401 GET notifications",
    "401 GET rooms/*/messages",
    "401 GET rooms/*/event/*",
    "401 GET rooms/*/context/*",
    "401 GET pushers",
    *["401 POST pushers/set"] * 2,
)


async def test_a_device_that_is_signed_out_is_told_so_by_every_call(
    world: World, place: Place, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(*SIGNED_OUT)
    await world.sign_out()
    await assert_each_is_signed_out(call(place) for call in CALLS.values())
