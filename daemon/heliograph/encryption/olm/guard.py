"""The guard: whatever hostile input or a damaged row makes vodozemac, matrix-nio or our own code raise becomes one
error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from heliograph.encryption.olm.texts import MalformedContent


@contextmanager
def guarded() -> Iterator[None]:
    """Raises MalformedContent in place of whatever the block raises. Only the disk's errors and the interpreter's own
    pass."""
    try:
        yield
    except (MalformedContent, sqlite3.Error):
        raise
    except Exception as error:  # noqa: BLE001 - the one place: the list of what they raise has holes
        raise MalformedContent(f"it is broken ({type(error).__name__})") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # vodozemac's; not an Exception, and of no importable type
            raise
        raise MalformedContent("vodozemac gave up on it") from None
