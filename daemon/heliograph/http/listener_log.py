"""The log of an HTTP server that strangers reach: it has our own faults, and neither their garbage nor lost sockets."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

EVERY_S = 60.0


def listener_log(name: str) -> logging.Logger:
    """The logger to give aiohttp as `logger`. Requests that cannot be parsed have a line a minute, without their
    contents: aiohttp logs a traceback for each, so that any stranger could fill the disk."""
    log = logging.getLogger(name)
    if not any(isinstance(each, _StrangersFilter) for each in log.filters):
        log.addFilter(_StrangersFilter())
    return log


class _StrangersFilter(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._unparsed = 0
        self._told: float | None = None
        """When the last line was written (s since 1970)."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ConnectionError):
            return False
        return not isinstance(error, HttpProcessingError) or self._tell_of_unparsed(record)

    def _tell_of_unparsed(self, record: logging.LogRecord) -> bool:
        self._unparsed += 1
        # Absolute, since the clock may have been set back.
        if self._told is not None and abs(record.created - self._told) < EVERY_S:
            return False
        record.msg = "Requests that cannot be parsed: %d since the last such line"
        record.args, record.exc_info, record.exc_text = (self._unparsed,), None, None
        record.levelno, record.levelname = logging.INFO, "INFO"
        self._told, self._unparsed = record.created, 0
        return True
