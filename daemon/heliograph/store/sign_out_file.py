"""Whether the homeserver has ended an account's device: signed_out.json in the account's folder.

The daemon writes it, so that every command knows it without asking anybody. It holds for the device that it names
alone, and goes with the next sign-in or the next answer that the device gets after all.
"""

from __future__ import annotations

import contextlib
import logging
from enum import Enum
from pathlib import Path

import msgspec

from heliograph.accounts import Account, state_folder, write_private_file
from heliograph.errors import StateError

log = logging.getLogger(__name__)

_NAME = "signed_out.json"
_LARGEST = 4096


class SignOut(Enum):
    """How the device ended."""

    SOFTLY = "softly"
    """It is kept, with its keys, and waits for a new sign-in."""
    FOR_GOOD = "for good"


class _Record(msgspec.Struct):
    device_id: str
    how: SignOut


def note_sign_out(account: Account, how: SignOut) -> None:
    """A disk that does not take it loses no more than the note."""
    record = msgspec.json.encode(_Record(account.device_id, how))
    try:
        write_private_file(_file(account.user_id), record)
    except StateError as error:
        log.warning("That %s is signed out cannot be kept: %s", account.user_id, error)


def forget_sign_out(user_id: str) -> None:
    """It is signed in, or signs in anew."""
    with contextlib.suppress(OSError):
        _file(user_id).unlink()


def sign_out_of(account: Account) -> SignOut | None:
    """None: as far as is known it is signed in."""
    try:
        with _file(account.user_id).open("rb") as stream:
            record = msgspec.json.decode(stream.read(_LARGEST), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record.how if record.device_id == account.device_id else None


def _file(user_id: str) -> Path:
    return state_folder(user_id) / _NAME
