"""The machine's clocks. What decides by the time is told the time; only what wires and commands read a clock."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Milliseconds since 1970, in UTC."""
    return time.time_ns() // 1_000_000


def boottime() -> float:
    """Seconds since the machine was booted, sleep included. Nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
