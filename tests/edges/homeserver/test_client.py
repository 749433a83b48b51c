"""Answers of other endpoints than /sync that are not what the specification says, and what is made of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from heliograph.core.events import Malformed
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.room import RoomFacts
from heliograph.errors import AnswerTooLarge, BadAnswer, LoggedOut, RateLimited, Refused, ServerError, Unreachable
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.room_state import MAX_MEMBER_LIST
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Features, Member, SyncRequest
from support.builders import ALICE, BOB, ME, ROOM

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]
Call = Callable[[HomeserverClient], Awaitable[object]]
Answer = tuple[int, Any]

CALLS: dict[str, Call] = {
    "features": lambda client: client.features(),
    "sync": lambda client: client.sync(SyncRequest("s1", 0)),
    "push_rules": lambda client: client.push_rules(),
    "room_facts": lambda client: client.room_facts([ROOM]),
    "member": lambda client: client.member(ROOM, ALICE),
    "joined_members": lambda client: client.joined_members(ROOM),
    "notifications": lambda client: client.notifications(since=None, limit=10),
    "messages": lambda client: client.messages(ROOM, since="p1", until=None, limit=10),
    "event": lambda client: client.event(ROOM, EventId("$event")),
    "context": lambda client: client.context(ROOM, EventId("$event"), limit=10),
    "pushers": lambda client: client.pushers(),
    "set_pusher": lambda client: client.set_pusher(a_pusher()),
    "remove_pusher": lambda client: client.remove_pusher("app", "key"),
}
UNRECOGNIZED: Answer = (404, {"errcode": "M_UNRECOGNIZED"})
NOT_FOUND: Answer = (404, {"errcode": "M_NOT_FOUND"})
FORBIDDEN: Answer = (403, {"errcode": "M_FORBIDDEN"})
STATE = f"/_matrix/client/v3/rooms/{ROOM}/state"
MEMBERS = f"/_matrix/client/v3/rooms/{ROOM}/joined_members"
SLIDING_SYNC = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
SUMMARY = f"/_matrix/client/v1/room_summary/{ROOM}"


def a_pusher(**changes: Any) -> Pusher:
    pusher = {
        "app_id": "app",
        "pushkey": "key",
        "kind": "direct",
        "app_display_name": "App",
        "device_display_name": "Device",
        "lang": "en",
        "data": {},
    }
    return Pusher(**(pusher | changes))


class Scripted:
    """Answers by path; what has no answer is unrecognised. Counts what was asked."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self.bodies: list[Any] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        if request.can_read_body:
            self.bodies.append(await request.json())
        status, answer = self.answers.get(request.path, UNRECOGNIZED)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text)


async def client_of(serve: Serve, answers: dict[str, Answer]) -> tuple[HomeserverClient, Scripted]:
    scripted = Scripted(answers)
    return HomeserverClient(await serve(scripted.answer)), scripted


def everywhere(status: int, text: str, **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return handler


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (502, "<html>Bad Gateway</html>", Unreachable),
        (200, "<html>log in</html>", Unreachable),
        (200, "", Unreachable),
        (200, "{", Unreachable),
        (200, "[[[", Unreachable),
        (500, '{"errcode": "M_UNKNOWN"}', Unreachable),
        (429, '{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 100}', RateLimited),
        (401, '{"errcode": "M_UNKNOWN_TOKEN"}', LoggedOut),
        (302, "", Unreachable),
    ],
)
async def test_every_call_names_what_went_wrong(
    serve: Serve, call: Call, status: int, text: str, error: type[ServerError]
) -> None:
    client = HomeserverClient(await serve(everywhere(status, text)))
    with pytest.raises(error):
        await call(client)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"room_facts"}))
async def test_every_call_but_that_for_facts_tells_of_a_refusal(serve: Serve, name: str) -> None:
    client = HomeserverClient(await serve(everywhere(400, '{"errcode": "M_INVALID_PARAM"}')))
    with pytest.raises(Refused) as caught:
        await CALLS[name](client)
    assert (caught.value.status, caught.value.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"set_pusher", "remove_pusher", "room_facts", "member"}))
@pytest.mark.parametrize("answer", ["[]", "null", "5", '"text"', "[" * 5000 + "]" * 5000])
async def test_an_answer_of_another_shape_is_unreachable(serve: Serve, name: str, answer: str) -> None:
    client = HomeserverClient(await serve(everywhere(200, answer)))
    with pytest.raises(Unreachable):
        await CALLS[name](client)


