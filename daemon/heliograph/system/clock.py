"""The machine's wall clock. What decides by the time is told the time; only what wires and commands read the clock."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Milliseconds since 1970, in UTC."""
    return time.time_ns() // 1_000_000
