"""A relay served in the test's own loop, a push gateway that records, and a device that syncs through the relay."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from heliograph.demo.user import DemoUser
from heliograph.relay.config import RelayConfig
from heliograph.relay.listening import listen_at
from heliograph.relay.server import serve
from heliograph.relay.wiring import Relay, open_relay
from support.ports import reserve_port
from support.waiting import until

Json = dict[str, Any]
NARROW = {"room": {"timeline": {"types": ["m.room.encrypted"]}, "ephemeral": {"types": []}}, "presence": {"types": []}}
"""A filter that hides messages."""


class RunningRelay:
    """An async context manager. `stop` and `start` keep its state and its port."""

    def __init__(self, homeserver: str, folder: Path, **settings: Any) -> None:
        self.port = reserve_port(self)
        self._folder = folder
        self._config = RelayConfig(
            homeserver=homeserver, listen=f"127.0.0.1:{self.port}", allow_http_loopback=True, **settings
        )
        self.monitor = ""
        """The URL at which /health and /metrics are answered to everybody."""
        self._stack = contextlib.AsyncExitStack()
        self._relay: Relay | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def relay(self) -> Relay:
        assert self._relay is not None
        return self._relay

    async def __aenter__(self) -> RunningRelay:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        self._relay = await self._stack.enter_async_context(open_relay(self._config, self._folder))
        sending = asyncio.create_task(self._relay.outbox.run())
        self._stack.push_async_callback(_cancel, sending)
        listeners = await listen_at(f"127.0.0.1:{self.port}")
        await self._stack.enter_async_context(serve(self._relay, listeners, goodbye_s=0.1))
        await self._serve_monitor(self._relay.monitor)

    async def _serve_monitor(self, application: web.Application) -> None:
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.monitor = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._stack.aclose()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Reachable(Protocol):
    """A relay, wherever it runs."""

    @property
    def url(self) -> str: ...


class GatewayServer:
    """A push gateway on loopback."""

    def __init__(self) -> None:
        self.port = 0
        self.pushes: list[Json] = []
        self.rejects = False
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/_matrix/push/v1/notify"

    @property
    def events(self) -> list[str]:
        """Ids of the events that were pushed."""
        return [push["event_id"] for push in self.pushes if push.get("event_id")]

    async def __aenter__(self) -> GatewayServer:
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.json_response({"unifiedpush": {"gateway": "matrix"}})
        notification = (await request.json())["notification"]
        self.pushes.append(notification)
        rejected = [each["pushkey"] for each in notification["devices"]] if self.rejects else []
        return web.json_response({"rejected": rejected})


@dataclass
class Device:
    """A signed-in device behind the relay that keeps its place in the stream, and acknowledges by syncing."""

    user: DemoUser
    since: str = ""
    notified: list[str] = field(default_factory=list)
    """Event ids of `notifications`, in the order of their coming."""
    together: list[str] = field(default_factory=list)
    """Those that came in the same response as the event itself."""
    last: Json = field(default_factory=dict)

    @classmethod
    async def begin(cls, user: DemoUser, relay: Reachable) -> Device:
        """After its first sync, without a pusher."""
        device = cls(through(user, relay))
        first = await device.user.call("GET", "/sync", filter=json.dumps({"room": {"rooms": []}}))
        assert "notifications" not in first
        device.since = first["next_batch"]
        return device

    async def become_direct(self, **data: Any) -> None:
        await self.set_pusher(direct_body(self.user.device_id, **data))

    async def set_pusher(self, body: Json) -> None:
        await self.user.call("POST", "/pushers/set", body)

    async def pushers(self) -> list[Json]:
        return list((await self.user.call("GET", "/pushers"))["pushers"])

    async def sync(self, timeout_ms: int = 10_000, *, filter_: Json | None = None, takes: bool = True) -> list[str]:
        """The event ids of what this response notifies of. `takes` False: as if it had been lost on the way."""
        query = {"since": self.since, "timeout": str(timeout_ms)}
        if filter_ is not None:
            query["filter"] = json.dumps(filter_)
        body = await self.user.call("GET", "/sync", **query)
        listed = [each["event"]["event_id"] for each in body.get("notifications", [])]
        if takes:
            self.since, self.last = body["next_batch"], body
            self.notified += listed
            self.together += [event_id for event_id in listed if event_id in events_in(body)]
        return listed

    async def sync_until(self, event_id: str, seconds: float = 20) -> None:
        """Syncs on until the event was notified of, and that is acknowledged."""
        async with asyncio.timeout(seconds):
            while event_id not in self.notified:
                await self.sync(5_000)
            await self.sync(0)

    @contextlib.asynccontextmanager
    async def syncing(self, filter_: Json | None = None) -> Any:
        """Meanwhile it syncs on and on."""

        async def go_on() -> None:
            while True:
                await self.sync(10_000, filter_=filter_)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def through(user: DemoUser, relay: Reachable) -> DemoUser:
    """The same device, behind the relay."""
    return replace(user, base_url=relay.url)


def events_in(body: Json) -> set[str]:
    rooms = body.get("rooms", {}).get("join", {}).values()
    return {event["event_id"] for room in rooms for event in room["timeline"]["events"]}


def direct_body(pushkey: str = "direct-pushkey", **data: Any) -> Json:
    return {
        "kind": "direct",
        "app_id": "org.example.desktop",
        "pushkey": pushkey,
        "app_display_name": "Desktop",
        "device_display_name": "A desktop",
        "lang": "en",
        "data": {f"org.matrix.msc3361.{name}": value for name, value in data.items()},
    }


def http_body(gateway: GatewayServer, pushkey: str = "phone-pushkey", **changes: Any) -> Json:
    return {
        "kind": "http",
        "app_id": "org.example.phone",
        "pushkey": pushkey,
        "app_display_name": "Phone",
        "device_display_name": "A phone",
        "lang": "en",
        "data": {"url": gateway.url, "format": "event_id_only", "org.example.custom": 7},
        "append": False,
        **changes,
    }


async def pushed(gateway: GatewayServer, event_id: str) -> None:
    await until(lambda: event_id in gateway.events, f"the push of {event_id}")
