"""Reads a secret from standard input."""

from __future__ import annotations

import sys

from heliograph.errors import EXIT_USAGE, UserError

_MAX_LINE = 16 * 1024


def read_secret_line(kind: str, cure: str) -> str:
    """The first line of standard input, without its line break. `kind` ("password") and `cure` ("Pipe ...") are words
    for the error.

    Raises UserError if there is nothing in the line.
    """
    # Only the line break is cut off: blanks may belong to a password.
    line = sys.stdin.buffer.readline(_MAX_LINE).rstrip(b"\r\n")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise UserError(f"Standard input holds no {kind}.", cure, exit_code=EXIT_USAGE)
    return text
