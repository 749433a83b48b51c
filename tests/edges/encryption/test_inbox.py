"""To-device events are on disk before they are acknowledged, each once, in order, and not without bound."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.encryption.inbox import SqliteInbox
from heliograph.errors import StateError, StorageError
from heliograph.ports import Inbox
from heliograph.sqlite import Database


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[SqliteInbox]:
    inbox = await SqliteInbox.open(tmp_path, most_events=5, most_bytes=1_000)
    yield inbox
    await inbox.close()


def make_events(*serials: int, size: int = 0) -> list[bytes]:
    numbers = [str(serial).zfill(size) for serial in serials]
    return [f'{{"type":"m.room.encrypted","sender":"@a:x","n":"{number}"}}'.encode() for number in numbers]


async def read(inbox: SqliteInbox) -> list[bytes]:
    return [kept.event for kept in await inbox.read()]


async def test_what_was_kept_is_there_after_opening_again(tmp_path: Path) -> None:
    first: Inbox = await SqliteInbox.open(tmp_path)
    await first.keep([b"\xff not even text \x00", *make_events(1)])
    await first.close()

    second = await SqliteInbox.open(tmp_path)

    assert await read(second) == [b"\xff not even text \x00", *make_events(1)]
    assert (tmp_path / "crypto.db").stat().st_mode & 0o777 == 0o600
    await second.close()


async def test_the_same_events_again_are_kept_once_and_in_their_first_order(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(1, 2, 1))
    await inbox.keep(make_events(3, 2, 1))

    assert await read(inbox) == make_events(1, 2, 3)
    assert await inbox.dropped() == 0


async def test_events_are_read_from_a_position_on(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(1, 2, 3, 4))
    first, second = await inbox.read(limit=2)

    assert [first.event, second.event] == make_events(1, 2)
    assert [kept.event for kept in await inbox.read(after=second.position)] == make_events(3, 4)


async def test_the_newest_events_stay_and_the_log_counts_the_others(
    inbox: SqliteInbox, caplog: pytest.LogCaptureFixture
) -> None:
    await inbox.keep(make_events(1, 2, 3))
    await inbox.keep(make_events(4, 5, 6, 7))

    assert await read(inbox) == make_events(3, 4, 5, 6, 7)
    assert await inbox.dropped() == 2
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "The inbox is full: dropped the 2 oldest to-device events")
    ]


async def test_more_events_at_once_than_fit_leave_the_newest(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(*range(20)))

    assert await read(inbox) == make_events(15, 16, 17, 18, 19)


async def test_large_events_push_out_older_ones(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(1, 2))
    (large,) = make_events(3, size=890)
    await inbox.keep([large])

    assert len(large) + len(make_events(2)[0]) <= 1_000 < len(large) + 2 * len(make_events(2)[0])
    assert await read(inbox) == [*make_events(2), large]


async def test_an_event_larger_than_all_the_room_there_is_does_not_stay(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(1, size=2_000))
    assert await read(inbox) == []

    await inbox.keep(make_events(2))
    assert await read(inbox) == make_events(2)


async def test_the_bounds_hold_over_many_batches(inbox: SqliteInbox) -> None:
    for serial in range(40):
        await inbox.keep(make_events(serial, serial, serial - 1))

    assert await read(inbox) == make_events(35, 36, 37, 38, 39)


async def test_positions_are_not_used_again(inbox: SqliteInbox) -> None:
    await inbox.keep(make_events(*range(5)))
    before = (await inbox.read())[-1].position
    await inbox.keep(make_events(9, size=2_000))
    await inbox.keep(make_events(6))

    assert (await inbox.read())[0].position > before


async def test_keeping_nothing_needs_no_disk(inbox: SqliteInbox) -> None:
    await inbox.close()

    await inbox.keep([])
    with pytest.raises(StorageError):
        await inbox.keep(make_events(1))


async def test_an_inbox_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    await (await Database.open(tmp_path / "crypto.db", ("SELECT 1;",) * 99)).close()

    with pytest.raises(StateError, match="newer"):
        await SqliteInbox.open(tmp_path)
