"""Real Synapse, relay, daemon and a push gateway on one machine: either the desktop rings or the phone does."""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from buses import PrivateBus
from conftest import NewUser
from edges.relay.running import GatewayServer, http_body
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.control.client import ask_status
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S, decisions
from system.relay_process import RelayProcess
from waiting import until


@dataclass
class Stage:
    """The user has a phone with an http pusher, and Heliograph behind the relay; Alice writes."""

    relay: RelayProcess
    gateway: GatewayServer
    screen: NotificationServer
    account: Account
    phone: DemoUser
    alice: DemoUser
    room: str

    async def is_direct(self) -> bool:
        answer = await ask_status()
        assert answer is not None
        (account,) = answer["accounts"]
        return account["mode"] == "direct" and account["pusher"]["registered"] is True

    async def ready(self) -> None:
        """Returns when the relay alone says what rings, and is acknowledged."""
        await until(self.is_direct, "direct mode", PATIENCE_S)
        for number in range(2):
            event_id = await self.alice.send_text(self.room, f"settling {number}")
            await until(partial(self._has_rung, event_id), "the ring", PATIENCE_S)

    def _has_rung(self, event_id: str) -> bool:
        return event_id in self.rang()

    def rang(self) -> set[str]:
        """Events that the desktop showed."""
        return {event_id for event_id, decision in decisions(self.account).items() if decision == "ring"}


@pytest.fixture
async def relay(synapse: ThrowawaySynapse, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with RelayProcess(synapse.base_url, tmp_path / "relay") as process:
        yield process


@pytest.fixture
async def stage(relay: RelayProcess, new_user: NewUser, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    screen = NotificationServer(private_bus.address)
    await screen.start()
    async with GatewayServer() as gateway:
        me, alice = await new_user("me"), await new_user("alice")
        phone = replace(me, base_url=relay.url)
        await phone.call("POST", "/pushers/set", http_body(gateway))
        room = await alice.create_room("Lunch", invite=[me])
        await me.join(room)
        account = await sign_in(phone)
        yield Stage(relay, gateway, screen, account, phone, alice, room)
    await screen.stop()


async def test_online_the_desktop_rings_and_the_phone_is_silent(stage: Stage) -> None:
    async with Daemon():
        await stage.ready()
        before = set(stage.gateway.events)
        sent = {await stage.alice.send_text(stage.room, f"message {number}") for number in range(50)}
        await until(lambda: sent <= stage.rang(), "the rings", PATIENCE_S)
    assert not sent & (set(stage.gateway.events) - before)


async def test_with_the_desktop_away_the_phone_rings(stage: Stage) -> None:
    daemon = Daemon()
    async with daemon:
        await stage.ready()
        assert await daemon.stop() == 0
        sent = {await stage.alice.send_text(stage.room, f"message {number}") for number in range(20)}
        await until(lambda: sent <= set(stage.gateway.events), "the pushes", PATIENCE_S)


async def test_a_relay_that_is_killed_at_random_loses_nothing(stage: Stage) -> None:
    async with Daemon():
        await stage.ready()
        sent: list[str] = []

        def is_told() -> bool:
            return set(sent) <= stage.rang() | set(stage.gateway.events)

        for number in range(10):
            killing = asyncio.create_task(_kill_after(stage.relay, random.uniform(0, 0.15)))
            sent += [await stage.alice.send_text(stage.room, f"round {number}, message {each}.") for each in range(3)]
            await killing
            await stage.relay.start()
            await until(is_told, "the rings of this round", PATIENCE_S)
        await until(lambda: set(sent) <= stage.rang(), "the desktop's part", PATIENCE_S)


async def test_media_of_50_mb_pass_both_ways_in_little_memory(stage: Stage) -> None:
    media = os.urandom(50 * 1024 * 1024)
    headers = {"Authorization": f"Bearer {stage.phone.access_token}", "Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession(stage.relay.url, headers=headers) as session:
        async with session.post("/_matrix/media/v3/upload", data=io.BytesIO(media)) as response:
            place = (await response.json())["content_uri"].removeprefix("mxc://")
        async with session.get(f"/_matrix/client/v1/media/download/{place}") as response:
            assert await response.read() == media
    status = await asyncio.to_thread(Path(f"/proc/{stage.relay.pid}/status").read_text)
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 100 * 1024


async def test_it_ends_when_asked_to(relay: RelayProcess) -> None:
    assert await relay.stop() == 0
    await relay.start()


async def _kill_after(relay: RelayProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await relay.kill()
