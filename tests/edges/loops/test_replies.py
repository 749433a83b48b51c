"""Replies: to the newest message, encrypted where the room is, refused in words."""

from __future__ import annotations

import pytest

from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from fakes.rooms import FakeRooms
from heliograph.core.encryption.values import MEGOLM
from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.record import Plan, RoomRecord
from heliograph.errors import Refused, UserError
from heliograph.loops.replies import ReplySender
from heliograph.ports.homeserver import Audience
from support.builders import ALICE, ME, ROOM, make_delivery, make_facts


class Cipher:
    """What encrypts, without keys."""

    async def encrypt(self, room_id: RoomId, audience: Audience, type_: str, content: Json) -> Json:
        return {"encrypted": content}


def make_rooms(*, is_encrypted: bool = True) -> FakeRooms:
    """Of a homeserver with ROOM, where Alice is."""
    server = FakeHomeserver()
    for user_id in (ALICE, ME):
        server.membership_event(ROOM, user_id, user_id, "join")
    if is_encrypted:
        server.add(ROOM, ALICE, "m.room.encryption", {"algorithm": MEGOLM}, "")
    return FakeRooms(server)


async def make_ledger(*event_ids: str, is_encrypted: bool = True) -> FakeLedger:
    ledger = FakeLedger()
    deliveries = tuple(make_delivery(event_id) for event_id in event_ids)
    facts = make_facts(is_encrypted=is_encrypted)
    await ledger.commit(Plan("s1", deliveries=deliveries, rooms=(RoomRecord(facts),)), 0)
    return ledger


async def test_a_reply_answers_the_newest_message_and_is_encrypted() -> None:
    rooms = make_rooms()
    replies = ReplySender(rooms, await make_ledger("$first", "$second", "invite:x"), Cipher())
    sent = await replies.reply(ROOM, "yes")
    assert sent == rooms.homeserver.rooms[ROOM].events[-1][1].event_id
    ((room_id, type_, content),) = rooms.sent
    assert (room_id, type_) == (ROOM, "m.room.encrypted")
    assert content["encrypted"]["m.relates_to"] == {"m.in_reply_to": {"event_id": "$second"}}
    assert content["encrypted"]["m.mentions"] == {"user_ids": [ALICE]}


async def test_where_nothing_is_unread_it_is_a_message_of_its_own() -> None:
    rooms = make_rooms(is_encrypted=False)
    await ReplySender(rooms, await make_ledger(is_encrypted=False), Cipher()).reply(ROOM, "hello")
    assert rooms.sent == [(ROOM, "m.room.message", {"msgtype": "m.text", "body": "hello", "m.mentions": {}})]


@pytest.mark.parametrize("is_encrypted", [True, False])
async def test_a_call_is_declined_by_an_event_that_is_encrypted_where_the_room_is(is_encrypted: bool) -> None:
    rooms = make_rooms(is_encrypted=is_encrypted)
    call = rooms.homeserver.add(ROOM, ALICE, "org.matrix.msc4075.rtc.notification", {})
    await ReplySender(rooms, await make_ledger(is_encrypted=is_encrypted), Cipher()).decline(ROOM, call)
    decline = {"m.relates_to": {"rel_type": "m.reference", "event_id": call}}
    sent = ("m.room.encrypted", {"encrypted": decline}) if is_encrypted else ("org.matrix.msc4310.rtc.decline", decline)
    assert rooms.sent == [(ROOM, *sent)]


async def test_a_room_that_was_encrypted_is_never_written_to_in_clear() -> None:
    rooms = make_rooms(is_encrypted=False)
    with pytest.raises(UserError, match="not encrypted any more"):
        await ReplySender(rooms, await make_ledger(), Cipher()).reply(ROOM, "hello")
    assert rooms.sent == []


@pytest.mark.parametrize("text", ["", " \n ", "x" * 20_001])
async def test_what_is_no_text_to_send_is_refused(text: str) -> None:
    rooms = make_rooms()
    with pytest.raises(UserError):
        await ReplySender(rooms, await make_ledger(), Cipher()).reply(ROOM, text)
    assert rooms.sent == []


async def test_why_it_was_not_sent_is_said() -> None:
    rooms = make_rooms()
    rooms.failures.append(Refused(403, "M_FORBIDDEN", "you are not in the room"))
    with pytest.raises(UserError, match="not sent: you are not in the room"):
        await ReplySender(rooms, await make_ledger(), Cipher()).reply(ROOM, "hello")
