"""Keeps one line of the program from filling the log, however often strangers cause it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

MOST = 60
WINDOW_S = 60.0


@dataclass(slots=True)
class _Line:
    """A line of the source: how often it was written since `began` (s since 1970), and how often it was left out."""

    began: float
    written: int = 0
    left_out: int = 0


class FloodFilter(logging.Filter):
    """Lets `most` records of each line of the source pass in a minute. The first one after a flood tells how many were
    left out. Time is that of the records."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most
        self._lines: dict[tuple[str, int], _Line] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # As many as there are lines in the source that log.
        line = self._lines.setdefault((record.pathname, record.lineno), _Line(record.created))
        # Absolute, since the clock may have been set back.
        if abs(record.created - line.began) >= WINDOW_S:
            line.began, line.written = record.created, 0
        if line.written >= self._most:
            line.left_out += 1
            return False
        line.written += 1
        if line.left_out:
            record.msg, record.args = f"{record.getMessage()} ({line.left_out} more like this were left out)", ()
            line.left_out = 0
        return True
