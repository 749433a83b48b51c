"""The relay beside the homeserver it stands before: what it adds to /sync and to HTTP pushes, and what it weighs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.phases import Figures, percentile
from benchmarks.processes import Measured, start
from heliograph.demo.homeserver import ThrowawaySynapse, free_port
from heliograph.demo.user import DemoUser

OWN = "homeserver"
POLLS = 500
_NOTIFY = "/_matrix/push/v1/notify"


class Gateway:
    """Notes when (CLOCK_MONOTONIC in s) it was first told of an event."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.port = free_port()
        self._news = asyncio.Event()

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def wait(self, event_id: str) -> float:
        async with asyncio.timeout(20):
            while event_id not in self.at:
                self._news.clear()
                await self._news.wait()
        return self.at[event_id]

    async def _take(self, request: web.BaseRequest) -> web.Response:
        now = time.monotonic()
        event_id = (await request.json())["notification"].get("event_id")
        self.at.setdefault(event_id, now)
        self._news.set()
        return web.json_response({"rejected": []})


async def measure_relay(server: ThrowawaySynapse, folder: Path, syncs: int, pushes: int) -> dict[str, Figures]:
    """All of it in turn: once by the homeserver, once by the relay, so that both meet the same minutes."""
    port = free_port()
    words = ["relay", "--homeserver", server.base_url, "--listen", f"127.0.0.1:{port}", "--allow-http-loopback"]
    command = [sys.executable, "-m", "heliograph", *words, "--state", str(folder / "state")]
    process = start(command, {**os.environ, "HOME": str(folder)}, folder)
    gateway = Gateway()
    await gateway.start()
    try:
        await process.wait_told("READY=1")
        relay = f"http://127.0.0.1:{port}"
        alice, me = await server.register("relay-alice"), await server.register("relay-me")
        room = await alice.create_room("Relay", invite=[me])
        await me.join(room)
        own, through = await _syncs(me, relay, syncs)
        own_pushes, pushes_through = await _pushes(server, alice, relay, gateway, pushes)
        weight = await _long_polls(me, relay, process)
        return {"heliograph": through | pushes_through | weight, OWN: own | own_pushes}
    finally:
        await gateway.stop()
        await process.stop()


async def _syncs(me: DemoUser, relay: str, count: int) -> tuple[Figures, Figures]:
    """GET /sync of a direct device, answered at once: by the homeserver itself, and through the relay."""
    await replace(me, base_url=relay).call("POST", "/pushers/set", _pusher("direct", me.device_id, {}))
    since = (await replace(me, base_url=relay).call("GET", "/sync"))["next_batch"]
    took: dict[str, list[float]] = {me.base_url: [], relay: []}
    headers = {"Authorization": f"Bearer {me.access_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(count + 20):
            for base, times in took.items():
                # Not twice the same: Synapse keeps the answer to a request for its repetition.
                query = {"since": since, "timeout": "0", "n": f"{base}{number}"}
                begun = time.monotonic()
                async with session.get(f"{base}/_matrix/client/v3/sync", params=query) as answer:
                    await answer.read()
                    answer.raise_for_status()
                if number >= 20:
                    times.append((time.monotonic() - begun) * 1000)
    own, through = took[me.base_url], took[relay]
    figures = {f"sync_p{wanted}_ms": percentile(own, wanted) for wanted in (50, 99)}
    return figures, {
        "sync_p50_ms": percentile(through, 50),
        "sync_p99_ms": percentile(through, 99),
        "sync_adds_p50_ms": percentile(through, 50) - percentile(own, 50),
        "sync_adds_p99_ms": percentile(through, 99) - percentile(own, 99),
    }


async def _pushes(
    server: ThrowawaySynapse, alice: DemoUser, relay: str, gateway: Gateway, count: int
) -> tuple[Figures, Figures]:
    """From the answer to the sender to the gateway, for two users who are away."""
    url = f"http://127.0.0.1:{gateway.port}{_NOTIFY}"
    rooms: dict[str, str] = {}
    for name, base in (("own", server.base_url), ("relay", relay)):
        user = replace(await server.register(f"push-{name}"), base_url=base)
        rooms[name] = await alice.create_room(name, invite=[user])
        await user.join(rooms[name])
        if name == "relay":
            await user.call("POST", "/pushers/set", _pusher("direct", user.device_id, {}))
        await user.call("POST", "/pushers/set", _pusher("http", f"pushkey-{name}", {"url": url}))
    took: dict[str, list[float]] = {name: [] for name in rooms}
    for number in range(count + 5):
        for name, room in rooms.items():
            begun = time.monotonic()
            came = await gateway.wait(await alice.send_text(room, f"push {number}"))
            if number >= 5:
                took[name].append((came - begun) * 1000)
    own, through = percentile(took["own"], 50), percentile(took["relay"], 50)
    return {"push_p50_ms": own}, {"push_p50_ms": through, "push_adds_ms": through - own}


async def _long_polls(me: DemoUser, relay: str, process: Measured) -> Figures:
    since = (await replace(me, base_url=relay).call("GET", "/sync"))["next_batch"]
    before = process.rss_mb()
    headers = {"Authorization": f"Bearer {me.access_token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def poll(number: int) -> Any:
            query = {"since": since, "timeout": "60000", "n": str(number)}
            async with session.get(f"{relay}/_matrix/client/v3/sync", params=query) as answer:
                return await answer.read()

        polls = [asyncio.create_task(poll(number)) for number in range(POLLS)]
        await asyncio.sleep(10)
        pending = sum(not each.done() for each in polls)
        weighs = process.rss_mb()
        for each in polls:
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*polls, return_exceptions=True)
    return {"idle_rss_mb": before, "long_polls": float(pending), "long_polls_rss_mb": weighs}


def _pusher(kind: str, pushkey: str, data: dict[str, str]) -> dict[str, object]:
    return {
        "kind": kind,
        "app_id": f"org.example.{kind}",
        "pushkey": pushkey,
        "app_display_name": "Benchmark",
        "device_display_name": "Benchmark",
        "lang": "en",
        "data": data,
    }
