"""Where system tests take place."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from conftest import Home, NewUser
from fakes.notification_server import NotificationServer
from heliograph.demo.homeserver import ThrowawaySynapse
from support.auth_server.server import AuthServer
from support.buses import PrivateBus
from support.guarded_synapse import GuardedSynapse
from system.relay_faults import Cable, FaultyGateway
from system.relay_process import RelayProcess
from system.relay_scene import Scene, set_up


@pytest.fixture(autouse=True)
def players(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every machine plays sounds, so that no test hangs on what is installed; nobody hears them."""
    programs = home.path / "players"
    programs.mkdir()
    for name in ("pw-play", "paplay", "canberra-gtk-play"):
        (programs / name).symlink_to(str(shutil.which("true")))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def seed() -> int:
    """Of what happens at random."""
    return 3361


@pytest.fixture
async def relay(synapse: ThrowawaySynapse, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with RelayProcess(synapse.base_url, tmp_path / "relay") as process:
        yield process


@pytest.fixture
async def screen(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield screen
    await screen.stop()


@pytest.fixture
async def scene(
    synapse: ThrowawaySynapse, relay: RelayProcess, new_user: NewUser, screen: NotificationServer, seed: int
) -> AsyncIterator[Scene]:
    async with (
        Cable(relay.url, 0.02, random.Random(seed)) as cable,
        FaultyGateway() as gateway,
    ):
        yield await set_up(synapse, relay, cable, gateway, await new_user("me"), await new_user("alice"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_auth_server() -> AsyncIterator[AuthServer]:
    with AuthServer({}) as auth_server:
        async with GuardedSynapse(settings=auth_server.synapse_settings) as synapse:
            auth_server.homeserver_url = synapse.base_url
            yield auth_server


@pytest.fixture
def auth_server(real_auth_server: AuthServer) -> Iterator[AuthServer]:
    """The address of a real Synapse that signs in by OAuth 2.0. `people` adds users."""
    yield real_auth_server
    real_auth_server.restore()
