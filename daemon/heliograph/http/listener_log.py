"""The log of an HTTP server that strangers reach: it has our own faults, and neither their garbage nor lost sockets."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError


def listener_log(name: str) -> logging.Logger:
    """The logger to give aiohttp as `logger`. Without its filter, each request that cannot be parsed logs a traceback,
    so that any stranger could fill the disk."""
    log = logging.getLogger(name)
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)
