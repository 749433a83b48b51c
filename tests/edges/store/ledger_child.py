"""A process of its own that uses a ledger, for tests that kill it or take its disk away.

ledger_child.py inside FOLDER    commits s1, then stands still inside the transaction of s2, at the worst moment
ledger_child.py busy FOLDER      commits for ever, saying after each which one it was
ledger_child.py full FOLDER      fills a small disk, says what was kept, makes room and goes on
ledger_child.py open FOLDER      opens the ledger and says what came of it
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heliograph.core.ids import EventId
from heliograph.core.record import Plan, RoomRecord, Withdrawal
from heliograph.errors import StateError, StorageError
from heliograph.store.ledger import SqliteLedger
from support.builders import ROOM, make_delivery, make_facts


def say(word: object) -> None:
    print(json.dumps(word), flush=True)


class StandingStill(tuple[Any, ...]):
    """Changes of a plan that are never done with: the transaction has begun, written, and not ended."""

    def __iter__(self) -> Iterator[Any]:
        say("inside")
        threading.Event().wait()
        yield from ()


def make_plan(number: int, size: int = 3) -> Plan:
    """Rings `size` times, takes back one of the commit before, and writes a room."""
    return Plan(
        f"s{number}",
        deliveries=tuple(make_delivery(f"${number}.{serial}", text="text " * 400) for serial in range(size)),
        changes=(Withdrawal(EventId(f"${number - 1}.0"), "read elsewhere"),),
        rooms=(RoomRecord(make_facts(name=f"Room {number}")),),
    )


async def inside(folder: Path) -> None:
    ledger = await SqliteLedger.open(folder)
    await ledger.commit(Plan("s0"), 1)
    await ledger.commit(make_plan(1), 1)
    await ledger.commit(Plan("s2", deliveries=make_plan(2).deliveries, changes=StandingStill(make_plan(2).changes)), 2)


async def busy(folder: Path) -> None:
    ledger = await SqliteLedger.open(folder)
    for number in itertools.count(1):
        await ledger.commit(make_plan(number), number)
        say(number)


async def full(folder: Path) -> None:
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * 800_000)
    ledger = await SqliteLedger.open(folder / "account")
    number = 0
    try:
        for number in itertools.count(1):
            await ledger.commit(make_plan(number, size=50), number)
    except StorageError as error:
        say(str(error))
    say([number - 1, (await ledger.account()).next_batch, len(await ledger.open_deliveries([ROOM]))])
    ballast.unlink()
    say((await ledger.commit(make_plan(number, size=50), number)).new)
    await ledger.close()
    again = await SqliteLedger.open(folder / "account")
    say([number, (await again.account()).next_batch, len(await again.open_deliveries([ROOM]))])
    await again.close()


async def open_it(folder: Path) -> None:
    try:
        await (await SqliteLedger.open(folder)).close()
    except StateError as error:
        say([error.title, error.hint])
    else:
        say("opened")


if __name__ == "__main__":
    what = {"inside": inside, "busy": busy, "full": full, "open": open_it}[sys.argv[1]]
    asyncio.run(what(Path(sys.argv[2])))
