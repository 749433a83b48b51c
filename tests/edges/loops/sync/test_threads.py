"""Threads are named by what stands at their roots."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.encryption import FakeEncryption
from fakes.homeserver import FakeHomeserver
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Event, Malformed
from heliograph.core.ids import EventId, RoomId
from heliograph.loops.sync.decryption import Decrypter
from heliograph.loops.sync.threads import MOST_AT_ONCE, ThreadNames
from support.builders import ME, make_encrypted, make_event


class RootsHomeserver(FakeHomeserver):
    """Counts who asks for events, and may keep them waiting."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.asked: list[str] = []
        self.answer = asyncio.Event()
        self.answer.set()

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        self.asked.append(event_id)
        await self.answer.wait()
        return await super().event(room_id, event_id)


@pytest.fixture
def homeserver() -> RootsHomeserver:
    return RootsHomeserver()


@pytest.fixture
def names(homeserver: RootsHomeserver) -> ThreadNames:
    return ThreadNames(homeserver, Decrypter(FakeEncryption(), lambda: None))


async def test_a_message_in_a_thread_names_it(clock: WallClock) -> None:
    stage = SyncStage(clock)
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        root = await stage.alice.send_text(room, "When do we eat?")
        await stage.alice.send_text(room, "At noon", thread=root)
        await stage.rings("At noon")
        await stage.alice.send_text(room, "At one", thread="$nowhere")
        await stage.rings("At one")
    threads = {each.content.text: each.content.thread for each in stage.ledger.deliveries.values() if each.content}
    assert threads == {"When do we eat?": None, "At noon": "When do we eat?", "At one": ""}


async def test_a_root_is_asked_for_once(names: ThreadNames, homeserver: RootsHomeserver) -> None:
    alice = homeserver.user("@alice:example.org")
    room = await alice.create_room("Lunch", invite=[homeserver.user(ME)])
    await homeserver.user(ME).join(room)
    root = await alice.send_text(room, "Tea?")
    for _ in range(2):
        assert await names.ask({(room, root), (room, EventId("$nowhere"))}, ()) == {root: "Tea?", "$nowhere": ""}
    assert sorted(homeserver.asked) == sorted([root, "$nowhere"])


async def test_a_root_by_somebody_who_is_ignored_or_one_that_was_deleted_names_nothing(
    names: ThreadNames, homeserver: RootsHomeserver
) -> None:
    alice = homeserver.user("@alice:example.org")
    room = await alice.create_room("Lunch", invite=[homeserver.user(ME)])
    await homeserver.user(ME).join(room)
    root = await alice.send_text(room, "Tea?")
    gone = homeserver.add(room, alice.user_id, "m.room.message", {}, unsigned={"redacted_because": {}})
    assert await names.ask({(room, root), (room, gone)}, {alice.user_id}) == {root: "", gone: ""}


async def test_an_encrypted_root_is_read_where_its_key_is_known(homeserver: RootsHomeserver) -> None:
    encryption = FakeEncryption()
    names = ThreadNames(homeserver, Decrypter(encryption, lambda: None))
    alice = homeserver.user("@alice:example.org")
    room = await alice.create_room("Lunch", invite=[homeserver.user(ME)])
    await homeserver.user(ME).join(room)
    sealed = make_encrypted(make_event("Tea?", room_id=room))
    roots = [homeserver.add(room, alice.user_id, "m.room.encrypted", dict(sealed.content)) for _ in range(2)]
    assert await names.ask({(room, roots[0])}, ()) == {roots[0]: ""}
    encryption.keys.add(RoomKey(room, "session"))
    assert await names.ask({(room, roots[1])}, ()) == {roots[1]: "Tea?"}


async def test_a_slow_homeserver_holds_nothing_up_and_only_so_many_are_asked_for(
    names: ThreadNames, homeserver: RootsHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    homeserver.answer.clear()
    wanted = {(RoomId("!room"), EventId(f"${n}")) for n in range(MOST_AT_ONCE + 5)}
    with caplog.at_level(logging.INFO):
        assert set((await names.ask(wanted, ())).values()) == {""}
    assert len(homeserver.asked) == 1
    assert "not told in time" in caplog.text
