"""The clock of a daemon under test, which its test sets: two numbers in a file that both have mapped.

The monotonic clock stands still while the machine sleeps, the wall clock does not. Both only add to the real ones. The
soak steps them only while all threads of the daemon sleep, so that no deadline of a call passes that would not have.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_OFFSETS = struct.Struct("=qq")


class SteppedClock:
    """Offsets in nanoseconds, shared through `file`."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), _OFFSETS.size)

    @classmethod
    def create(cls, file: Path) -> SteppedClock:
        file.write_bytes(bytes(_OFFSETS.size))
        return cls(file)

    @property
    def monotonic_ns(self) -> int:
        return int(_OFFSETS.unpack_from(self._map)[0])

    @property
    def wall_ns(self) -> int:
        return int(_OFFSETS.unpack_from(self._map)[1])

    def step(self, seconds: float, *, is_asleep: bool = False) -> None:
        """This much time passed."""
        step = round(seconds * 1e9)
        _OFFSETS.pack_into(self._map, 0, self.monotonic_ns + (0 if is_asleep else step), self.wall_ns + step)

    def close(self) -> None:
        self._map.close()
