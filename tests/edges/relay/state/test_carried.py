"""Which notifications are acknowledged by which token, over restarts and in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.relay.model.carried import Carried
from heliograph.relay.state import carried as module
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.store.sqlite.carried import SqliteCarriedStore
from heliograph.relay.store.sqlite.store import MIGRATIONS
from heliograph.system.sqlite import Database

KEY = ("@me:example.org", "DESKTOP")
OTHER = ("@me:example.org", "LAPTOP")


def note(number: int) -> Carried:
    return Carried(f"${number}", "!room:example.org", 1_000 + number)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "relay.db", MIGRATIONS)
    yield database
    await database.close()


@pytest.fixture
async def carried(database: Database) -> CarriedNotifications:
    carried = await CarriedNotifications.load(SqliteCarriedStore(database))
    await carried.begin(KEY, 1_000, [])
    return carried


async def acknowledge(carried: CarriedNotifications, since: str) -> set[str]:
    acknowledged = set(carried.acknowledged_by(KEY, since))
    await carried.acknowledge(KEY, since)
    return acknowledged


async def test_a_token_acknowledges_what_its_response_carried_and_only_once(carried: CarriedNotifications) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.carry(KEY, "s2", [note(1), note(2)])
    assert await acknowledge(carried, "unknown") == set()
    assert await acknowledge(carried, "s1") == {"$1"}
    assert await acknowledge(carried, "s1") == set()
    assert await acknowledge(carried, "s2") == {"$2"}
    assert not carried.open_in(KEY)


async def test_any_response_can_be_the_one_that_arrived(carried: CarriedNotifications) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.carry(KEY, "s2", [note(1), note(2)])
    assert await acknowledge(carried, "s2") == {"$1", "$2"}


async def test_of_two_responses_with_one_token_the_lesser_counts(carried: CarriedNotifications) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.carry(KEY, "s1", [note(1), note(2)])
    assert await acknowledge(carried, "s1") == {"$1"}
    assert set(carried.open_in(KEY)) == {"$2"}


async def test_everything_is_as_it_was_after_a_restart(carried: CarriedNotifications, database: Database) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.carry(KEY, "s2", [note(2)])
    await carried.carry(KEY, "s3", [note(3)])
    await acknowledge(carried, "s1")
    again = await CarriedNotifications.load(SqliteCarriedStore(database))
    assert set(again.open_in(KEY)) == {"$2", "$3"}
    assert not again.wants(KEY, "$1", 1_001)
    assert again.wants(KEY, "$4", 1_004)
    assert not again.wants(KEY, "$0", 999)
    assert await acknowledge(again, "s3") == {"$3"}


async def test_devices_do_not_acknowledge_for_one_another(carried: CarriedNotifications) -> None:
    await carried.begin(OTHER, 0, [])
    await carried.carry(KEY, "s1", [note(1)])
    await carried.carry(OTHER, "s1", [note(1)])
    await acknowledge(carried, "s1")
    assert set(carried.open_in(OTHER)) == {"$1"}


async def test_what_was_there_at_the_beginning_is_never_wanted(carried: CarriedNotifications) -> None:
    await carried.begin(OTHER, 1_002, [note(1), note(2)])
    assert not carried.wants(OTHER, "$2", 1_002)
    assert carried.wants(OTHER, "$same-time", 1_002)


async def test_a_new_beginning_forgets_what_was_open(carried: CarriedNotifications, database: Database) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.begin(KEY, 2_000, [])
    for each in (carried, await CarriedNotifications.load(SqliteCarriedStore(database))):
        assert not each.open_in(KEY)
        assert each.acknowledged_by(KEY, "s1") == frozenset()


async def test_memory_is_bounded(
    carried: CarriedNotifications, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 5)
    monkeypatch.setattr(module, "MAX_ACKNOWLEDGED", 5)
    monkeypatch.setattr(module, "MAX_CARRIED", 5)
    for number in range(20):
        await carried.carry(KEY, f"s{number}", [note(number)])
    assert set(carried.open_in(KEY)) == {f"${number}" for number in range(15, 20)}
    assert carried.acknowledged_by(KEY, "s14") == frozenset()
    for number in range(20, 40):
        await carried.carry(KEY, f"s{number}", [note(number)])
        await acknowledge(carried, f"s{number}")
    for each in (carried, await CarriedNotifications.load(SqliteCarriedStore(database))):
        # Forgotten singly, they count as acknowledged by their age.
        assert not each.wants(KEY, "$21", 1_021)
        assert not each.wants(KEY, "$39", 1_039)
        assert each.wants(KEY, "$40", 1_040)


async def test_of_responses_with_many_notifications_fewer_can_be_acknowledged(
    carried: CarriedNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CARRIED_IDS", 25)
    notes = [note(number) for number in range(10)]
    for number in range(4):
        await carried.carry(KEY, f"s{number}", notes)
    tokens = [f"s{number}" for number in range(4) if carried.acknowledged_by(KEY, f"s{number}")]
    assert tokens == ["s2", "s3"]
    await carried.carry(KEY, "s4", [note(number) for number in range(40)])
    assert len(carried.acknowledged_by(KEY, "s4")) == 40


async def test_what_nothing_will_come_of_is_not_attached_again(
    carried: CarriedNotifications, database: Database
) -> None:
    await carried.carry(KEY, "s1", [note(1), note(2)])
    await carried.drop(KEY, ["$1", "$unknown"])
    for each in (carried, await CarriedNotifications.load(SqliteCarriedStore(database))):
        assert set(each.open_in(KEY)) == {"$2"}
        assert each.acknowledged_by(KEY, "s1") == {"$2"}


async def test_an_ended_device_leaves_nothing(carried: CarriedNotifications, database: Database) -> None:
    await carried.carry(KEY, "s1", [note(1)])
    await carried.end(KEY)
    await carried.carry(KEY, "s2", [note(2)])
    assert not carried.wants(KEY, "$2", 1_002)
    rows = await database.read(lambda db: db.execute("SELECT COUNT(*) FROM attached").fetchone())
    assert rows == (0,)
