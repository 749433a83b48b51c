"""Explains a failure to the user in two lines: what went wrong, and what to do."""

from __future__ import annotations

import os
from typing import TextIO

from heliograph.core.text.clean import clean_line
from heliograph.errors import (
    EXIT_FAILED,
    AccountLocked,
    BadAnswer,
    HeliographError,
    RateLimited,
    SecretsLocked,
    ServerError,
    StorageError,
    TokenRefused,
    Unreachable,
    UserError,
)
from heliograph.system.logs import is_journal, scrub

_LIMIT = 1000
_CONNECTION = "Check your connection, and run this again."
_LATER = "Run this again later."
_REFUSED = (
    "Ask whoever runs the homeserver to unlock the account. If you removed this device, sign in again: heliograph login"
)


def explain_failure(error: HeliographError, stream: TextIO) -> int:
    """Writes what is wrong and what to do about it. Returns the exit code."""
    title, hint, exit_code = _words(error)
    # The journal's priority for an error.
    start = "<3>" if is_journal(stream) else ""
    for label, text in (("Error", title), ("Try", hint)):
        # A hint may begin with "Try" itself. Errors quote servers: tokens and control characters are taken out here.
        stream.write(f"{start}{label}: {scrub(clean_line(text, _LIMIT)).removeprefix(f'{label} ')}\n")
    stream.flush()
    return exit_code


def explain_disk(error: OSError, stream: TextIO) -> int:
    """Explains an OSError of a file or of an output in the same way. Returns the exit code."""
    what = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "The output"
    title = f"{what} cannot be used: {error.strerror or type(error).__name__}."
    hint = "Make sure that the disk is there and not full, and that you may use it; then run this again."
    return explain_failure(UserError(title, hint), stream)


def _words(error: HeliographError) -> tuple[str, str, int]:
    # Special errors stand before ServerError, of which most are kinds.
    match error:
        case UserError():
            return error.title, error.hint, error.exit_code
        case SecretsLocked():
            return f"The keyring cannot be read: {error}.", "Unlock it, and run this again.", EXIT_FAILED
        case StorageError():
            return f"The disk did not take it: {error}.", "Make room, and run this again.", EXIT_FAILED
        case RateLimited():
            wait = f"{max(error.after, 1):.0f} s" if error.after else "some minutes"
            return "The homeserver has had too many requests lately.", f"Wait {wait}, and run this again.", EXIT_FAILED
        case TokenRefused():
            return f"The homeserver does not serve this device: {error}.", _REFUSED, EXIT_FAILED
        case AccountLocked():
            return "The account is locked by the homeserver.", "Ask whoever runs it to unlock the account.", EXIT_FAILED
        case BadAnswer():
            return f"What answers is not a homeserver in order: it {error}.", _LATER, EXIT_FAILED
        case Unreachable():
            return f"The homeserver cannot be reached: {error}.", _CONNECTION, EXIT_FAILED
        case ServerError():
            return f"The homeserver did not do it: {error}.", _LATER, EXIT_FAILED
    return f"{error}.", _LATER, EXIT_FAILED
