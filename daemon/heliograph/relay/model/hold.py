"""Whether a push waits, goes out, or is no longer needed. Times are milliseconds since 1970.

arrives -> waits for an acknowledgement, if a direct device may still give one -> due -> tried until it is taken
   |                  |                                                          |
   +------------------+---- cancelled, each with a Why --------------------------+---- given up, with a Why
"""

from __future__ import annotations

LONGEST_HOLD_MS = 60_000
"""No push waits longer for an acknowledgement, whatever the clocks did."""
FIRST_DELAY_MS = 1_000
LAST_DELAY_MS = 3_600_000
LIFETIME_MS = 24 * 3_600_000
"""A push that nobody took for so long is given up, as Synapse does."""
REMEMBERED_MS = 2 * LIFETIME_MS
"""How long it is known what became of a push. Homeservers repeat one for a day at most."""
ASIDE_AFTER = 3
"""A push that failed so often, at 0, 1 and 3 s, steps aside: those behind it go first. It is tried again like any
other, since nobody knows whether the push is at fault or its gateway."""
SOMETHING = -1
"""What the phone shows may be any number: an attempt was made, and its outcome is not known."""


def due_ms(received_ms: int, hold_until_ms: int | None) -> int:
    """When a push that just came may go out."""
    if hold_until_ms is None:
        return received_ms
    # Bounded on both sides, since the clock may have been set between the device's last sync and now.
    return min(max(hold_until_ms, received_ms), received_ms + LONGEST_HOLD_MS)


def wait_ms(now_ms: int, due_ms: int, retry_ms: int) -> int:
    """For how many ms the first push of a queue still has to wait; 0: send it.

    `retry_ms` is when its gateway may be tried again.
    """
    return max(due_ms - now_ms, retry_ms - now_ms, 0)


def is_expired(now_ms: int, received_ms: int) -> bool:
    """Whether a push is too old to be sent."""
    return now_ms - received_ms >= LIFETIME_MS


def retry_delay_ms(failures: int, asked_s: float | None) -> int:
    """1 s doubling to 1 h by the failures in a row. Retry-After is waited in full, up to an hour."""
    # The shift is bounded, since a gateway that is gone for good fails thousands of times.
    delay = min(FIRST_DELAY_MS << min(max(failures, 1) - 1, 32), LAST_DELAY_MS)
    if asked_s is None:
        return delay
    return max(delay, min(int(asked_s * 1000), LAST_DELAY_MS))


def clears(shown: int | None, unread: int) -> bool:
    """Whether a clearing push (a badge of `unread`) has anything to clear on a phone that shows `shown`.

    `shown` is the unread count of the last push that its gateway took; None: nothing ever went out, SOMETHING: it is
    not known from the moment a push is tried. A higher count clears nothing: the messages it counts were told
    elsewhere, and would be news to this phone. Test: test_a_count_clears_what_it_is_less_than.
    """
    if shown is None:
        return False
    return shown == SOMETHING or unread < shown