async def test_a_poll_without_an_answer_ends_when_connections_are_dropped(serve: Serve) -> None:
    arrived = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(60)
        return web.Response()

    client = HomeserverClient(await serve(silent))
    poll = asyncio.create_task(client.sync(SyncRequest("s1", 30_000)))
    await arrived.wait()
    await client.drop_connections()
    with pytest.raises(Unreachable):
        await poll


async def test_a_large_sync_is_decoded_whole(serve: Serve) -> None:
    event = {"type": "m.x", "event_id": "$1", "sender": ALICE, "origin_server_ts": 1, "content": {"body": "x" * 1000}}
    body = {"next_batch": "s2", "rooms": {"join": {ROOM: {"timeline": {"events": [event] * 2000}}}}}
    client, _ = await client_of(serve, {"/_matrix/client/v3/sync": (200, body)})
    sync = await client.sync(SyncRequest("s1", 0))
    assert len(sync.joined[0].timeline) == 2000
    assert sync.size > 2_000_000


@pytest.mark.expected_log("Error handling request from 127.0.0.1", times=(0, 1))
async def test_a_sync_over_its_limit_is_too_large(serve: Serve) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 1_000_000)

    client = HomeserverClient(await serve(endless))
    with pytest.raises(AnswerTooLarge):
        await client.sync(SyncRequest("s1", 0))


@pytest.mark.parametrize(
    ("flags", "features"),
    [
        ({"org.matrix.msc3361": True}, {"has_direct_push": True}),
        ({"org.matrix.msc3361.stable": True}, {"has_direct_push": True}),
        ({"org.matrix.msc3881": True}, {"has_remote_toggle": True}),
        ({"org.matrix.msc4306": True}, {"has_thread_subscriptions": True}),
        ({"org.matrix.msc3361": "true", "org.matrix.msc3881": 1}, {}),
        (None, {}),
        (["org.matrix.msc3361"], {}),
    ],
)
async def test_only_a_flag_that_is_true_is_a_feature(serve: Serve, flags: object, features: dict[str, Any]) -> None:
    answer = {"versions": ["v1.1", 5, "v1.2\x1b[31m"], "unstable_features": flags}
    client, _ = await client_of(serve, {"/_matrix/client/versions": (200, answer)})
    assert await client.features() == Features(versions=("v1.1", "v1.2[31m"), **features)


@pytest.mark.parametrize(
    ("answer", "software"),
    [
        ((200, {"server": {"name": "Synapse", "version": "1.2"}}), "Synapse"),
        ((200, {"server": {"name": 5}}), None),
        ((200, {"server": []}), None),
        ((200, "<html>"), None),
        ((401, {"errcode": "M_UNKNOWN_TOKEN"}), None),
        ((502, ""), None),
    ],
)
async def test_the_name_of_the_software_is_told_or_not(serve: Serve, answer: Answer, software: str | None) -> None:
    paths = {"/_matrix/client/versions": (200, {"versions": []}), "/_matrix/federation/v1/version": answer}
    client, _ = await client_of(serve, paths)
    assert (await client.features()).software == software


@pytest.mark.parametrize("answer", [UNRECOGNIZED, (404, "404 page not found"), (405, "")])
async def test_a_server_without_notifications_refuses_them(serve: Serve, answer: Answer) -> None:
    client, _ = await client_of(serve, {"/_matrix/client/v3/notifications": answer})
    with pytest.raises(Refused):
        await client.notifications(since=None, limit=10)


async def test_a_sync_that_a_proxy_does_not_find_is_no_definite_no(serve: Serve) -> None:
    client, _ = await client_of(serve, {"/_matrix/client/v3/sync": (404, "404 page not found")})
    with pytest.raises(BadAnswer):
        await client.sync(SyncRequest("s1", 0))


