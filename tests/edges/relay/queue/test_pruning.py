"""Old pushes are forgotten beside everything else, a part at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edges.relay.stage import HOUR, ME, OutboxStage, make_twin
from heliograph.relay.queue.pruning import PAUSE_MS
from heliograph.relay.store.sqlite import queue
from support.waiting import until

EVENTS = [f"$event{number}" for number in range(3 * queue.MOST_FORGOTTEN)]


def remembered(stage: OutboxStage) -> int:
    with closing(sqlite3.connect(f"file:{stage.path}?mode=ro", uri=True)) as db:
        (number,) = db.execute("SELECT count(*) FROM settled").fetchone()
    return int(number)


async def forgotten_since(stage: OutboxStage, before: int) -> None:
    await until(lambda: remembered(stage) < before, "the pruning of some")
    # Time that passes before the pruning waits for it would be missed.
    await until(lambda: (stage.clock.next_ms or 0) > stage.clock.now_ms(), "the pause")


async def test_a_push_passes_between_two_parts_of_what_is_forgotten(tmp_path: Path) -> None:
    async with OutboxStage(tmp_path) as stage:
        phone = stage.pushers.add(make_twin())
        await stage.outbox.acknowledge(ME, "DESK", EVENTS)
        stage.clock.set(stage.clock.now_ms() + 49 * HOUR)
        await forgotten_since(stage, len(EVENTS))
        left = remembered(stage)
        assert left == len(EVENTS) - queue.MOST_FORGOTTEN
        # The clock stands still, so the next part is not due yet.
        await stage.outbox.take(stage.push(phone, "$new"))
        await stage.rest()
        assert stage.gateways.events == ["$new"]
        assert remembered(stage) == left
        for _ in range(2):
            left = remembered(stage)
            await stage.pass_ms(PAUSE_MS)
            await forgotten_since(stage, left)
        assert remembered(stage) == 0


@pytest.mark.expected_log("Old pushes could not be forgotten: relay.db could not be read")
async def test_a_disk_that_fails_puts_it_off_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prune, faults = queue.prune, [sqlite3.OperationalError("disk I/O error")]

    def prune_or_fail(*arguments: Any, **options: Any) -> bool:
        if faults:
            raise faults.pop()
        return prune(*arguments, **options)

    async with OutboxStage(tmp_path) as stage:
        await stage.outbox.acknowledge(ME, "DESK", EVENTS[:5])
        monkeypatch.setattr(queue, "prune", prune_or_fail)
        stage.clock.set(stage.clock.now_ms() + 49 * HOUR)
        await until(lambda: not faults, "the failure")
        assert remembered(stage) == 5
        await stage.pass_ms(HOUR)
        await forgotten_since(stage, 5)
        assert remembered(stage) == 0
