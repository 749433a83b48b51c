"""Which invites are open, by what a homeserver tells of rooms."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from heliograph.core.ids import RoomId
from heliograph.errors import BadAnswer, LoggedOut, RateLimited
from heliograph.homeserver.invites import fetch_open_invites
from heliograph.homeserver.session import Session
from support.builders import ALICE, ME

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]
Answer = tuple[int, Any]

SLIDING_SYNC = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
SUMMARIES = "/_matrix/client/v1/room_summary/"
FIRST, SECOND = RoomId("!nothing"), RoomId("!room:example.org")
UNRECOGNIZED: Answer = (404, {"errcode": "M_UNRECOGNIZED"})
MISSING_VIA: Answer = (400, {"errcode": "M_UNKNOWN", "error": "Missing via to query remote room"})


class Homeserver:
    """Answers by path; what has no answer is unrecognised."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.bodies: list[Any] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.can_read_body:
            self.bodies.append(await request.json())
        status, body = self.answers.get(request.path, UNRECOGNIZED)
        return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))


def own_member(membership: object, user_id: str = ME) -> dict[str, Any]:
    content = {"membership": membership}
    return {"type": "m.room.member", "state_key": user_id, "sender": ALICE, "content": content}


def sliding(**rooms: Any) -> Answer:
    """Rooms told of, "first" and "second"."""
    ids = {"first": FIRST, "second": SECOND}
    return 200, {"pos": "1", "rooms": {ids[name]: room for name, room in rooms.items()}}


def invited() -> dict[str, Any]:
    return {"invite_state": [{"nonsense": 1}, own_member("join", ALICE), own_member("invite")]}


async def test_one_request_tells_of_all_invites(serve: Serve) -> None:
    server = Homeserver({SLIDING_SYNC: sliding(first=invited(), second={"joined_count": 2})})
    assert await fetch_open_invites(await serve(server.answer), [FIRST, SECOND, FIRST]) == {FIRST}
    assert server.asked == [SLIDING_SYNC]
    assert set(server.bodies[0]["room_subscriptions"]) == {FIRST, SECOND}


async def test_no_rooms_are_not_asked_for(serve: Serve) -> None:
    server = Homeserver({})
    assert await fetch_open_invites(await serve(server.answer), []) == frozenset()
    assert server.asked == []


@pytest.mark.parametrize(
    "room",
    [
        {"invite_state": [own_member("knock")]},
        {"invite_state": [own_member(5)]},
        {"invite_state": [own_member("invite", ALICE)]},
        {"invite_state": []},
        {"invite_state": None},
        {"invite_state": "nonsense"},
        {},
        [],
        None,
    ],
)
async def test_a_room_without_our_invite_in_it_is_none_and_is_not_asked_for_again(serve: Serve, room: Any) -> None:
    server = Homeserver({SLIDING_SYNC: sliding(first=room), SUMMARIES + FIRST: (200, {"membership": "invite"})})
    assert await fetch_open_invites(await serve(server.answer), [FIRST]) == frozenset()
    assert server.asked == [SLIDING_SYNC]


@pytest.mark.parametrize("no", [sliding(), UNRECOGNIZED, (405, ""), (403, {"errcode": "M_FORBIDDEN"}), (200, "<html>")])
async def test_a_room_that_sliding_sync_does_not_tell_of_is_asked_for_singly(serve: Serve, no: Answer) -> None:
    server = Homeserver({SLIDING_SYNC: no, SUMMARIES + SECOND: (200, {"membership": "invite"})})
    server.answers[SUMMARIES + FIRST] = MISSING_VIA
    assert await fetch_open_invites(await serve(server.answer), [FIRST, SECOND]) == {SECOND}
    assert sorted(server.asked) == sorted([SLIDING_SYNC, SUMMARIES + FIRST, SUMMARIES + SECOND])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((502, "<html>"), BadAnswer),
        ((429, {"errcode": "M_LIMIT_EXCEEDED"}), RateLimited),
        ((401, {"errcode": "M_UNKNOWN_TOKEN"}), LoggedOut),
    ],
)
async def test_a_server_in_trouble_is_asked_again_later(serve: Serve, answer: Answer, error: type[Exception]) -> None:
    server = Homeserver({SLIDING_SYNC: answer})
    session = await serve(server.answer)
    with pytest.raises(error):
        await fetch_open_invites(session, [FIRST])
    assert server.asked == [SLIDING_SYNC]