async def test_pages_keep_their_good_entries(serve: Serve) -> None:
    event = {"type": "m.x", "event_id": "$1", "sender": ALICE, "origin_server_ts": 1, "content": {}}
    entry = {"room_id": ROOM, "event": event, "actions": ["notify"], "ts": 2, "read": False}
    client, _ = await client_of(
        serve,
        {
            "/_matrix/client/v3/notifications": (200, {"notifications": [5, entry], "next_token": 5}),
            f"/_matrix/client/v3/rooms/{ROOM}/messages": (200, {"chunk": [event, None], "end": ""}),
            f"/_matrix/client/v3/rooms/{ROOM}/context/$1": (200, {"event": event, "events_before": [5], "start": 5}),
        },
    )
    page = await client.notifications(since="t1", limit=10)
    assert [isinstance(item, Malformed) for item in page.notifications] == [True, False]
    assert page.next_token is None
    messages = await client.messages(ROOM, since="p1", until="s1", limit=10)
    assert [isinstance(item, Malformed) for item in messages.events] == [False, True]
    assert messages.end is None
    around = await client.context(ROOM, EventId("$1"), limit=10)
    assert [isinstance(item, Malformed) for item in around.events] == [True, False]
    assert around.start is None


async def test_pushers_that_are_none_are_left_out(serve: Serve) -> None:
    least = {"app_id": "a", "pushkey": "k", "kind": "http"}
    listed = [5, {}, least | {"kind": None}, least, least | {"data": 5, "lang": 5, "enabled": "no", "device_id": 7}]
    client, _ = await client_of(serve, {"/_matrix/client/v3/pushers": (200, {"pushers": listed})})
    assert await client.pushers() == (Pusher("a", "k", "http", "", "", "", {}),) * 2


@pytest.mark.parametrize(
    ("keys", "is_enabled", "device_id"),
    [
        ({}, True, None),
        ({"enabled": False, "device_id": "D"}, False, "D"),
        ({"org.matrix.msc3881.enabled": False, "org.matrix.msc3881.device_id": "D"}, False, "D"),
        ({"enabled": True, "org.matrix.msc3881.enabled": False}, True, None),
    ],
)
async def test_both_names_of_a_switch_are_read(
    serve: Serve, keys: dict[str, object], is_enabled: bool, device_id: str | None
) -> None:
    entry = {"app_id": "a", "pushkey": "k", "kind": "http"} | keys
    client, _ = await client_of(serve, {"/_matrix/client/v3/pushers": (200, {"pushers": [entry]})})
    [pusher] = await client.pushers()
    assert (pusher.is_enabled, pusher.device_id) == (is_enabled, device_id)


async def test_a_pusher_is_set_without_words_that_only_a_switch_needs(serve: Serve) -> None:
    client, scripted = await client_of(serve, {"/_matrix/client/v3/pushers/set": (200, {})})
    await client.set_pusher(a_pusher())
    await client.set_pusher(a_pusher(is_enabled=False, profile_tag="tag"))
    await client.remove_pusher("app", "key")
    plain = {
        "app_id": "app",
        "pushkey": "key",
        "kind": "direct",
        "app_display_name": "App",
        "device_display_name": "Device",
        "lang": "en",
        "data": {},
        "append": False,
    }
    disabled = plain | {"profile_tag": "tag", "enabled": False, "org.matrix.msc3881.enabled": False}
    assert scripted.bodies == [plain, disabled, {"app_id": "app", "pushkey": "key", "kind": None}]


@pytest.mark.parametrize(
    ("answer", "member"),
    [
        ((200, {"displayname": "Alice", "membership": "join"}), Member("Alice")),
        ((200, {"displayname": "Alice", "avatar_url": "mxc://example.org/a"}), Member("Alice", "mxc://example.org/a")),
        ((200, {"avatar_url": "file:///etc/passwd"}), Member()),
        ((200, {"avatar_url": ["mxc://example.org/a"]}), Member()),
        ((200, {"displayname": None}), Member()),
        ((200, {"displayname": "  "}), Member()),
        ((200, {}), Member()),
        (NOT_FOUND, Member()),
        (FORBIDDEN, Member()),
    ],
)
async def test_a_member_has_a_name_and_a_picture_or_none(serve: Serve, answer: Answer, member: Member) -> None:
    client, _ = await client_of(serve, {f"{STATE}/m.room.member/{ALICE}": answer})
    assert await client.member(ROOM, ALICE) == member


def sliding(**room: Any) -> Answer:
    own = state_event("m.room.member", {"membership": "join", "displayname": "Me"}, ME)
    told = {"joined_count": 2, "required_state": [own], "heroes": [{"user_id": BOB}]}
    return 200, {"pos": "1", "rooms": {ROOM: told | room}}


def state_event(type_: str, content: object, state_key: str = "") -> dict[str, Any]:
    return {
        "type": type_,
        "state_key": state_key,
        "content": content,
        "event_id": "$state",
        "sender": ALICE,
        "origin_server_ts": 1,
    }


