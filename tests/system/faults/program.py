"""Runs `heliograph run` with a wall clock that the test sets: milliseconds beyond the machine's, in the file named.

    program.py FILE STATE_HOME

It is the test's own program: the daemon knows nothing of it. Linux has namespaces for the monotonic clocks alone.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path


class SetClock:
    """The offset, as whoever runs the daemon writes it: eight bytes in a file."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(8))
        with file.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), 8)

    @property
    def offset_ms(self) -> int:
        return int(struct.unpack("<q", self._memory[:])[0])

    @offset_ms.setter
    def offset_ms(self, offset_ms: int) -> None:
        self._memory[:] = struct.pack("<q", offset_ms)

    def shift(self, clock: Callable[[], int]) -> Callable[[], int]:
        """A clock of nanoseconds that is off by that."""
        return lambda: clock() + self.offset_ms * 1_000_000


def main() -> None:
    clock = SetClock(Path(sys.argv[1]))
    time.time_ns = clock.shift(time.time_ns)
    time.time = lambda: time.time_ns() / 1e9  # noqa: TID251 this is where it is set
    os.environ["XDG_STATE_HOME"] = sys.argv[2]
    from heliograph.cli import main as heliograph

    sys.argv = ["heliograph", "run"]
    heliograph()


if __name__ == "__main__":
    main()
