"""/sync through the relay at homeservers that are not Synapse, and at their worst."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edges.relay.running import GatewayServer, RunningRelay, direct_body, http_body
from fakes.scripted_homeserver import AUTHORIZATION, ScriptedHomeserver
from support.waiting import until

Json = dict[str, Any]


@pytest.fixture
async def homeserver() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as server:
        yield server


@pytest.fixture
async def relay(homeserver: ScriptedHomeserver, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with RunningRelay(homeserver.url, tmp_path / "relay") as running:
        yield running


@pytest.fixture
async def client(relay: RunningRelay) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{relay.url}/_matrix/client/v3/", headers=AUTHORIZATION) as session:
        yield session


async def set_pusher(client: aiohttp.ClientSession, body: Json) -> None:
    async with client.post("pushers/set", json=body) as response:
        assert response.status == 200, await response.text()


async def sync(client: aiohttp.ClientSession, since: str, timeout: int = 10_000) -> tuple[str, list[Json]]:
    async with client.get("sync", params={"since": since, "timeout": str(timeout)}) as response:
        body = json.loads(await response.read())
        return body["next_batch"], body.get("notifications", [])


def ids(notifications: list[Json]) -> list[str]:
    return [each["event"]["event_id"] for each in notifications]


async def test_without_a_list_notifications_are_made_of_push_and_event(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    homeserver.listed = None
    await set_pusher(client, direct_body())
    polling = asyncio.create_task(sync(client, "s1"))
    event = homeserver.send("$1")
    async with aiohttp.ClientSession() as pusher:
        await homeserver.push(pusher, event)
    since, (notification,) = await polling
    assert notification["event"] == event
    assert notification["actions"] == ["notify", {"set_tweak": "sound", "value": "ping"}]
    assert notification["ts"] == event["origin_server_ts"]
    assert await sync(client, since, 0) == (since, [])


async def test_a_list_that_begins_with_the_oldest_is_read_too(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    await set_pusher(client, direct_body())
    homeserver.send("$1")
    homeserver.send("$2")
    assert homeserver.listed is not None
    homeserver.listed.reverse()
    _, notifications = await sync(client, "s1")
    assert ids(notifications) == ["$1", "$2"]


async def test_what_could_not_be_acknowledged_waits_until_the_token_moves(
    homeserver: ScriptedHomeserver, relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    homeserver.has_to_device = False
    await set_pusher(client, direct_body())
    polling = asyncio.create_task(sync(client, "s1"))
    await until(lambda: relay.relay.state.connections.pending, "the poll")
    event = homeserver.send("$hidden", moves=False, is_hidden=True)
    async with aiohttp.ClientSession() as pusher:
        await homeserver.push(pusher, event)
    await until(lambda: homeserver.aborted, "the end of the long-poll")
    homeserver.send("$shown")
    since, notifications = await polling
    assert since != "s1"
    assert set(ids(notifications)) == {"$hidden", "$shown"}


async def test_a_token_that_would_not_move_is_moved_so_that_it_can_be_acknowledged(
    homeserver: ScriptedHomeserver, relay: RunningRelay, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with GatewayServer() as gateway:
        await set_pusher(client, direct_body())
        await set_pusher(client, http_body(gateway))
        polling = asyncio.create_task(sync(client, "s1"))
        await until(lambda: relay.relay.state.connections.pending, "the poll")
        event = homeserver.send("$hidden", moves=False, is_hidden=True)
        async with aiohttp.ClientSession() as pusher:
            await homeserver.push(pusher, event)
        since, notifications = await polling
        assert since != "s1"
        assert ids(notifications) == ["$hidden"]
        assert await sync(client, "s1", 0) != (since, [])  # the same request again acknowledges nothing
        assert (await relay.relay.outbox.counts()).waiting.pushes == 1
        assert await sync(client, since, 0) == (since, [])
        assert (await relay.relay.outbox.counts()).waiting.pushes == 0
        assert gateway.events == []


async def test_a_poll_that_was_there_before_the_pusher_is_one_of_a_direct_device(
    homeserver: ScriptedHomeserver, relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    async with GatewayServer() as gateway:
        await set_pusher(client, http_body(gateway))
        polling = asyncio.create_task(sync(client, "s1"))
        await until(lambda: any(each.path.endswith("/sync") for each in homeserver.requests), "the poll")
        await set_pusher(client, direct_body())
        await until(lambda: relay.relay.state.connections.pending, "the poll's discovery")
        event = homeserver.send("$hidden", is_hidden=True)
        async with aiohttp.ClientSession() as pusher:
            await homeserver.push(pusher, event)
        since, notifications = await polling
        assert ids(notifications) == ["$hidden"]
        await sync(client, since, 0)
        assert (await relay.relay.outbox.counts()).waiting.pushes == 0
        assert gateway.events == []


async def test_a_desktop_that_has_set_its_pusher_is_waited_for_before_its_next_poll(
    homeserver: ScriptedHomeserver, relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    """Its daemon is busy with the answer to a poll that was none of a direct device."""
    async with GatewayServer() as gateway:
        await set_pusher(client, http_body(gateway))
        await set_pusher(client, direct_body(delay_ms=60_000, active_ms=300_000))
        event = homeserver.send("$first")
        async with aiohttp.ClientSession() as pusher:
            await homeserver.push(pusher, event)
        assert (await relay.relay.outbox.counts()).waiting.pushes == 1
        since, notifications = await sync(client, "s1", 0)
        assert ids(notifications) == ["$first"]
        await sync(client, since, 0)
        assert (await relay.relay.outbox.counts()).waiting.pushes == 0
        assert gateway.events == []


async def test_the_poll_of_who_stays_without_a_pusher_passes_as_it_is(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    polling = asyncio.create_task(sync(client, "s1"))
    await until(lambda: homeserver.requests, "the poll")
    homeserver.send("$1")
    assert await polling == ("s2", [])
    assert [request.path for request in homeserver.requests] == ["/_matrix/client/v3/sync"]


async def test_an_answer_that_is_too_large_passes_and_the_next_carries_its_notifications(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    await set_pusher(client, direct_body())
    homeserver.send("$1")
    homeserver.extra = b',"padding":"' + b"x" * (5 * 1024 * 1024) + b'"'
    async with client.get("sync", params={"since": "s1", "timeout": "0"}) as response:
        body = await response.read()
        assert len(body) > len(homeserver.extra)
        assert "notifications" not in json.loads(body)
    homeserver.extra = b""
    homeserver.send("$2")
    _, notifications = await sync(client, "s2")
    assert set(ids(notifications)) == {"$1", "$2"}


@pytest.mark.parametrize(
    "extra", [b',"other":NaN', b',"other":"\\ud800"', b',"rooms":{"join":7}', b',"x":' + b"[" * 3000 + b"]" * 3000]
)
async def test_an_answer_that_is_no_good_json_passes_as_it_is(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession, extra: bytes
) -> None:
    await set_pusher(client, direct_body())
    homeserver.send("$1")
    homeserver.extra = extra
    async with client.get("sync", params={"since": "s1", "timeout": "0"}) as response:
        assert response.status == 200
        assert extra in await response.read()


async def test_a_notification_that_is_no_good_json_is_passed_over(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    await set_pusher(client, direct_body())
    homeserver.send("$1")
    assert homeserver.listed is not None
    homeserver.listed += [{"event": 7}, {"room_id": "!r", "ts": "soon", "event": {"event_id": "$x"}}]
    _, notifications = await sync(client, "s1")
    assert ids(notifications) == ["$1"]


async def test_a_homeserver_that_lists_nothing_is_not_asked_for_ever(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    await set_pusher(client, direct_body())
    event = homeserver.send("$1")
    homeserver.listed = []
    async with aiohttp.ClientSession() as pusher:
        await homeserver.push(pusher, event)
    for number in range(5):
        homeserver.send(f"$more{number}", is_hidden=True)
        homeserver.listed = []
        _, notifications = await sync(client, "s1", 50)
        assert notifications == []
    before = len(homeserver.requests)
    await sync(client, f"s{homeserver.position}", 200)
    assert len(homeserver.requests) == before + 1


async def test_http_pushers_can_be_switched_off_where_the_homeserver_cannot(
    homeserver: ScriptedHomeserver, client: aiohttp.ClientSession
) -> None:
    async with GatewayServer() as gateway, aiohttp.ClientSession() as pusher:
        await set_pusher(client, http_body(gateway))
        assert homeserver.pushers[0]["data"]["url"] == gateway.url
        await set_pusher(client, http_body(gateway, enabled=False))
        await homeserver.push(pusher, homeserver.send("$1"))
        await set_pusher(client, http_body(gateway, enabled=True))
        await homeserver.push(pusher, homeserver.send("$2"))
        await until(lambda: gateway.events, "the push")
        assert gateway.events == ["$2"]


async def test_tokens_are_neither_logged_nor_on_disk(
    homeserver: ScriptedHomeserver,
    relay: RunningRelay,
    client: aiohttp.ClientSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    await set_pusher(client, direct_body())
    homeserver.send("$1")
    await sync(client, "s1")
    token = AUTHORIZATION["Authorization"].removeprefix("Bearer ")
    assert token not in caplog.text
    await relay.stop()
    files = await asyncio.to_thread(lambda: [file.read_bytes() for file in (tmp_path / "relay").iterdir()])
    assert files
    assert not any(token.encode() in content for content in files)
    await relay.start()


async def test_a_poll_whose_token_ends_meanwhile_is_told_with_the_next(
    homeserver: ScriptedHomeserver,
    relay: RunningRelay,
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with GatewayServer() as gateway:
        await set_pusher(client, direct_body(delay_ms=60_000))
        await set_pusher(client, http_body(gateway))
        polling = asyncio.create_task(sync(client, "s1"))
        await until(lambda: relay.relay.state.connections.pending, "the poll")
        monkeypatch.setattr(homeserver, "access_token", "renewed")
        event = homeserver.send("$1")
        async with aiohttp.ClientSession() as pusher:
            await homeserver.push(pusher, event)
        since, notifications = await polling
        assert (since, notifications) == ("s2", [])
        headers = {"Authorization": "Bearer renewed"}
        async with aiohttp.ClientSession(f"{relay.url}/_matrix/client/v3/", headers=headers) as renewed:
            since, notifications = await sync(renewed, since)
            assert ids(notifications) == ["$1"]
            await sync(renewed, since, 0)
        assert (await relay.relay.outbox.counts()).waiting.pushes == 0
        assert gateway.events == []
