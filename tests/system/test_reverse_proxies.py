"""The recipes of docs/relay.md, played on Debian's nginx and Caddy: led through the relay, past it, and back again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from conftest import NewUser
from edges.relay.running import Device, GatewayServer, RunningRelay, http_body, pushed
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.relay.check.check import check_relay
from heliograph.relay.check.signing_in import Credentials
from heliograph.relay.config import RelayConfig
from support.ports import reserve_port
from support.recipes import (
    CLIENT_WORKER,
    HOMESERVER,
    INNER,
    PROGRAMS,
    RELAY,
    SIGNING,
    SYNC_WORKER,
    recipe,
    recipe_with_authentication_service,
    recipe_with_workers,
)
from support.reverse_proxy import ReverseProxy
from support.waiting import until

LONG = "x" * 60_000


@dataclass(frozen=True)
class Place:
    """A running homeserver and relay, and the public address that leads to both."""

    front: ReverseProxy
    relay: RunningRelay
    config: RelayConfig


@pytest.fixture(params=[*PROGRAMS, "workers"])
async def place(request: pytest.FixtureRequest, synapse: ThrowawaySynapse, tmp_path: Path) -> AsyncIterator[Place]:
    """`workers`: with the inner server, all of whose workers are one process here."""
    inner = reserve_port(request)
    is_split = request.param == "workers"
    homeserver = f"http://127.0.0.1:{inner}" if is_split else synapse.base_url
    relay = RunningRelay(homeserver, tmp_path / "relay")
    workers = dict.fromkeys((HOMESERVER, SYNC_WORKER, CLIENT_WORKER), synapse.port)
    ports = {RELAY: relay.port, INNER: inner, **workers}
    program, text = ("nginx", recipe_with_workers()) if is_split else (request.param, recipe(request.param))
    async with relay, ReverseProxy(program, text, ports, tmp_path / "proxy") as front:
        config = RelayConfig(homeserver=homeserver, listen=f"127.0.0.1:{relay.port}")
        yield Place(front, relay, config)


async def test_through_and_past_the_relay_and_all_is_as_before(place: Place, new_user: NewUser) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    found = [each async for each in check_relay(place.config, Credentials(token=me.access_token), place.front.url)]
    assert [each.text for each in found if not each.is_good] == []

    async with GatewayServer() as gateway:
        desktop = await Device.begin(me, place.front)
        phone = await Device.begin(await me.login_again("Phone"), place.front)
        await desktop.become_direct(delay_ms=20_000, active_ms=20_000)
        await phone.set_pusher(http_body(gateway))
        await told(place, alice, room, desktop, gateway)

        await place.relay.stop()
        past = await past_the_relay(desktop.user)
        assert "org.matrix.msc3361" not in past
        # Nothing that a client sends is lost, however long it is.
        await replace(phone.user).send_text(room, LONG)
        await phone.set_pusher(http_body(gateway))
        await desktop.become_direct(delay_ms=20_000, active_ms=20_000)
        missed = await alice.send_text(room, "while the relay is down")
        await place.relay.start()

        async def is_led_through() -> bool:
            # Caddy looks only now and then whether the first address answers again.
            return "org.matrix.msc3361" in await past_the_relay(desktop.user)

        await until(is_led_through, "the way through the relay")
        await phone.user.call("GET", "/account/whoami")
        await desktop.sync_until(missed)
        await told(place, alice, room, desktop, gateway)
        shown = {(each["kind"], each["pushkey"]) for each in await phone.pushers()}
        assert shown == {("http", "phone-pushkey"), ("direct", desktop.user.device_id)}


async def past_the_relay(user: DemoUser) -> set[str]:
    """The unstable features that the public address tells of."""
    async with aiohttp.request("GET", f"{user.base_url}/_matrix/client/versions") as response:
        told = (await response.json())["unstable_features"]
    return {name for name, value in told.items() if value}


async def told(place: Place, alice: DemoUser, room: str, desktop: Device, gateway: GatewayServer) -> None:
    """A message that the desktop is told of, and a later one that the phone rings for, each alone."""
    before = list(gateway.events)

    async def is_settled() -> bool:
        counts = await place.relay.relay.outbox.counts()
        return counts.waiting.pushes + counts.in_flight == 0

    async with desktop.syncing():
        event_id = await alice.send_text(room, "to the desktop")
        await until(lambda: event_id in desktop.notified, "the notification")
        await until(is_settled, "the acknowledgement")
    assert event_id not in gateway.events
    off = {"org.matrix.msc3361.active_ms": 0}
    body = next(each for each in await desktop.pushers() if each["kind"] == "direct")
    await desktop.set_pusher({**body, "data": {**body["data"], **off}})
    away = await alice.send_text(room, "to the phone")
    await pushed(gateway, away)
    await desktop.set_pusher(body)
    await until(is_settled, "the end of the queue")
    assert gateway.events[len(before) :].count(away) == 1
    await desktop.sync_until(away)


@dataclass(frozen=True)
class Answering:
    """A server that answers with its name and what it was asked."""

    name: str

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(text=f"{self.name} {request.rel_url.raw_path_qs}")


ROUTES = {
    "/_matrix/client/v3/login": "service",
    "/_matrix/client/v3/login/sso/redirect?a=%2F": "service",
    "/_matrix/client/r0/logout/all": "service",
    "/_matrix/client/v3/refresh": "service",
    "/_matrix/client/v3/sync?since=s1%20": "relay",
    "/_matrix/client/v3/rooms/!a%2Fb/event/%2Flogin": "relay",
    "/_matrix/client/v1/auth_metadata": "relay",
    "/_matrix/federation/v1/version": "homeserver",
    "/_synapse/client/x": "homeserver",
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_an_authentication_service_gets_what_is_its_own(program: str, tmp_path: Path) -> None:
    async with (
        Answering("relay").running() as relay,
        Answering("homeserver").running() as homeserver,
        Answering("service").running() as service,
    ):
        ports = {RELAY: relay, HOMESERVER: homeserver, SIGNING: service}
        text = recipe_with_authentication_service(program)
        async with ReverseProxy(program, text, ports, tmp_path / "proxy") as front, aiohttp.ClientSession() as client:
            led = {}
            for path in ROUTES:
                async with client.post(URL(front.url + path, encoded=True), data=LONG) as response:
                    led[path] = await response.text()
    # Each in the very bytes that the client sent.
    assert led == {path: f"{name} {path}" for path, name in ROUTES.items()}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_without_the_relay_the_homeserver_gets_everything_else(program: str, tmp_path: Path) -> None:
    program_that_is_down = Answering("relay")
    async with Answering("homeserver").running() as homeserver, Answering("service").running() as service:
        ports = {RELAY: reserve_port(program_that_is_down), HOMESERVER: homeserver, SIGNING: service}
        text = recipe_with_authentication_service(program)
        async with ReverseProxy(program, text, ports, tmp_path / "proxy") as front, aiohttp.ClientSession() as client:
            for path, name in ROUTES.items():
                async with client.put(URL(front.url + path, encoded=True), data=LONG) as response:
                    wanted = "homeserver" if name == "relay" else name
                    assert await response.text() == f"{wanted} {path}"
