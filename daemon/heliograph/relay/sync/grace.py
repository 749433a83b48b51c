"""How long a waiting /sync may still be answered by itself after a push for its device came.

In one process of Synapse the two are within 2 ms of one another. A homeserver that is split into workers pushes from
one process and answers from another, which may be busy: cutting the request short there would cost a second one, whose
answer lacks the event as well. So the lag is measured, and judged as RFC 6298 judges round trips: its smoothed value
and four times its deviation, doubled with each request that was cut short in vain.
"""

from __future__ import annotations

LEAST_S = 0.03
MOST_S = 1.0


class Grace:
    """The lag between a push and the answer to /sync, over all devices of one homeserver."""

    def __init__(self) -> None:
        self._smoothed_s = 0.0
        self._deviation_s = 0.0
        self._factor = 1

    @property
    def seconds(self) -> float:
        """How long to wait, from LEAST_S to MOST_S."""
        return min(max(self._smoothed_s + 4 * self._deviation_s, LEAST_S) * self._factor, MOST_S)

    def measure(self, lag_s: float) -> None:
        """An answer came so many seconds after the push."""
        self._deviation_s += (abs(lag_s - self._smoothed_s) - self._deviation_s) / 4
        self._smoothed_s += (lag_s - self._smoothed_s) / 8
        self._factor = 1

    def note_late(self) -> None:
        """The homeserver had not got so far when a request was cut short."""
        # Bounded by MOST_S, and not beyond: one answer brings it back.
        if self.seconds < MOST_S:
            self._factor *= 2
