"""The relay as a gateway only: desktops acknowledge by an authenticated call, since their /sync goes elsewhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edges.relay.running import GatewayServer, RunningRelay
from heliograph.relay.gateway.tokens import digest_of
from support.waiting import until

Json = dict[str, Any]
TOKENS = {"you": "the-token", "bob": "another-token"}
USERS = {name: digest_of(token) for name, token in TOKENS.items()}


@dataclass
class Alone:
    relay: RunningRelay
    gateway: GatewayServer
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Json | None = None, *, user: str = "you") -> tuple[int, Json]:
        headers = {"Authorization": f"Bearer {TOKENS.get(user, user)}"}
        async with self.http.request(method, f"/_heliograph/v1/{path}", json=body, headers=headers) as response:
            return response.status, await response.json()

    async def add(self, **changes: Any) -> str:
        """The pushkey to register at the homeserver."""
        body = {"app_id": "app", "pushkey": "phone", "data": {"url": self.gateway.url}} | changes
        status, answer = await self.call("POST", "pushers", body)
        assert status == 200
        assert answer["url"] == f"{self.relay.url}/_matrix/push/v1/notify"
        return str(answer["pushkey"])

    async def acknowledge(self, *event_ids: str, present_ms: int = 60_000, user: str = "you") -> None:
        body = {"device_id": "DESK", "event_ids": list(event_ids), "present_ms": present_ms}
        assert await self.call("POST", "acknowledge", body, user=user) == (200, {})

    async def push(self, pushkey: str, event_id: str) -> list[str]:
        """As a homeserver does; the rejected pushkeys."""
        device = {"app_id": "app", "pushkey": pushkey, "data": {}}
        body = {"notification": {"event_id": event_id, "room_id": "!room", "devices": [device]}}
        async with self.http.post("/_matrix/push/v1/notify", json=body) as response:
            return list((await response.json())["rejected"])

    async def waiting(self) -> int:
        return (await self.relay.relay.outbox.counts()).waiting.pushes


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Alone]:
    async with (
        RunningRelay("http://127.0.0.1:9", tmp_path / "relay", gateway_only=True, users=USERS) as relay,
        GatewayServer() as gateway,
        aiohttp.ClientSession(relay.url) as http,
    ):
        yield Alone(relay, gateway, http)


async def test_with_nobody_there_the_phone_rings_at_once_as_if_it_stood_at_the_homeserver(alone: Alone) -> None:
    hidden = await alone.add()
    assert await alone.push(hidden, "$1") == []
    await until(lambda: alone.gateway.events == ["$1"], "the push")
    (device,) = alone.gateway.pushes[0]["devices"]
    assert (device["app_id"], device["pushkey"]) == ("app", "phone")
    assert hidden not in json.dumps(alone.gateway.pushes)


async def test_after_a_restart_pushes_wait_for_a_desktop_that_said_it_is_there_alone(alone: Alone) -> None:
    hidden = await alone.add()
    await alone.acknowledge()
    await alone.relay.stop()
    await alone.relay.start()
    await alone.push(hidden, "$held")
    assert await alone.waiting() == 1
    await alone.acknowledge("$held", present_ms=0)
    await alone.relay.stop()
    await alone.relay.start()
    await alone.push(hidden, "$at-once")
    await until(lambda: alone.gateway.events == ["$at-once"], "the push")


async def test_what_a_desktop_that_is_there_acknowledges_does_not_ring(alone: Alone) -> None:
    hidden = await alone.add()
    await alone.acknowledge()
    await alone.push(hidden, "$held")
    assert await alone.waiting() == 1
    await alone.acknowledge("$held", "$before-its-push")
    await alone.push(hidden, "$before-its-push")
    assert await alone.waiting() == 0
    await alone.acknowledge(present_ms=0)
    await alone.push(hidden, "$left")
    await until(lambda: alone.gateway.events, "the push")
    assert alone.gateway.events == ["$left"]


async def test_acknowledgements_and_pushers_outlive_the_relay(alone: Alone) -> None:
    hidden = await alone.add()
    await alone.acknowledge("$1")
    await alone.relay.stop()
    await alone.relay.start()
    assert await alone.add() == hidden
    assert await alone.push(hidden, "$1") == []
    assert await alone.push(hidden, "$2") == []
    await until(lambda: alone.gateway.events == ["$2"], "the push of what was not acknowledged")


async def test_users_settle_their_own_pushes_only(alone: Alone) -> None:
    hidden = await alone.add()
    await alone.acknowledge("$1", user="bob")
    assert (await alone.call("DELETE", f"pushers/{hidden}", user="bob"))[0] == 200
    assert await alone.push(hidden, "$1") == []
    await until(lambda: alone.gateway.events == ["$1"], "the push")


async def test_a_removed_pusher_is_rejected_at_the_homeserver(alone: Alone) -> None:
    hidden = await alone.add()
    assert (await alone.call("DELETE", f"pushers/{hidden}"))[0] == 200
    assert await alone.push(hidden, "$1") == [hidden]


async def test_a_rejected_pusher_that_is_set_again_has_another_pushkey(alone: Alone) -> None:
    hidden = await alone.add()
    alone.gateway.rejects = True
    await alone.push(hidden, "$1")
    await until(lambda: alone.relay.relay.outbox.is_rejected(hidden), "the rejection")
    alone.gateway.rejects = False
    again = await alone.add()
    assert again != hidden
    assert await alone.push(hidden, "$2") == [hidden]
    assert await alone.push(again, "$2") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pushers", {}),
        ("pushers", {"app_id": "app", "pushkey": "", "data": {"url": "https://example.org/_matrix/push/v1/notify"}}),
        ("pushers", {"app_id": "app", "pushkey": "p", "data": {"url": "http://10.0.0.1/_matrix/push/v1/notify"}}),
        ("acknowledge", {"event_ids": []}),
        ("acknowledge", {"device_id": "D", "event_ids": [5]}),
        ("acknowledge", {"device_id": "D", "event_ids": ["$"] * 1001}),
        ("acknowledge", {"device_id": "D", "present_ms": True}),
        ("acknowledge", {"device_id": "D", "present_ms": 10**9}),
    ],
)
async def test_what_makes_no_sense_is_refused_in_a_sentence(alone: Alone, path: str, body: Json) -> None:
    status, answer = await alone.call("POST", path, body)
    assert (status, answer["errcode"]) == (400, "M_BAD_JSON")


async def test_a_wrong_token_is_refused_and_may_be_tried_so_often_only(alone: Alone) -> None:
    assert (await alone.call("POST", "acknowledge", {}, user="wrong"))[0] == 401
    statuses = {(await alone.call("POST", "acknowledge", {}, user="wrong"))[0] for _ in range(30)}
    assert statuses == {401, 429}
    await alone.acknowledge("$1")
    # Neither is another one's wrong token, who may sit behind the same address.
    assert (await alone.call("POST", "acknowledge", {}, user="wrong, too"))[0] == 401


async def test_it_says_that_it_is_a_gateway_and_no_homeserver(alone: Alone) -> None:
    async with alone.http.get("/_matrix/push/v1/notify") as response:
        assert (await response.json())["unifiedpush"] == {"gateway": "matrix"}
    async with alone.http.get("/_matrix/client/versions") as response:
        assert response.status == 404
    async with alone.http.get("/health") as response:
        assert response.status == 404
    async with aiohttp.request("GET", f"{alone.relay.monitor}/health") as response:
        assert (await response.json())["status"] == "ok"
