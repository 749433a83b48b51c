"""Sending into rooms, and who would read it: a Synapse as the fake, with what either refuses and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contract.conftest import World
from contract.outcomes import ExpectRefusals
from heliograph.core.encryption.values import MEGOLM
from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId
from heliograph.errors import LoggedOut, Refused
from heliograph.ports.homeserver import Audience

ENCRYPTION = {"algorithm": MEGOLM}
ENCRYPTED = {"initial_state": [{"type": "m.room.encryption", "state_key": "", "content": ENCRYPTION}]}
TEXT = {"msgtype": "m.text", "body": "hello"}
TYPE = "m.room.message"


async def left(world: World, **options: Any) -> RoomId:
    room_id = await world.room("Left", **options)
    await world.me.leave(room_id)
    return room_id


ROOMS: dict[str, Callable[[World], Awaitable[RoomId]]] = {
    "own": lambda world: world.room(),
    "encrypted": lambda world: world.room("Safe", **ENCRYPTED),
    "quiet": lambda world: world.room("Quiet", power_level_content_override={"events_default": 50}),
    "foreign": lambda world: world.alice.create_room("Foreign", **ENCRYPTED),
    "invited": lambda world: world.alice.create_room("Invited", [world.me], **ENCRYPTED),
    "left": left,
    "left and encrypted": lambda world: left(world, **ENCRYPTED),
}
ODD_ROOMS = ["!nowhere:localhost", "!" + "A" * 43, "!nothing", "!x:in_valid", "!x:y:z", "!", "!a\nb:localhost"]
Outcome = tuple[int, str] | None
"""Status and error code of the refusal; None: it is answered."""

FORBIDDEN, BAD, BAD_JSON, TOO_LARGE = (
    (403, "M_FORBIDDEN"),
    (400, "M_UNKNOWN"),
    (400, "M_BAD_JSON"),
    (413, "M_TOO_LARGE"),
)
AUDIENCES: dict[str, Outcome] = {
    **dict.fromkeys(["own", "encrypted", "quiet", "left"]),
    **dict.fromkeys(["foreign", "invited", "left and encrypted", *ODD_ROOMS], FORBIDDEN),
}
SENDINGS: dict[str, Outcome] = {
    **dict.fromkeys(["own", "encrypted"]),
    **dict.fromkeys(["quiet", "foreign", "invited", "left", "left and encrypted", *ODD_ROOMS], FORBIDDEN),
}


def related(rel_type: Any, event_id: Any = "$unknown") -> Json:
    return {**TEXT, "m.relates_to": {"rel_type": rel_type, "event_id": event_id}}


EVENTS: dict[str, tuple[str, Json, Outcome]] = {
    "text": (TYPE, TEXT, None),
    "encrypted event": ("m.room.encrypted", {"algorithm": MEGOLM, "ciphertext": "x"}, None),
    "reply to an unknown event": (TYPE, {**TEXT, "m.relates_to": {"m.in_reply_to": {"event_id": "$unknown"}}}, None),
    "thread of an unknown event": (TYPE, related("m.thread"), BAD),
    "reaction to an unknown event": ("m.reaction", related("m.annotation"), BAD),
    "relation of an odd kind": (TYPE, related(1), None),
    "text with odd mentions": (TYPE, {**TEXT, "m.mentions": {"user_ids": "everybody"}}, None),
    "empty message": (TYPE, {}, BAD),
    "message without a body": (TYPE, {"msgtype": "m.text"}, BAD),
    "message whose body is none": (TYPE, {**TEXT, "body": 1}, BAD),
    "too large a message": (TYPE, {**TEXT, "body": "x" * 70_000}, TOO_LARGE),
    "fraction": ("org.example.test", {"number": 1.5}, BAD_JSON),
    "huge number": ("org.example.test", {"numbers": [2**60]}, BAD_JSON),
    "empty event": ("org.example.test", {}, None),
    "odd type": ("a/b é\n", {}, None),
    "longest type": ("m" * 255, {}, None),
    "too long a type": ("m" * 256, {}, TOO_LARGE),
    "state": ("m.room.name", {"name": "Dinner"}, BAD),
}


def refusals_of(sending: Outcome) -> list[str]:
    return [] if sending is None else [f"{sending[0]} PUT rooms/*/send/*/*"]


async def send(world: World, room: str, type_: str = TYPE, content: Json = TEXT) -> Outcome:
    return await outcome(world.rooms.send(await find_room(world, room), type_, content, "t1"))


async def find_room(world: World, room: str) -> RoomId:
    return await ROOMS[room](world) if room in ROOMS else RoomId(room)


@pytest.mark.parametrize("room", AUDIENCES)
async def test_who_reads_a_room_is_told_or_refused_as_by_the_real_one(
    world: World, room: str, expect_refusals: ExpectRefusals
) -> None:
    if AUDIENCES[room] is not None:
        # Who has left may still see whether it was encrypted.
        is_known = room == "left and encrypted"
        expect_refusals(f"403 GET rooms/*/{'joined_members' if is_known else 'state/m.room.encryption/'}")
    assert await outcome(world.rooms.audience(await find_room(world, room))) == AUDIENCES[room]


@pytest.mark.parametrize("room", SENDINGS)
async def test_sending_into_a_room_is_done_or_refused_as_by_the_real_one(
    world: World, room: str, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(*refusals_of(SENDINGS[room]))
    assert await send(world, room) == SENDINGS[room]


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_is_taken_or_refused_as_by_the_real_one(
    world: World, name: str, expect_refusals: ExpectRefusals
) -> None:
    type_, content, expected = EVENTS[name]
    expect_refusals(*refusals_of(expected))
    assert await send(world, "own", type_, content) == expected


async def test_an_encrypted_room_tells_who_is_in_it_and_who_is_invited(world: World) -> None:
    room_id = await world.room("Safe", **ENCRYPTED)
    await world.alice.invite(room_id, world.bob)
    assert await world.rooms.audience(room_id) == Audience(
        frozenset({world.homeserver.user_id, world.alice.user_id}), frozenset({world.bob.user_id}), ENCRYPTION
    )


@pytest.mark.parametrize("transaction_id", ["t", "a/b é\n", "t" * 1000])
async def test_the_same_transaction_is_sent_once(world: World, transaction_id: str) -> None:
    room_id = await world.room()
    await world.start()
    first, second = [await world.rooms.send(room_id, TYPE, TEXT, transaction_id) for _ in range(2)]
    assert first == second
    assert first != await world.rooms.send(room_id, TYPE, TEXT, "another")
    seen = [each.event_id for each in (await world.sync_room(room_id)).timeline if getattr(each, "type", "") == TYPE]
    assert seen.count(EventId(first)) == 1
    assert len(seen) == 2


async def test_a_device_that_is_signed_out_sends_nothing(world: World, expect_refusals: ExpectRefusals) -> None:
    expect_refusals("401 GET rooms/*/state/m.room.encryption/", "401 PUT rooms/*/send/*/*")
    room_id = await world.room("Safe", **ENCRYPTED)
    await world.sign_out()
    with pytest.raises(LoggedOut):
        await world.rooms.audience(room_id)
    with pytest.raises(LoggedOut):
        await world.rooms.send(room_id, TYPE, TEXT, "t1")


async def outcome(request: Awaitable[Any]) -> Outcome:
    try:
        await request
    except Refused as refusal:
        return refusal.status, refusal.errcode
    return None
