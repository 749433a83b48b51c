"""Reading, joining and leaving rooms: what is asked of the homeserver, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from heliograph.core.ids import EventId
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.room_actions import RoomActionsClient
from heliograph.homeserver.session import Session
from support.builders import ALICE, ROOM

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]
Asked = list[tuple[str, str, Any]]

ROOM_PATH = "/_matrix/client/v3/rooms/%21room%3Aexample.org"
DIRECT_PATH = "/_matrix/client/v3/user/%40me%3Aexample.org/account_data/m.direct"
NOT_FOUND = (404, '{"errcode": "M_NOT_FOUND", "error": "no"}')


async def client(serve: Serve, asked: Asked, status: int = 200, text: str = "{}") -> RoomActionsClient:
    async def answer(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        asked.append((request.method, request.raw_path, body))
        return web.Response(status=status if request.method != "PUT" else 200, text=text)

    return RoomActionsClient(await serve(answer))


@pytest.mark.parametrize(("is_public", "kind"), [(False, "m.read.private"), (True, "m.read")])
async def test_what_is_marked_as_read_is_below_the_line_too(serve: Serve, is_public: bool, kind: str) -> None:
    asked: Asked = []
    await (await client(serve, asked)).mark_read(ROOM, EventId("$a"), is_public=is_public)
    assert asked == [("POST", f"{ROOM_PATH}/read_markers", {"m.fully_read": "$a", kind: "$a"})]


async def test_rooms_are_joined_and_left(serve: Serve) -> None:
    asked: Asked = []
    rooms = await client(serve, asked)
    await rooms.join(ROOM)
    await rooms.leave(ROOM)
    assert asked == [("POST", f"{ROOM_PATH}/join", {}), ("POST", f"{ROOM_PATH}/leave", {})]


@pytest.mark.parametrize(
    "answer", [NOT_FOUND, (404, '{"errcode": "M_UNKNOWN"}'), (403, '{"errcode": "M_FORBIDDEN", "error": "not in it"}')]
)
async def test_a_room_that_is_gone_is_left(serve: Serve, answer: tuple[int, str]) -> None:
    await (await client(serve, [], *answer)).leave(ROOM)


@pytest.mark.parametrize("answer", [(400, '{"errcode": "M_UNKNOWN"}'), (404, '{"errcode": "M_UNRECOGNIZED"}')])
async def test_a_room_that_may_not_be_left_is_refused(serve: Serve, answer: tuple[int, str]) -> None:
    with pytest.raises(Refused):
        await (await client(serve, [], *answer)).leave(ROOM)


async def test_a_conversation_that_may_not_be_noted_is_refused(serve: Serve) -> None:
    with pytest.raises(Refused):
        await (await client(serve, [], 403, '{"errcode": "M_FORBIDDEN", "error": "no"}')).add_direct(ROOM, ALICE)


@pytest.mark.parametrize(
    ("status", "before", "after"),
    [
        (404, {"errcode": "M_NOT_FOUND"}, {ALICE: [ROOM]}),
        (200, {}, {ALICE: [ROOM]}),
        (200, {ALICE: ["!a:b"], "@bob:example.org": ["!c:d"]}, {ALICE: ["!a:b", ROOM], "@bob:example.org": ["!c:d"]}),
        (200, {ALICE: "nonsense"}, {ALICE: [ROOM]}),
    ],
)
async def test_a_conversation_is_added_to_those_that_are_known(
    serve: Serve, status: int, before: dict[str, Any], after: dict[str, Any]
) -> None:
    asked: Asked = []
    await (await client(serve, asked, status, json.dumps(before))).add_direct(ROOM, ALICE)
    assert asked == [("GET", DIRECT_PATH, None), ("PUT", DIRECT_PATH, after)]


async def test_a_conversation_that_is_known_is_not_added(serve: Serve) -> None:
    asked: Asked = []
    await (await client(serve, asked, 200, json.dumps({ALICE: [ROOM]}))).add_direct(ROOM, ALICE)
    assert [method for method, _, _ in asked] == ["GET"]


async def test_conversations_that_cannot_be_read_are_not_overwritten(serve: Serve) -> None:
    asked: Asked = []
    with pytest.raises(BadAnswer):
        await (await client(serve, asked, 200, "[]")).add_direct(ROOM, ALICE)
    assert [method for method, _, _ in asked] == ["GET"]
