"""Keeps whether the homeserver has signed an account's device out, in signed_out.json in the account's folder.

The daemon writes this file, so that each command knows of the sign-out without asking the homeserver. The file counts
only for the device that it names. The next sign-in deletes it, and so does an answer that the device gets after all.
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
    """How the homeserver signed the device out (`soft_logout`)."""

    SOFTLY = "softly"
    """The device is kept, with its keys, and waits for a new sign-in."""
    FOR_GOOD = "for good"
    """The device is gone."""


class _Record(msgspec.Struct):
    device_id: str
    how: SignOut


def note_sign_out(account: Account, how: SignOut) -> None:
    """Notes that the device of this account is signed out. If the disk does not take the file, only commands lose: they
    will say that the account is signed in."""
    record = msgspec.json.encode(_Record(account.device_id, how))
    try:
        write_private_file(_file(account.user_id), record)
    except StateError as error:
        log.warning("That %s is signed out cannot be kept: %s", account.user_id, error)


def forget_sign_out(user_id: str) -> None:
    """Deletes the note, since the device is signed in, or signs in anew."""
    with contextlib.suppress(OSError):
        _file(user_id).unlink()


def sign_out_of(account: Account) -> SignOut | None:
    """How the account's device was signed out; None: it is signed in, as far as is known here."""
    try:
        with _file(account.user_id).open("rb") as stream:
            record = msgspec.json.decode(stream.read(_LARGEST), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record.how if record.device_id == account.device_id else None


def _file(user_id: str) -> Path:
    return state_folder(user_id) / _NAME
