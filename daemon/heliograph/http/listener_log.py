"""The log of an HTTP server that strangers reach: faults of ours are in it, and not what they send or that they go."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError


def listener_log(name: str) -> logging.Logger:
    """For aiohttp's `logger`, which otherwise gets a traceback for each request that cannot be parsed."""
    log = logging.getLogger(name)
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)
