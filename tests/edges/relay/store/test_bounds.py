"""What relay.db keeps has an end for each user and in all, whoever asks for it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edges.relay.stage import BOB, ME, NOON, ROOM, make_push, make_twin
from heliograph.core.reading import Mark
from heliograph.relay.model.around import NOTHING
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Accepted, Push, Why
from heliograph.relay.ports import Store
from heliograph.relay.store.sqlite import queue, settled, waiting
from heliograph.relay.store.sqlite.store import DATABASE_NAME, MIGRATIONS, open_sqlite
from heliograph.system.migrations import migrate

BEFORE_BOUNDS = 5
"""Migrations before the one that counts."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_sqlite(tmp_path) as store:
        yield store


def ask(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as db:
        return db.execute(sql).fetchall()


def long_id(number: int) -> str:
    return f"${number:0>254}"


def push(event_id: str, twin: Twin | None = None) -> Push:
    return make_push(twin or make_twin(), event_id, received_ms=NOON, due_ms=NOON)


async def read(store: Store, user_id: str, event_id: str, at_ms: int = NOON) -> None:
    await store.pushes.cancel_read(user_id, ROOM, Mark(event_id), NOTHING, at_ms)


async def test_what_is_remembered_of_a_user_has_an_end(store: Store, tmp_path: Path) -> None:
    await read(store, BOB, "$bobs")
    for number in range(1_500):
        await read(store, ME, long_id(number), NOON + number)
    ((entries, size),) = ask(tmp_path, f"SELECT entries, bytes FROM settled_sums WHERE user_id = '{ME}'")
    assert 100 < int(str(entries)) <= settled.MOST_ENTRIES[False]
    assert int(str(size)) <= settled.MOST_BYTES[False]
    assert (tmp_path / DATABASE_NAME).stat().st_size < 1_000_000
    # The newest is remembered, and what is remembered of others.
    late = [
        push(long_id(1_499)),
        push("$bobs", make_twin("bob", BOB)),
        push(long_id(0)),
    ]
    taken = [(await store.pushes.take(each, (), 1_000, NOON)).result for each in late]
    assert taken == [Accepted.SETTLED, Accepted.SETTLED, Accepted.QUEUED]


async def test_what_is_remembered_of_all_has_an_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settled.MOST_ENTRIES, True, 10)
    for number in range(40):
        await read(store, f"@user{number % 5}:example.org", f"${number}", NOON + number)
    assert len(ask(tmp_path, "SELECT event_id FROM settled")) <= 10
    assert ("$39",) in ask(tmp_path, "SELECT event_id FROM settled")


async def test_what_is_counted_is_what_is_there(store: Store, tmp_path: Path) -> None:
    for number in range(30):
        # The same once more adds nothing.
        for _ in range(2):
            await read(store, ME if number % 2 else BOB, f"$ü{number}", NOON + number)
        await store.pushes.cancel_events(None, ROOM, [f"${number}"], Why.REDACTED, NOON + number)
    await store.pushes.prune(NOON + 3 * 86_400_000 + 10)
    truth = ask(tmp_path, "SELECT user_id, count(*), sum(size) FROM settled GROUP BY user_id")
    sums = ask(tmp_path, "SELECT * FROM settled_sums WHERE user_id <> '*'")
    assert sums == truth
    ((entries, size),) = ask(tmp_path, "SELECT entries, bytes FROM settled_sums WHERE user_id = '*'")
    assert [(entries, size)] == ask(tmp_path, "SELECT count(*), coalesce(sum(size), 0) FROM settled")


