"""What the relay asks the homeserver behind it, good and bad, and how that answers: a Synapse as the one played.

What the relay passes on is its clients' own, so whatever they may send to these paths is sent here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp.test_utils import make_mocked_request

from contract.homeserver_asks import ASKS, V3, Outcome, Place, expected, outcomes_at, to
from contract.outcomes import ExpectRefusals
from edges.relay.running import RunningRelay
from fakes.scripted_homeserver import DEVICE, ROOM, TOKEN, USER, ScriptedHomeserver
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.relay.proxy.callers import Caller, Callers
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.sync.listing import Listing
from heliograph.relay.sync.nudge import TYPE as NUDGE_TYPE
from heliograph.relay.sync.synthesis import Synthesis
from support.waiting import until

FOREIGN = "!foreign:example.org"


@pytest.fixture
async def fake_place() -> AsyncIterator[Place]:
    async with ScriptedHomeserver() as server:
        server.send("$hello")
        yield Place(server.url, TOKEN, USER, DEVICE, ROOM, "$hello", "s1", FOREIGN, "$secret")


@pytest.fixture
async def real_place(synapse: ThrowawaySynapse, new_user: Callable[[str], Awaitable[DemoUser]]) -> Place:
    me, alice = await new_user("me"), await new_user("alice")
    room, foreign = await alice.create_room("Lunch", [me]), await alice.create_room("Foreign")
    await me.join(room)
    since = (await me.call("GET", "/sync"))["next_batch"]
    event, secret = await alice.send_text(room, "hello"), await alice.send_text(foreign, "secret")
    return Place(synapse.base_url, me.access_token, me.user_id, me.device_id, room, event, since, foreign, secret)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest) -> Place:
    place = request.getfixturevalue(f"{request.param}_place")
    assert isinstance(place, Place)
    return place


async def test_each_request_is_answered_or_refused_as_by_the_real_one(place: Place) -> None:
    assert await outcomes_at(place, ASKS) == expected(ASKS)


RELAYED: dict[str, Outcome] = {"pusher that is very long": (413, "M_TOO_LARGE")}
"""What the relay answers otherwise than the homeserver behind it."""


async def test_through_the_relay_each_request_comes_to_the_same(place: Place, tmp_path: Path) -> None:
    async with RunningRelay(place.base_url, tmp_path / "relay") as relay:
        outcomes = await outcomes_at(replace(place, base_url=relay.url), ASKS)
    assert outcomes == {**expected(ASKS), **RELAYED}


@pytest.fixture
async def upstream(place: Place) -> AsyncIterator[Upstream]:
    upstream = Upstream(place.base_url)
    yield upstream
    await upstream.close()


async def test_whose_token_it_is_the_relay_is_told(place: Place, upstream: Upstream) -> None:
    request = make_mocked_request("GET", "/", headers=place.authorization)
    caller = await Callers(upstream, lambda: 0).identify(request)
    assert caller == Caller(place.user_id, place.device_id)


async def test_what_rang_the_relay_finds_in_the_list(place: Place, upstream: Upstream) -> None:
    async def has_event() -> bool:
        listed = await Listing(upstream, lambda: 0).newest(place.authorization)
        assert listed is not None
        return place.event in [entry.event_id for entry in listed]

    await until(has_event, "the event in the list")


async def test_an_event_is_fetched_if_the_user_may_see_it(
    place: Place, upstream: Upstream, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals("404 GET rooms/*/event/*")
    synthesis = Synthesis(upstream)
    made = await synthesis.build(place.authorization, place.room, place.event, {}, None)
    assert made is not None
    assert made.event_id == place.event
    assert await synthesis.build(place.authorization, place.foreign_room, place.foreign_event, {}, None) is None


async def test_an_event_that_a_wrong_token_keeps_back_is_not_taken_for_gone(
    place: Place, upstream: Upstream, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals("401 GET rooms/*/event/*")
    with pytest.raises(NotAnswered, match="status 401"):
        await Synthesis(upstream).build({"Authorization": "Bearer x"}, place.room, place.event, {}, None)


async def test_a_nudge_moves_the_token(place: Place, upstream: Upstream) -> None:
    async def sync(since: str) -> str:
        answer = await upstream.ask("GET", f"{V3}/sync?timeout=0&since={quote(since)}", place.authorization)
        return str(answer.json()["next_batch"])

    async def is_at_rest() -> str | None:
        token = await sync(place.since)
        return token if await sync(token) == token else None

    token = str(await until(is_at_rest, "the end of what is new"))
    body = to({place.device_id: {}}, place.user_id)
    answer = await upstream.ask("PUT", f"{V3}/sendToDevice/{NUDGE_TYPE}/moves", place.authorization, body)
    assert answer.is_good
    assert await sync(token) != token
