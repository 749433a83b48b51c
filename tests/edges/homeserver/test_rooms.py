"""Who would read a message, and sending it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from heliograph.errors import BadAnswer, Refused, UserError
from heliograph.homeserver.rooms import MAX_MEMBERS, RoomsClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Audience
from support.builders import ALICE, BOB, ME, ROOM

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]

ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}


async def rooms_of(serve: Serve, answers: dict[str, Any], asked: list[tuple[str, Any]] | None = None) -> RoomsClient:
    """`answers` by the last part of the path; others are 404."""

    async def answer(request: web.Request) -> web.Response:
        name = next((name for name in answers if request.path.rstrip("/").endswith(name)), None)
        if asked is not None:
            asked.append((request.raw_path, await request.json() if request.can_read_body else None))
        if name is None:
            return web.Response(status=404, text='{"errcode": "M_NOT_FOUND"}')
        text = answers[name] if isinstance(answers[name], str) else json.dumps(answers[name])
        return web.Response(text=text)

    return RoomsClient(await serve(answer))


async def test_the_audience_is_whoever_is_there_or_invited(serve: Serve) -> None:
    rooms = await rooms_of(
        serve,
        {
            "m.room.encryption": ENCRYPTION,
            "m.room.history_visibility": {"history_visibility": "joined"},
            "joined_members": {"joined": {ME: {}, ALICE: None, "nobody": {}}},
            "members": {"chunk": [{"state_key": BOB}, {"state_key": 7}, {}]},
        },
    )
    assert await rooms.audience(ROOM) == Audience(frozenset({ME, ALICE}), frozenset({BOB}), ENCRYPTION, "joined")


async def test_a_room_without_encryption_says_so_however_many_are_in_it(serve: Serve) -> None:
    rooms = await rooms_of(serve, {"joined_members": "x" * (MAX_MEMBERS + 1)})
    assert await rooms.audience(ROOM) == Audience(frozenset())


async def test_a_room_of_too_many_is_refused_in_words(serve: Serve) -> None:
    rooms = await rooms_of(serve, {"m.room.encryption": ENCRYPTION, "joined_members": "x" * (MAX_MEMBERS + 1)})
    with pytest.raises(UserError, match="too many members"):
        await rooms.audience(ROOM)


@pytest.mark.parametrize("answer", ["[]", '{"joined": []}', "{}"])
async def test_members_that_are_none_are_a_bad_answer(serve: Serve, answer: str) -> None:
    with pytest.raises(BadAnswer):
        await (
            await rooms_of(serve, {"m.room.encryption": ENCRYPTION, "joined_members": answer, "members": {"chunk": []}})
        ).audience(ROOM)


async def test_an_event_is_sent_once_for_each_transaction(serve: Serve) -> None:
    asked: list[tuple[str, Any]] = []
    rooms = await rooms_of(serve, {"t1": {"event_id": "$event"}}, asked)
    assert await rooms.send(ROOM, "m.room.message", {"body": "hello"}, "t1") == "$event"
    path = "/_matrix/client/v3/rooms/%21room%3Aexample.org/send/m.room.message/t1"
    assert asked == [(path, {"body": "hello"})]


async def test_an_answer_without_an_event_id_is_a_bad_one(serve: Serve) -> None:
    with pytest.raises(BadAnswer):
        await (await rooms_of(serve, {"t1": {"event_id": 7}})).send(ROOM, "m.room.message", {}, "t1")


async def test_a_refusal_to_tell_the_encryption_is_not_taken_for_none(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=403, text='{"errcode": "M_FORBIDDEN", "error": "no"}')

    with pytest.raises(Refused):
        await RoomsClient(await serve(answer)).audience(ROOM)
