"""What the daemon holds at one moment, and what it may hold at the end.

It is counted inside of the daemon, which closes its environment and its file handles to other programs of its own user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Measured

MOST_GROWTH = 1.1
"""RSS at the end over that after the first hour."""
SPARE = 2
"""Connections to the homeserver besides that of the poll: the pushers may have been looked at in the last minutes."""
MOST_THREADS = 3 + min(32, (os.cpu_count() or 1) + 4)
"""The event loop's, those of the two files, and asyncio's pool, which fills up as needed and keeps its threads."""
UNBOUNDED = {"judged", "deliveries"}
"""Tables that have a row for every event of the last `history.days`; all others grow with rooms, people and keys."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Taken when nothing happens. `rows` by table of ledger.db and crypto.db, `sizes` in bytes by file."""

    hour: float
    events: int
    rss_mb: float
    handles: int
    threads: int
    tasks: int
    objects: int
    names: dict[str, int]
    rows: dict[str, int]
    sizes: dict[str, int]


async def take_sample(process: Measured, counts: Path, state: Path, *, hour: float, events: int) -> Sample:
    """Raises RuntimeError if the daemon does not answer."""
    await asyncio.to_thread(counts.unlink, missing_ok=True)
    process.signal(signal.SIGUSR2)
    for _ in range(1000):
        if await asyncio.to_thread(counts.exists):
            break
        process.check()
        await asyncio.sleep(0.02)
    else:
        raise RuntimeError("the daemon did not count what it holds")
    return await asyncio.to_thread(_read, process, counts, state, hour, events)


def _read(process: Measured, counts: Path, state: Path, hour: float, events: int) -> Sample:
    told: Any = json.loads(counts.read_text())
    rows: dict[str, int] = {}
    for name in ("ledger", "crypto"):
        rows |= _count_rows(state / f"{name}.db")
    return Sample(
        hour=hour,
        events=events,
        rss_mb=process.rss_mb(),
        handles=told["handles"],
        threads=len(os.listdir(f"/proc/{process.pid}/task")),
        tasks=told["tasks"],
        objects=told["objects"],
        names=told["names"],
        rows=rows,
        sizes={file.name: file.stat().st_size for file in sorted(state.glob("*.db*"))},
    )


def _count_rows(file: Path) -> dict[str, int]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        names = [name for (name,) in db.execute(query)]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def grown(first: Sample, last: Sample) -> list[str]:
    """What there is more of, and should not be."""
    return [
        f"{what} grew from {before} to {after}"
        for what, before, after in (
            ("file handles", first.handles, last.handles - SPARE),
            ("tasks", first.tasks, last.tasks),
        )
        if after > before
    ]


def leaks(samples: Sequence[Sample], pruned: Sample, *, open_deliveries: int, rooms: int) -> list[str]:
    """What the counts say that should not be: between the first hour and the last, and after the history was pruned."""
    last = samples[-1]
    found = grown(samples[0], last)
    if last.threads > MOST_THREADS:
        found.append(f"there are {last.threads} threads")
    found.extend(
        f"{table} has {last.rows[table]} rows for {last.events} events"
        for table in UNBOUNDED
        if last.rows[table] > last.events
    )
    if pruned.rows["judged"] > open_deliveries:
        found.append(f"{pruned.rows['judged']} events are remembered for {open_deliveries} open deliveries")
    if pruned.rows["rooms"] > rooms:
        found.append(f"{pruned.rows['rooms']} rooms are remembered, and there are {rooms}")
    return found


def growth(samples: Sequence[Sample]) -> float:
    """RSS at the end over that after the first hour."""
    return samples[-1].rss_mb / samples[0].rss_mb


def write_samples(samples: Sequence[Sample]) -> str:
    """A table in Markdown."""
    lines = [
        "| hour | events | RSS (MiB) | handles | threads | tasks | objects | judged | deliveries | popups"
        " | ledger.db |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in samples:
        rows = " | ".join(f"{each.rows[table]:,}" for table in ("judged", "deliveries", "popups"))
        lines.append(
            f"| {each.hour:g} | {each.events:,} | {each.rss_mb:.1f} | {each.handles} | {each.threads} | {each.tasks} |"
            f" {each.objects:,} | {rows} | {each.sizes['ledger.db'] / 2**20:.1f} MiB |"
        )
    return "\n".join(lines)
