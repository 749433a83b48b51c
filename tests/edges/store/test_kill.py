"""kill -9 at any moment leaves whole transactions and nothing of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heliograph.core.delivery import State
from heliograph.core.ids import EventId
from heliograph.store.ledger import SqliteLedger
from support.builders import ROOM

CHILD = Path(__file__).with_name("ledger_child.py")


@contextmanager
def child(what: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(CHILD), what, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_inside(folder: Path) -> None:
    with child("inside", folder) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "inside"


def kill_after(folder: Path, commits: int) -> int:
    """Kills it at some moment after that many commits; returns the last one that it said was done."""
    with child("busy", folder) as process:
        assert process.stdout is not None
        done = [json.loads(process.stdout.readline()) for _ in range(commits)]
        process.kill()
        done.extend(json.loads(line) for line in process.stdout if line.endswith("\n"))
    return int(done[-1])


async def test_a_kill_inside_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    kill_inside(tmp_path)

    ledger = await SqliteLedger.open(tmp_path)

    assert (await ledger.account()).next_batch == "s1"
    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$1.0", "$1.1", "$1.2"]
    assert await ledger.positions([EventId("$2.0"), EventId("$2.1"), EventId("$2.2")]) == {}
    assert (await ledger.rooms([ROOM], []))[ROOM].facts.name == "Room 1"
    await ledger.close()


@pytest.mark.parametrize("commits", [1, 2, 7, 30])
async def test_a_kill_at_any_moment_leaves_the_token_and_just_what_belongs_to_it(tmp_path: Path, commits: int) -> None:
    done = kill_after(tmp_path, commits)

    ledger = await SqliteLedger.open(tmp_path)

    token = (await ledger.account()).next_batch
    assert token in {f"s{done}", f"s{done + 1}"}, "no commit that was said to be done is missing"
    last = int(token[1:])
    kept = await ledger.open_deliveries([ROOM])
    assert [each.event_id for each in kept] == [
        f"${number}.{serial}" for number in range(1, last + 1) for serial in range(3) if number == last or serial > 0
    ]
    assert (await ledger.counts())[State.CANCELLED.value] == last - 1
    assert (await ledger.rooms([ROOM], []))[ROOM].facts.name == f"Room {last}"
    await ledger.close()
