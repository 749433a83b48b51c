"""The recipes of docs/relay.md, played on Debian's nginx and Caddy: led through the relay, past it, and back again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from conftest import NewUser
from edges.relay.running import RunningRelay
from heliograph.demo.homeserver import ThrowawaySynapse
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
from system.relay_bypass import LONG, Place, findings, pass_the_relay_by


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
    assert [each.text for each in await findings(place, me) if not each.is_good] == []
    await pass_the_relay_by(place, me, alice)


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
