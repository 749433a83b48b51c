"""Runs `heliograph` with a heart that wants to beat every millisecond in its event loop, and notes how late it was.

    python heartbeat.py FILE ARGUMENT...

At SIGUSR1 the notes since the last SIGUSR1 go to FILE: `longest_ms` is the longest time between two beats less the
millisecond wanted; `longest_cpu_ms` the most CPU time the loop's thread used between two beats, which leaves out what
other processes took from it; `late` the ten longest; `hops` how often work was handed to a thread of SQLite; `commits`
how many transactions of these wrote, each of which waits for the disk once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

_WANTED_S = 0.001
_new_event_loop = asyncio.events.new_event_loop


class Heart:
    def __init__(self, loop: asyncio.AbstractEventLoop, notes: Path) -> None:
        self._loop = loop
        self._notes = notes
        self._late: list[float] = []
        self._cpu: list[float] = []
        self._counts: Counter[str] = Counter()
        self._begin()

    def start(self) -> None:
        self._loop.add_signal_handler(signal.SIGUSR1, self._write)
        # Loaded by now, as part of the daemon.
        from heliograph.system.sqlite import Database

        _count(Database, "_run", self._counts, "hops")
        for name in ("transaction", "transactions"):
            _count(Database, name, self._counts, "commits")
        self._begin()
        self._loop.call_later(_WANTED_S, self._beat)

    def _begin(self) -> None:
        self._last, self._last_cpu = time.perf_counter(), time.thread_time()

    def _beat(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self._late.append((now - self._last - _WANTED_S) * 1000)
        self._cpu.append((cpu - self._last_cpu) * 1000)
        if len(self._late) > 1000:
            self._late, self._cpu = _longest(self._late), _longest(self._cpu)
        self._last, self._last_cpu = now, cpu
        self._loop.call_later(_WANTED_S, self._beat)

    def _write(self) -> None:
        late, cpu = _longest(self._late), _longest(self._cpu)
        longest = {"longest_ms": max(late, default=0.0), "longest_cpu_ms": max(cpu, default=0.0), "late": late}
        text = json.dumps({**longest, **{name: self._counts[name] for name in ("hops", "commits")}})
        temporary = self._notes.with_suffix(".new")
        temporary.write_text(text)
        os.replace(temporary, self._notes)
        self._late, self._cpu = [], []
        self._counts.clear()
        self._begin()


def _count(owner: type, name: str, counts: Counter[str], what: str) -> None:
    real = getattr(owner, name)

    async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        counts[what] += 1
        return await real(self, *arguments, **options)

    setattr(owner, name, counted)


def _longest(values: list[float]) -> list[float]:
    return sorted(values, reverse=True)[:10]


def main() -> None:
    notes, *arguments = sys.argv[1:]

    def new_event_loop() -> asyncio.AbstractEventLoop:
        loop = _new_event_loop()
        loop.call_soon(Heart(loop, Path(notes)).start)
        return loop

    asyncio.events.new_event_loop = new_event_loop
    sys.argv = ["heliograph", *arguments]
    from heliograph.cli import main as heliograph  # what is imported counts as part of the start

    heliograph()


if __name__ == "__main__":
    main()
