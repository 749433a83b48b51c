"""A homeserver as one device sees it: a Synapse, and the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.outcomes import ExpectRefusals, access_log_pattern
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from fakes.room_actions import FakeRoomActions
from fakes.rooms import FakeRooms
from heliograph.core.events import JoinedRoom, Sync
from heliograph.core.ids import RoomId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.room_actions import RoomActionsClient
from heliograph.homeserver.rooms import RoomsClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Homeserver, RoomActions, Rooms, SyncRequest
from heliograph.ports.ledger import Ledger
from heliograph.store.ledger import SqliteLedger
from support.log_guard import ExpectLog


@pytest.fixture
def expect_refusals(request: pytest.FixtureRequest, expect_log: ExpectLog) -> ExpectRefusals:
    """A fake keeps no access log, so of that one nothing is announced."""
    is_real = request.node.get_closest_marker("real") is not None

    def expect(*requests: str, times: int = 1) -> None:
        for each in requests if is_real else ():
            expect_log(access_log_pattern(each), times=times)

    return expect


@dataclass
class World:
    """A homeserver as one device sees it, its user at another device, and two others."""

    homeserver: Homeserver
    actions: RoomActions
    rooms: Rooms
    me: Any
    alice: Any
    bob: Any
    send_to_device: Callable[[str, dict[str, Any]], Awaitable[None]]
    sign_out: Callable[[], Awaitable[None]]
    """Ends the device as which `homeserver` is signed in."""
    token: str = ""

    async def start(self) -> Sync:
        """The first sync ever; later ones go on from there."""
        return self._took(await self.homeserver.sync(SyncRequest(since=None, timeout_ms=0)))

    async def sync(self, timeout_ms: int = 0, *, acknowledges: bool = True, **request: Any) -> Sync:
        """The next sync; without `acknowledges` the one after asks from the same place."""
        answer = await self.homeserver.sync(SyncRequest(self.token, timeout_ms, **request))
        return self._took(answer) if acknowledges else answer

    async def sync_room(self, room_id: RoomId, **request: Any) -> JoinedRoom:
        """Syncs until there is news of the room."""
        for _ in range(10):
            for room in (await self.sync(1000, **request)).joined:
                if room.room_id == room_id:
                    return room
        raise AssertionError(f"no news of {room_id}")

    def _took(self, sync: Sync) -> Sync:
        self.token = sync.next_batch
        return sync

    async def room(self, name: str | None = "Lunch", *others: Any, **options: Any) -> RoomId:
        """A room of Alice's that we are in."""
        room_id: RoomId = await self.alice.create_room(name, [self.me, *others], **options)
        for user in (self.me, *others):
            await user.join(room_id)
        return room_id


@pytest.fixture
async def fake_world() -> World:
    server = FakeHomeserver()
    alice, bob, me = (server.user(f"@{name}:example.org") for name in ("alice", "bob", "me"))

    async def send_to_device(type_: str, content: dict[str, Any]) -> None:
        server.send_to_device(alice.user_id, type_, content)

    actions, rooms = FakeRoomActions(server.user_id, server), FakeRooms(server)
    return World(server, actions, rooms, me, alice, bob, send_to_device, server.sign_out)


@pytest.fixture
async def real_world(synapse: ThrowawaySynapse, new_user: Callable[[str], Awaitable[DemoUser]]) -> AsyncIterator[World]:
    alice, bob, me = [await new_user(name) for name in ("alice", "bob", "me")]
    session = Session(synapse.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    client = HomeserverClient(session)

    async def send_to_device(type_: str, content: dict[str, Any]) -> None:
        messages = {me.user_id: {me.device_id: content}}
        await alice.call("PUT", f"/sendToDevice/{type_}/{id(content)}", {"messages": messages})

    actions, rooms = RoomActionsClient(session), RoomsClient(session)
    yield World(client, actions, rooms, await me.login_again(), alice, bob, send_to_device, me.logout)
    await client.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> World:
    world = request.getfixturevalue(f"{request.param}_world")
    assert isinstance(world, World)
    return world


@pytest.fixture(params=["fake", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger: Ledger = FakeLedger() if request.param == "fake" else await SqliteLedger.open(tmp_path / "account")
    yield ledger
    await ledger.close()