async def test_sliding_sync_tells_all_of_a_room_at_once(serve: Serve) -> None:
    own = state_event("m.room.member", {"membership": "join", "displayname": "Me"}, ME)
    state = [own, state_event("m.room.create", {"room_version": "12"}), "nonsense", state_event("m.room.name", 5)]
    heroes = [{"user_id": BOB, "displayname": "Bob"}, {"user_id": 5}, {"user_id": ME}, 5, {"user_id": "@c:x"}]
    client, scripted = await client_of(serve, {SLIDING_SYNC: sliding(required_state=state, heroes=heroes)})
    assert await client.room_facts([ROOM, ROOM]) == {
        ROOM: RoomFacts(
            ROOM,
            is_complete=True,
            room_version="12",
            creators=frozenset({ALICE}),
            power_levels={},
            joined_member_count=2,
            heroes=(BOB, UserId("@c:x")),
            own_display_name="Me",
            names={ME: "Me", BOB: "Bob", "@c:x": ""},
        )
    }
    assert scripted.asked == {SLIDING_SYNC: 1}


BY_STATE = {
    f"{STATE}/m.room.member/{ME}": (200, {"membership": "join", "displayname": "Me"}),
    f"{STATE}/m.room.name/": (200, {"name": "Lunch"}),
    f"{STATE}/m.room.canonical_alias/": (200, {"alias": "#lunch:example.org"}),
    f"{STATE}/m.room.avatar/": (200, {"url": "mxc://a/b"}),
    f"{STATE}/m.room.encryption/": (200, {"algorithm": "m.megolm.v1.aes-sha2"}),
    f"{STATE}/m.room.power_levels/": (200, {"users_default": 7}),
    f"{STATE}/m.room.create/": (200, state_event("m.room.create", {"room_version": "12"})),
    MEMBERS: (200, {"joined": {ME: {"display_name": "Me"}, BOB: {"display_name": "Bob"}, ALICE: {}}}),
}
FACTS = RoomFacts(
    ROOM,
    is_complete=True,
    name="Lunch",
    canonical_alias="#lunch:example.org",
    avatar_url="mxc://a/b",
    is_encrypted=True,
    room_version="12",
    creators=frozenset({ALICE}),
    power_levels={"users_default": 7},
    joined_member_count=3,
    heroes=(ALICE, BOB),
    own_display_name="Me",
    names={ME: "Me", BOB: "Bob", ALICE: ""},
)


@pytest.mark.parametrize(
    "answer",
    [
        UNRECOGNIZED,
        (404, "404 page not found"),
        (405, ""),
        (400, {"errcode": "M_UNKNOWN"}),
        (200, {"rooms": []}),
        (200, {"rooms": {}}),
        (200, {"rooms": {ROOM: 5}}),
        sliding(joined_count="2"),
        sliding(required_state=[]),
        sliding(required_state=None),
    ],
)
async def test_what_sliding_sync_does_not_tell_is_asked_for_singly(serve: Serve, answer: Answer) -> None:
    client, _ = await client_of(serve, BY_STATE | {SLIDING_SYNC: answer})
    assert await client.room_facts([ROOM]) == {ROOM: FACTS}


@pytest.mark.parametrize("heroes", [None, []])
async def test_a_nameless_room_whose_heroes_are_not_told_is_named_after_those_who_joined(
    serve: Serve, heroes: object
) -> None:
    answers = {path: answer for path, answer in BY_STATE.items() if "name" not in path and "alias" not in path}
    own = state_event("m.room.member", {"membership": "join"}, ME)
    client, _ = await client_of(
        serve, answers | {SLIDING_SYNC: sliding(joined_count=3, required_state=[own], heroes=heroes)}
    )
    assert (await client.room_facts([ROOM]))[ROOM].title(ME) == f"{ALICE} and Bob"


async def test_all_members_are_told_unless_there_are_too_many(serve: Serve) -> None:
    alice = {"display_name": " ", "avatar_url": "mxc://a/b"}
    joined = {ALICE: alice, BOB: {"display_name": "Bob"}, "odd": {}, ME: None}
    client, scripted = await client_of(serve, {MEMBERS: (200, {"joined": joined})})
    assert await client.joined_members(ROOM) == {
        ALICE: Member(None, "mxc://a/b"),
        BOB: Member("Bob"),
        ME: Member(),
    }
    scripted.answers[MEMBERS] = (200, {"joined": {}, "more": "x" * MAX_MEMBER_LIST})
    assert await client.joined_members(ROOM) is None


