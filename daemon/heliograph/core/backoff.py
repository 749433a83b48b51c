"""How long to wait before the homeserver is asked again."""

from __future__ import annotations

FIRST_DELAY_S = 1.0
LAST_DELAY_S = 60.0
LONGEST_ASKED_S = 3600.0


def reconnect_delay(failures: int, jitter: float, asked: float | None = None) -> float:
    """Seconds: 1, 2, 4 .. 60 by the count of failures in a row, give or take a quarter by `jitter` in [0, 1).

    What the server asked for (Retry-After, retry_after_ms) is waited in full, up to an hour.
    """
    delay = min(FIRST_DELAY_S * 2.0 ** min(failures - 1, 16), LAST_DELAY_S) * (0.75 + jitter / 2)
    return max(delay, min(asked, LONGEST_ASKED_S)) if asked is not None else delay
