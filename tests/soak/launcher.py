"""Runs `heliograph run` by a clock that the soak sets, and counts what it holds when asked.

    launcher.py CLOCK COUNTS

SIGUSR1: the clock was set, look what is due. SIGUSR2: write to COUNTS (JSON) how many tasks, objects and file handles
there are; the daemon closes its list of handles to everybody else, its own user included.
It is the test's own program: the daemon knows nothing of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from soak.clock import SteppedClock


def set_clock(clock: SteppedClock) -> None:
    """For everything imported from now on, and for asyncio, which asks the module each time."""
    monotonic_ns, time_ns = time.monotonic_ns, time.time_ns
    time.monotonic_ns = lambda: monotonic_ns() + clock.monotonic_ns
    time.monotonic = lambda: time.monotonic_ns() / 1e9
    time.time_ns = lambda: time_ns() + clock.wall_ns
    # Libraries ask it, too, and shall hear the same.
    setattr(time, "time", lambda: time.time_ns() / 1e9)  # noqa: B010


class Counts:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def write(self, number: int, frame: FrameType | None) -> None:
        gc.collect()
        tasks = asyncio.all_tasks(self._loop) if self._loop is not None else set()
        names = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks)
        handles = len(os.listdir("/proc/self/fd")) - 1  # that of the listing
        told = {"tasks": len(tasks), "names": names, "objects": len(gc.get_objects()), "handles": handles}
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(told))
        os.replace(temporary, self._file)


def main() -> None:
    clock, counts = SteppedClock(Path(sys.argv[1])), Counts(Path(sys.argv[2]))
    set_clock(clock)
    # Any signal with a handler wakes the event loop, which then sees what is due.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGUSR2, counts.write)
    new_event_loop = asyncio.events.new_event_loop

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        counts.watch(loop)
        return loop

    asyncio.events.new_event_loop = new_loop
    from heliograph.cli import main as heliograph

    sys.argv = ["heliograph", "run"]
    heliograph()


if __name__ == "__main__":
    main()
