"""docs/direct-push.md shows what goes over the wire: the exchange is played here, and has to be that of the page.

`python -m edges.relay.test_direct_push_page` (with tests/ and daemon/ in PYTHONPATH) prints it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from documentation.pages import read_page
from edges.relay.running import GatewayServer, RunningRelay
from fakes.scripted_homeserver import TOKEN, ScriptedHomeserver
from support.waiting import until

Json = dict[str, Any]
PAGE = "docs/direct-push.md"
API = "/_matrix/client/v3"
PHONE = {"app_id": "org.example.phone", "pushkey": "phone-pushkey"}
NAMES = {"app_display_name": "Example", "device_display_name": "My device", "lang": "en"}
GATEWAY = "https://push.example.org"


@dataclass
class Exchange:
    """A desktop behind the relay, the phone's push gateway, and what went over the wire, step by step."""

    client: aiohttp.ClientSession
    homeserver: ScriptedHomeserver
    relay: RunningRelay
    gateway: GatewayServer
    steps: dict[str, list[str]] = field(default_factory=dict)
    """Blocks by the heading below which they stand."""

    async def ask(self, heading: str, method: str, path: str, body: Json | None = None) -> Json:
        sent = json.loads(json.dumps(body).replace(GATEWAY, f"http://127.0.0.1:{self.gateway.port}"))
        async with self.client.request(method, path, json=sent if body is not None else None) as response:
            answer: Json = json.loads(await response.read())
            self._note(heading, f"{method} {path}", body)
            self._note(heading, f"{response.status} {response.reason}", answer)
        return answer

    async def ring(self, event_id: str) -> None:
        """A message rings: it comes down /sync, and the homeserver pushes."""
        event = self.homeserver.send(event_id)
        async with aiohttp.ClientSession() as pusher:
            await self.homeserver.push(pusher, event, counts={"unread": 1})

    async def show_push(self, heading: str, event_id: str) -> None:
        await until(lambda: event_id in self.gateway.events, "the push")
        (push,) = (push for push in self.gateway.pushes if push.get("event_id") == event_id)
        self._note(heading, f"POST {GATEWAY}/_matrix/push/v1/notify", {"notification": push})

    async def until_settled(self) -> None:
        async def is_settled() -> bool:
            counts = await self.relay.relay.outbox.counts()
            return counts.waiting.pushes + counts.in_flight == 0

        await until(is_settled, "the acknowledgement")

    def _note(self, heading: str, first: str, body: Json | None) -> None:
        shown = f"http://127.0.0.1:{self.gateway.port}"
        text = "" if body is None else "\n" + json.dumps(body, indent=2).replace(shown, GATEWAY)
        self.steps.setdefault(heading, []).append(first + text)


class ListingHomeserver(ScriptedHomeserver):
    """Lists pushers without `append`, as Synapse does: that is of the request alone."""

    def set_pusher(self, body: Json) -> None:
        super().set_pusher({name: value for name, value in body.items() if name != "append"})


@asynccontextmanager
async def an_exchange(folder: Path) -> AsyncIterator[Exchange]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        ListingHomeserver() as homeserver,
        RunningRelay(homeserver.url, folder) as relay,
        GatewayServer() as gateway,
        aiohttp.ClientSession(relay.url, headers=headers) as client,
    ):
        yield Exchange(client, homeserver, relay, gateway)


async def play(exchange: Exchange) -> None:
    ask = exchange.ask
    await ask("The server says that it offers direct push", "GET", "/_matrix/client/versions")
    direct: Json = {
        "kind": "direct",
        "app_id": "org.example.desktop",
        "pushkey": "desktop-pushkey",
        **NAMES,
        "data": {"org.matrix.msc3361.delay_ms": 2000, "org.matrix.msc3361.active_ms": 5000},
        "append": True,
    }
    heading = "The desktop registers its pusher"
    await ask(heading, "POST", f"{API}/pushers/set", direct)
    wrong = direct | {"data": {"org.matrix.msc3361.delay_ms": "soon"}}
    await ask("What cannot be read is refused", "POST", f"{API}/pushers/set", wrong)
    phone = {"kind": "http", **PHONE, **NAMES, "data": {"url": f"{GATEWAY}/_matrix/push/v1/notify"}, "append": True}
    await ask("So does the phone, as ever", "POST", f"{API}/pushers/set", phone)

    heading = "A message rings at the desktop"
    polling = asyncio.create_task(ask(heading, "GET", f"{API}/sync?since=s1&timeout=30000"))
    await until(lambda: exchange.relay.relay.state.connections.pending, "the poll")
    await exchange.ring("$first")
    await polling
    await ask("The next request acknowledges it", "GET", f"{API}/sync?since=s2&timeout=0")
    await exchange.until_settled()
    assert exchange.gateway.events == []

    heading = "Without an acknowledgement the phone rings"
    await exchange.ring("$second")
    await ask(heading, "GET", f"{API}/sync?since=s2&timeout=0")
    await exchange.show_push(heading, "$second")
    await exchange.until_settled()
    heading = "What was not acknowledged comes once more"
    await ask(heading, "GET", f"{API}/sync?since=s2&timeout=1")
    await ask(heading, "GET", f"{API}/sync?since=s3&timeout=0")

    heading = "The user leaves the desktop"
    await ask(heading, "POST", f"{API}/pushers/set", direct | {"org.matrix.msc3881.enabled": False})
    await exchange.ring("$third")
    await exchange.show_push(heading, "$third")
    await ask("All pushers, as they were set", "GET", f"{API}/pushers")


async def test_the_exchange_is_that_of_the_page(tmp_path: Path) -> None:
    page = read_page(PAGE)
    async with an_exchange(tmp_path / "relay") as exchange:
        await play(exchange)
    for heading, blocks in exchange.steps.items():
        shown = ["\n".join(block) for block in page.blocks(heading)]
        assert shown == ["\n\n".join(blocks)], heading


def _print() -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with an_exchange(Path(folder) / "relay") as exchange:
                await play(exchange)
                for heading, blocks in exchange.steps.items():
                    text = "\n\n".join(blocks)
                    print(f"### {heading}\n")
                    print("\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n")

    asyncio.run(run())


if __name__ == "__main__":
    _print()