async def test_of_a_pusher_only_so_many_pushes_are_known(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MOST_KEPT", 20)
    await store.pushes.take(push("$waits"), (), 1_000, NOON)
    for number in range(100):
        await store.pushes.acknowledge(ME, "DESK", [f"${number}"], (), NOON)
        await store.pushes.take(push(f"${number}"), (), 1_000, NOON)
    events = [event_id for (event_id,) in ask(tmp_path, "SELECT event_id FROM pushes ORDER BY position")]
    assert len(events) <= 20
    # What waits is not forgotten; what came last is known still.
    assert (events[0], events[-1]) == ("$waits", "$99")
    await store.pushes.forget(make_twin().hidden_pushkey, NOON)
    assert ask(tmp_path, "SELECT count(*) FROM pushes") == [(0,)]


@dataclass
class Waiting:
    """Pushes of 1,000 bytes that wait."""

    store: Store
    folder: Path
    number: int = 0

    async def add(self, twin: Twin, count: int) -> None:
        for _ in range(count):
            self.number += 1
            made = replace(push(f"${self.number}", twin), payload="x" * 1_000)
            await self.store.pushes.take(made, (), 1_000, NOON)

    def left(self, user_id: str) -> list[str]:
        rows = ask(
            self.folder,
            f"SELECT event_id FROM pushes WHERE user_id = '{user_id}' AND outcome IS NULL ORDER BY position",
        )
        return [str(event_id) for (event_id,) in rows]

    def is_counted(self) -> bool:
        truth = ask(
            self.folder, "SELECT user_id, count(*), sum(size) FROM pushes WHERE outcome IS NULL GROUP BY user_id"
        )
        count, size = ask(self.folder, "SELECT count(*), coalesce(sum(size), 0) FROM pushes WHERE outcome IS NULL")[0]
        return ask(self.folder, "SELECT * FROM waiting_sums") == [("*", count, size), *truth]


@pytest.fixture
def queued(store: Store, tmp_path: Path) -> Waiting:
    return Waiting(store, tmp_path)


async def test_what_waits_of_a_user_has_an_end_over_all_pushers(
    queued: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES_OF_USER", 20_000)
    await queued.add(make_twin("bob", BOB), 5)
    for _ in range(20):
        await queued.add(make_twin(), 1)
        await queued.add(make_twin("tablet"), 1)
    assert 18 <= len(queued.left(ME)) <= 20
    assert queued.left(ME)[-1] == f"${queued.number}"
    assert len(queued.left(BOB)) == 5
    assert queued.is_counted()


async def test_what_waits_in_all_has_an_end_and_costs_the_one_of_whom_most_waits(
    queued: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES_OF_ALL", 30_000)
    await queued.add(make_twin(), 28)
    await queued.add(make_twin("bob", BOB), 10)
    assert len(queued.left(BOB)) == 10
    assert 15 <= len(queued.left(ME)) <= 20
    assert queued.is_counted()


async def test_what_ends_in_whichever_way_waits_no_more(queued: Waiting, tmp_path: Path) -> None:
    await queued.add(make_twin(), 4)
    await queued.add(make_twin("bob", BOB), 2)
    await queued.store.pushes.acknowledge(ME, "DESK", ["$1"], (), NOON)
    await queued.store.pushes.forget(make_twin("bob", BOB).hidden_pushkey, NOON)
    assert queued.is_counted()
    assert ask(tmp_path, "SELECT pushes FROM waiting_sums WHERE user_id = '*'") == [(3,)]


@pytest.fixture
def old_database(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(path, db, MIGRATIONS[:BEFORE_BOUNDS])
        db.execute(f"INSERT INTO settled VALUES ('$1', '{ME}', 'read', '', '{ROOM}', 0)")
        db.execute("INSERT INTO phones (hidden_pushkey) VALUES ('key')")
        db.execute(
            "INSERT INTO pushes (hidden_pushkey, user_id, event_id, received_ms, due_ms, size)"
            f" VALUES ('key', '{ME}', '$1', 0, 0, 0)"
        )


@pytest.mark.usefixtures("old_database")
async def test_a_database_of_before_is_counted(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as store:
        await read(store, ME, "$2")
    assert ask(tmp_path, "SELECT kept FROM phones") == [(1,)]
    assert ask(tmp_path, "SELECT user_id, entries FROM settled_sums") == [("*", 2), (ME, 2)]
    assert ask(tmp_path, "SELECT user_id, pushes FROM waiting_sums") == [("*", 1), (ME, 1)]
