"""Python runs this at the start of every program of a test: what Heliograph writes to standard error is copied.

However deep below the test the program was started, and wherever its standard error goes: to a pipe, a terminal or
nowhere. The copy is the file NAME.PID in the folder $LOG_GUARD, where the log guard looks. Its first line is where
standard error leads, so that a log that the guard reads anyway does not count twice.
"""

from __future__ import annotations

import io
import os
import sys

_NAMES = {"run": "daemon", "relay": "relay", "demo": "demo"}
"""Of programs, by their first word. All else is a command."""


class _Copied(io.TextIOWrapper):
    """Standard error, which other programs' text passes uncopied."""

    def write(self, text: str) -> int:
        if "heliograph" in sys.modules:
            _copy(text)
        return super().write(text)


def _copy(text: str) -> None:
    """Never fails: the test may be over, the disk full."""
    # Not when the program began: one that is forked has its own test's environment.
    folder = os.environ.get("LOG_GUARD")
    if folder is None:
        return
    name = _NAMES.get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""), "command")
    try:
        file = os.open(f"{folder}/{name}.{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        if os.fstat(file).st_size == 0:
            os.write(file, os.fsencode(os.readlink("/proc/self/fd/2") + "\n"))
        os.write(file, text.encode(errors="backslashreplace"))
    except OSError:
        pass
    finally:
        os.close(file)


if isinstance(sys.stderr, io.TextIOWrapper):
    sys.stderr = _Copied(
        sys.stderr.buffer,
        encoding=sys.stderr.encoding,
        errors=sys.stderr.errors,
        newline="\n",
        line_buffering=sys.stderr.line_buffering,
        write_through=sys.stderr.write_through,
    )
