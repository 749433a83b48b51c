"""Who is there is known after a restart and after a kill as before, and costs no write while nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edges.relay.stage import HOUR, ME, SetClock
from heliograph.relay.model.carried import Key
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.ports import PresenceStore, Store
from heliograph.relay.state.state import RelayState
from heliograph.relay.store.sqlite.store import open_sqlite
from support.waiting import until

DESK, LAPTOP, NEW = (ME, "DESK"), (ME, "LAPTOP"), (ME, "NEW")
ACTIVE_MS = 5_000


class CountingStore:
    """The store beneath, and how often it was written to."""

    def __init__(self, store: PresenceStore) -> None:
        self._store = store
        self.writes = 0

    async def load(self) -> dict[Key, DevicePresence]:
        return await self._store.load()

    async def put(self, devices: Mapping[Key, DevicePresence]) -> None:
        self.writes += 1
        await self._store.put(devices)

    async def delete(self, key: Key) -> None:
        self.writes += 1
        await self._store.delete(key)


@dataclass
class Subject:
    """The relay's state on one disk."""

    clock: SetClock
    store: Store
    counting: CountingStore

    async def load(self) -> RelayState:
        """As after a start: the state of before, if there was any, is lost but for what is on disk."""
        return await RelayState.load(replace(self.store, presence=self.counting), self.clock.now_ms)

    def active(self, state: RelayState) -> list[Key]:
        return [key for key in (DESK, LAPTOP, NEW) if state.connections.is_active(key, ACTIVE_MS, self.clock.now_ms())]


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    async with open_sqlite(tmp_path) as store:
        yield Subject(SetClock(), store, CountingStore(store.presence))


async def test_after_a_kill_pushes_wait_for_those_who_were_there_alone(subject: Subject) -> None:
    before = await subject.load()
    with before.connections.connection(LAPTOP).request():
        pass
    subject.clock.set(subject.clock.now_ms() + HOUR)
    with before.connections.connection(DESK).request():
        await before.presence.keep()
        subject.clock.set(subject.clock.now_ms() + HOUR)
        after = await subject.load()
    assert subject.active(after) == [DESK]
    # Whoever does not come back is waited for no longer.
    subject.clock.set(subject.clock.now_ms() + ACTIVE_MS + 1)
    assert subject.active(after) == []


async def test_who_went_a_moment_before_the_restart_is_there_for_the_rest_of_its_time(subject: Subject) -> None:
    before = await subject.load()
    with before.connections.connection(DESK).request():
        pass
    subject.clock.set(subject.clock.now_ms() + 60_000)
    await before.presence.keep()
    after = await subject.load()
    assert after.connections.is_active(DESK, 90_000, subject.clock.now_ms() + 29_000)
    assert not after.connections.is_active(DESK, 90_000, subject.clock.now_ms() + 31_000)


async def test_what_a_desktop_said_of_its_presence_holds_after_a_restart(subject: Subject) -> None:
    before = await subject.load()
    await before.be_present(DESK, 600_000)
    await before.be_present(LAPTOP, 600_000)
    await before.be_present(LAPTOP, 0)
    subject.clock.set(subject.clock.now_ms() + 590_000)
    after = await subject.load()
    assert subject.active(after) == [DESK]
    subject.clock.set(subject.clock.now_ms() + 10_000)
    assert subject.active(after) == []


async def test_a_device_that_is_gone_for_good_is_forgotten(subject: Subject) -> None:
    before = await subject.load()
    await before.be_present(DESK, 600_000)
    await before.end_device(DESK)
    assert subject.active(await subject.load()) == []


async def test_polls_that_follow_one_another_write_nothing(subject: Subject) -> None:
    state = await subject.load()
    for _ in range(50):
        with state.connections.connection(DESK).request():
            await state.presence.keep()
        subject.clock.set(subject.clock.now_ms() + 3_000)
        await state.presence.keep()
    assert subject.counting.writes == 1


async def test_who_comes_is_written_soon(subject: Subject) -> None:
    state = await subject.load()
    async with state.presence.kept_up():
        await until(lambda: not state.connections.came.is_set(), "the first look")
        with state.connections.connection(NEW).request():

            async def is_written() -> bool:
                return (await subject.store.presence.load()).get(NEW) == DevicePresence()

            await until(is_written, "the device on disk")