async def test_a_server_without_sliding_sync_is_not_asked_for_it_again(serve: Serve) -> None:
    client, scripted = await client_of(serve, BY_STATE)
    await client.room_facts([ROOM])
    await client.room_facts([ROOM])
    assert scripted.asked[SLIDING_SYNC] == 1


@pytest.mark.parametrize(
    "answer", [(400, {"errcode": "M_INVALID_PARAM"}), (403, {"errcode": "M_FORBIDDEN"}), (404, "404 page not found")]
)
async def test_a_server_that_refuses_sliding_sync_once_is_asked_again(serve: Serve, answer: Answer) -> None:
    client, scripted = await client_of(serve, BY_STATE | {SLIDING_SYNC: answer})
    assert await client.room_facts([ROOM]) == {ROOM: FACTS}
    scripted.answers[SLIDING_SYNC] = sliding()
    assert (await client.room_facts([ROOM]))[ROOM].joined_member_count == 2


@pytest.mark.parametrize("state", [f"m.room.member/{ME}", "m.room.name/"])
async def test_a_room_that_is_refused_costs_the_others_nothing(serve: Serve, state: str) -> None:
    other = "/_matrix/client/v3/rooms/!other:x/state"
    answers: dict[str, Answer] = {
        f"{other}/m.room.member/{ME}": (200, {"membership": "join"}),
        f"{other}/{state}": (400, {"errcode": "M_INVALID_PARAM"}),
    }
    client, _ = await client_of(serve, BY_STATE | answers)
    assert await client.room_facts([ROOM, RoomId("!other:x")]) == {ROOM: FACTS}


async def test_a_failing_server_is_not_one_without_sliding_sync(serve: Serve) -> None:
    client, scripted = await client_of(serve, BY_STATE | {SLIDING_SYNC: (502, "")})
    with pytest.raises(Unreachable):
        await client.room_facts([ROOM])
    scripted.answers[SLIDING_SYNC] = sliding()
    assert (await client.room_facts([ROOM]))[ROOM].joined_member_count == 2


async def test_a_bare_room_has_defaults(serve: Serve) -> None:
    answers = {
        f"{STATE}/m.room.member/{ME}": (200, {"membership": "join"}),
        f"{STATE}/m.room.create/": (200, {"creator": BOB}),
        MEMBERS: FORBIDDEN,
    }
    client, _ = await client_of(serve, answers)
    facts = RoomFacts(
        ROOM, is_complete=True, room_version="1", creators=frozenset({BOB}), power_levels={}, names={ME: ""}
    )
    assert await client.room_facts([ROOM]) == {ROOM: facts}


@pytest.mark.parametrize("own", [NOT_FOUND, FORBIDDEN, (200, {"membership": "leave"}), (200, {})])
async def test_a_room_that_one_is_not_in_has_no_facts(serve: Serve, own: Answer) -> None:
    client, _ = await client_of(serve, BY_STATE | {f"{STATE}/m.room.member/{ME}": own})
    assert await client.room_facts([ROOM]) == {}


@pytest.mark.parametrize(
    ("summary", "count"),
    [
        ((200, {"num_joined_members": 30_000}), 30_000),
        ((200, {"num_joined_members": "many"}), None),
        (UNRECOGNIZED, None),
        ((404, "nothing"), None),
    ],
)
async def test_a_crowd_is_counted_and_not_listed(serve: Serve, summary: Answer, count: int | None) -> None:
    crowd = {"joined": {f"@user{number}:example.org": {"display_name": "x" * 100} for number in range(3000)}}
    client, _ = await client_of(serve, BY_STATE | {MEMBERS: (200, crowd), SUMMARY: summary})
    facts = (await client.room_facts([ROOM]))[ROOM]
    assert (facts.joined_member_count, facts.heroes, facts.name) == (count, (), "Lunch")


async def test_one_room_that_fails_fails_them_all(serve: Serve) -> None:
    other = "/_matrix/client/v3/rooms/!other:x/state/m.room.member/" + ME
    client, _ = await client_of(serve, BY_STATE | {other: (502, "")})
    with pytest.raises(Unreachable):
        await client.room_facts([ROOM, RoomId("!other:x")])
