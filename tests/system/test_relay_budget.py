"""What strangers, and users of the homeserver, can make the relay keep: by every route that it looks into."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from edges.relay.running import direct_body
from fakes.credulous_homeserver import LARGE, ROOM, CredulousHomeserver
from heliograph.relay.store.sqlite.store import DATABASE_NAME
from system.relay_process import RelayProcess

MIB = 1024 * 1024
V3 = "/_matrix/client/v3"
NOTIFY = "/_matrix/push/v1/notify"
WORKERS = 8
Json = dict[str, Any]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with (
        CredulousHomeserver() as homeserver,
        RelayProcess(homeserver.url, tmp_path / "relay") as process,
    ):
        yield process


def values() -> Iterator[Any]:
    """Ids as they should not be, and as many as one likes of those that are as they should be."""
    for number in itertools.count():
        yield f"${number:0>254}"
        yield "$" + "x" * LARGE
        yield ("\ud800", 2**70, ["x"] * 9_000, {"x": "y" * LARGE}, "$\0", "", None, "nonsense" * 30)[number % 8]


def requests(value: Any) -> Iterator[tuple[str, str, Json | None]]:
    """One by each route: method, path and body."""
    text = value if isinstance(value, str) else json.dumps(value)
    part = quote(text[:5_000].encode(errors="replace"), safe="")
    room = f"/rooms/{quote(ROOM, safe='')}"
    yield "POST", f"{V3}{room}/receipt/m.read/{part}", {"thread_id": value}
    yield "POST", f"{V3}/rooms/!{part}/receipt/m.read/$event", {}
    yield "POST", f"{V3}{room}/read_markers", {"m.read": value, "m.read.private": value}
    yield "PUT", f"{V3}{room}/redact/{part}/once", {"reason": value}
    yield "PUT", f"{V3}{room}/send/m.room.redaction/once", {"redacts": value}
    yield "POST", f"{V3}{room}/send/m.room.message", {"m.relates_to": {"rel_type": "m.thread", "event_id": value}}
    yield "POST", f"{V3}/rooms/!{part}/leave", {"reason": value}
    yield "POST", f"{V3}{room}/ban", {"user_id": value}
    yield "PUT", f"{V3}{room}/state/m.room.member/{part}", {"membership": "leave"}
    yield "POST", f"{V3}/pushers/set", direct_body(text[:500]) | {"profile_tag": value}
    yield "POST", f"{V3}/pushers/set", http_pusher(text[:500], {"x": value})
    yield "POST", f"{V3}/pushers/set", {"kind": None, "app_id": value, "pushkey": value}
    yield "POST", f"{V3}/delete_devices", {"devices": [value]}
    yield "DELETE", f"{V3}/devices/{part}", {}
    yield "GET", f"{V3}/sync?timeout=0&since={part}", None
    yield "GET", f"{V3}/pushers?{part}", None
    yield "GET", f"/_heliograph/v1/met/{part}", None
    push = {"event_id": value, "room_id": value, "devices": [{"app_id": "x", "pushkey": value}]}
    yield "POST", NOTIFY, {"notification": push}


def http_pusher(pushkey: str, data: Json) -> Json:
    url = f"https://gateway.example.org{NOTIFY}"
    return direct_body(pushkey) | {"kind": "http", "app_id": "org.example.phone", "data": data | {"url": url}}


async def send(client: aiohttp.ClientSession, method: str, path: str, body: Json | None, token: str) -> int:
    """Sends a request, and returns how many bytes it had."""
    text = b"" if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    # A body that is too large is refused before its end.
    with contextlib.suppress(aiohttp.ClientError):
        async with client.request(method, URL(path, encoded=True), data=text or None, headers=headers) as response:
            await response.read()
    return len(text) + len(path)


@pytest.mark.timeout(900)
async def test_hostile_requests_by_every_route_leave_disk_memory_and_log_small(
    relay: RelayProcess, tmp_path: Path, is_long: bool
) -> None:
    budget, sent = (100 if is_long else 4) * MIB, 0
    hostile = ((token, *each) for value in values() for each in requests(value) for token in ("known", "unknown"))
    async with aiohttp.ClientSession(relay.url) as client:
        # Somebody else has pushers, too, and with them the relay looks into all that passes.
        await send(client, "POST", f"{V3}/pushers/set", direct_body("theirs"), "other")
        await send(client, "POST", f"{V3}/pushers/set", direct_body("mine"), "known")

        async def attack() -> None:
            nonlocal sent
            while sent < budget:
                token, method, path, body = next(hostile)
                sent += await send(client, method, path, body, token)

        await attack()
        before = relay.peak_mib()
        await asyncio.gather(*(attack() for _ in range(WORKERS)))
    assert relay.peak_mib() < 120
    assert relay.peak_mib() - before < 20
    assert len(relay.log) < 200_000
    await relay.stop()
    assert (tmp_path / "relay" / DATABASE_NAME).stat().st_size < MIB


async def test_requests_that_never_end_leave_memory_small(relay: RelayProcess, is_long: bool) -> None:
    before = relay.peak_mib()
    part = f"POST {NOTIFY} HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n".encode() + b"x" * 262_000
    writers = []
    for _ in range(2_000 if is_long else 200):
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(part)
        writers.append(writer)
    # Those beyond what is read at a time are refused, whoever sends them.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            await asyncio.gather(*(writer.drain() for writer in writers), return_exceptions=True)
    assert relay.peak_mib() - before < 64
    async with aiohttp.ClientSession(relay.url) as client, client.get("/_matrix/client/versions") as response:
        assert response.status == 200
    for writer in writers:
        writer.transport.abort()
