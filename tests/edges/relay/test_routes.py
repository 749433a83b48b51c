"""Requests in forms that few clients use: each is answered as by the homeserver alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from edges.relay.conftest import Scene
from edges.relay.running import RunningRelay, direct_body
from fakes.scripted_homeserver import AUTHORIZATION, ScriptedHomeserver

PREFIXES = ["/_matrix/client/api/v1", "/_matrix/client/r0", "/_matrix/client/unstable", "/_matrix/client/%763"]


@pytest.fixture
async def homeserver() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as server:
        yield server


@pytest.fixture
async def alone(homeserver: ScriptedHomeserver, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with RunningRelay(homeserver.url, tmp_path / "alone") as running:
        yield running


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_under_an_old_prefix_pushers_are_shown_as_under_the_new_one(scene: Scene, prefix: str) -> None:
    assert (await scene.phone.user.call("GET", f"{prefix}/pushers"))["pushers"] == await scene.phone.pushers()


async def test_under_an_old_prefix_signing_out_ends_pushers(scene: Scene) -> None:
    await scene.desktop.user.call("POST", "/_matrix/client/api/v1/logout", {})
    assert [each["kind"] for each in await scene.phone.pushers()] == ["http"]


@pytest.mark.parametrize("body", [b"{}", b"nonsense", b"x" * 100_000])
async def test_a_poll_with_a_body_is_a_poll(scene: Scene, body: bytes) -> None:
    user = scene.desktop.user
    url = f"{user.base_url}/_matrix/client/v3/sync"
    query = {"since": scene.desktop.since, "timeout": "20000"}
    headers = {"Authorization": f"Bearer {user.access_token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as client:

        async def poll() -> list[str]:
            async with client.get(url, params=query, headers=headers, data=body) as response:
                told = json.loads(await response.read())
                return [each["event"]["event_id"] for each in told.get("notifications", [])]

        polling = asyncio.create_task(poll())
        event_id = await scene.send()
        assert await polling == [event_id]


async def test_versions_with_a_body_are_told(alone: RunningRelay) -> None:
    async with aiohttp.request("GET", f"{alone.url}/_matrix/client/versions", json={}) as response:
        assert (await response.json())["unstable_features"]["org.matrix.msc3361"] is True


async def test_a_guest_who_asks_for_a_direct_pusher_has_the_homeservers_answer(
    alone: RunningRelay, homeserver: ScriptedHomeserver
) -> None:
    homeserver.whoami["is_guest"] = True
    await ask_for_pusher(alone)
    assert [request.path for request in homeserver.requests][-1] == "/_matrix/client/v3/pushers/set"
    assert alone.relay.state.registry.is_empty


async def test_an_application_service_that_speaks_for_somebody_passes_untouched(
    alone: RunningRelay, homeserver: ScriptedHomeserver
) -> None:
    del homeserver.whoami["device_id"]
    await ask_for_pusher(alone, "?user_id=@ghost:example.org")
    assert homeserver.requests[-1].path_qs.endswith("/pushers/set?user_id=@ghost:example.org")
    assert alone.relay.state.registry.is_empty


async def ask_for_pusher(relay: RunningRelay, query: str = "") -> int:
    url = f"{relay.url}/_matrix/client/v3/pushers/set{query}"
    async with aiohttp.request("POST", url, json=direct_body(), headers=AUTHORIZATION) as response:
        return response.status


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_while_the_homeserver_cannot_say_who_asks_no_direct_pusher_gets_there(
    alone: RunningRelay, homeserver: ScriptedHomeserver, status: int
) -> None:
    homeserver.whoami_status = status
    assert await ask_for_pusher(alone) == status
    assert homeserver.pushers == []
