"""Where the relay stands beside a real Synapse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import NewUser
from edges.relay.running import Device, GatewayServer, RunningRelay, http_body
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser


@dataclass
class Scene:
    """A desktop that is direct and a phone with an http pusher, both of one user; and somebody who writes."""

    relay: RunningRelay
    gateway: GatewayServer
    desktop: Device
    phone: Device
    alice: DemoUser
    room: str

    async def send(self, body: str = "hello") -> str:
        return await self.alice.send_text(self.room, body)

    async def send_held(self, delay_ms: int = 30_000) -> str:
        """A message that the desktop was told of, and whose push waits for the acknowledgement."""
        await self.desktop.become_direct(delay_ms=delay_ms, active_ms=10_000)
        event_id = await self.send()
        assert await self.desktop.sync(takes=False) == [event_id]
        return event_id

    async def probe(self) -> str:
        """Returns when a message sent now has reached desktop and homeserver: what comes before it has, too."""
        event_id = await self.send("probe")
        await self.desktop.sync_until(event_id)
        return event_id

    async def is_settled(self) -> bool:
        """No push waits or is on its way."""
        counts = await self.relay.relay.outbox.counts()
        return counts.waiting.pushes + counts.in_flight == 0


@pytest.fixture
async def relay(synapse: ThrowawaySynapse, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with RunningRelay(synapse.base_url, tmp_path / "relay") as running:
        yield running


@pytest.fixture
async def scene(relay: RunningRelay, new_user: NewUser) -> AsyncIterator[Scene]:
    async with GatewayServer() as gateway:
        me, alice = await new_user("me"), await new_user("alice")
        room = await alice.create_room("Lunch", invite=[me])
        await me.join(room)
        desktop = await Device.begin(me, relay)
        phone = await Device.begin(await me.login_again("Phone"), relay)
        await desktop.become_direct(delay_ms=1000, active_ms=2000)
        await phone.set_pusher(http_body(gateway))
        # What the set-up left in the stream: a new device, a room.
        for _ in range(3):
            await desktop.sync(0)
        yield Scene(relay, gateway, desktop, phone, alice, room)
