"""Finds the signed-in accounts, and names the files that belong to each.

The folders are those of the XDG Base Directory Specification, with these in each:

state   heliograph/<user id, percent-encoded>/   mode 0700: account.json, ledger, crypto.db, and secret.json if chosen
config  heliograph/config.toml
cache   heliograph/
"""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec
import platformdirs

from heliograph.core.ids import UserId, is_user_id
from heliograph.errors import EXIT_USAGE, StateError, UserError
from heliograph.system.whole_file import replace_file

Secrets = Literal["keyring", "file"]

_APP = "heliograph"
_ACCOUNT_FILE = "account.json"
_MAX_ACCOUNT_FILE = 64 * 1024
_USER_ID = re.compile(r"@[^:\s]+:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
"""https://spec.matrix.org/v1.16/appendices/#user-identifiers, with the localparts that older servers allowed."""
_MAX_USER_ID = 255
"""In bytes of UTF-8, by the same section of the specification."""


class OAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device of OAuth 2.0 was signed in, in the words of the auth server's metadata
    (https://spec.matrix.org/v1.16/client-server-api/#server-metadata-discovery). The tokens lie elsewhere."""

    issuer: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str
    account_management_uri: str = ""
    """The web page of the user's account; "": the server names none."""
    account_management_actions: tuple[str, ...] = ()
    """What that page can be asked to show (MSC4191)."""


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signed-in device of a user, as account.json keeps this. Its secrets live elsewhere (`secrets`)."""

    user_id: UserId
    device_id: str
    homeserver: str
    """Base URL, without a slash at its end."""
    secrets: Secrets
    """Where the access token was put at login."""
    pushkey: str
    """Names our pusher at the homeserver. Random, and of this device alone: another user of that homeserver who
    registers a pusher with the same key would delete ours (`append` of POST /pushers/set in the Client-Server API)."""
    oauth: OAuth | None = None
    """None: signed in by one of the older ways (/login), with an access token that lasts."""


def state_root() -> Path:
    """The folder that holds one folder for each account."""
    return platformdirs.user_state_path(_APP, appauthor=False)


def config_file() -> Path:
    """The path of config.toml, whether that file exists or not."""
    return platformdirs.user_config_path(_APP, appauthor=False) / "config.toml"


def sounds_folder() -> Path:
    """The folder beside config.toml in which the user may put sounds, whether it exists or not."""
    return config_file().with_name("sounds")


def cache_root() -> Path:
    """The folder for files that the user may delete at any time."""
    return platformdirs.user_cache_path(_APP, appauthor=False)


def state_folder(user_id: str) -> Path:
    """The folder of this account, whether it exists or not. A user id cannot lead out of `state_root`."""
    # Percent-encoded, since a localpart of an old server may hold slashes and dots.
    return state_root() / quote(user_id, safe="@:", errors="replace")


def device_name() -> str:
    """The name that the user's other clients show for this device."""
    return f"Heliograph on {platform.node() or 'Linux'}"


def check_user_id(text: str) -> UserId:
    """Returns `text` if it is a user id (`@localpart:server`). Raises UserError for all else."""
    is_short = len(text.encode(errors="replace")) <= _MAX_USER_ID
    if not (is_short and text.isprintable() and _USER_ID.fullmatch(text) and is_user_id(text)):
        raise UserError(
            f"{text[:_MAX_USER_ID]!r} is not a Matrix user id.",
            "Write it in full, like @alice:example.org.",
            exit_code=EXIT_USAGE,
        )
    return text


def list_accounts() -> list[Account]:
    """All accounts that have a state folder, in the order of their user ids. Raises StateError if one is unreadable."""
    try:
        files = sorted(state_root().glob(f"*/{_ACCOUNT_FILE}"))
    except OSError as error:
        raise _unusable(state_root(), error) from error
    return [_read(file) for file in files]


def find_account(user_id: str) -> Account | None:
    """The account of this user, or None if there is none. Raises StateError if it cannot be read."""
    file = state_folder(user_id) / _ACCOUNT_FILE
    try:
        # Raises where a folder on the way may not be looked into: that is not the same as no account.
        is_there = file.exists()
    except OSError as error:
        raise _unusable(file, error) from error
    return _read(file) if is_there else None


def save_account(account: Account) -> None:
    """Writes account.json whole or not at all. Raises StateError."""
    text = msgspec.json.format(msgspec.json.encode(account), indent=2)
    write_private_file(state_folder(account.user_id) / _ACCOUNT_FILE, text + b"\n")


def remove_account(user_id: str) -> None:
    """Deletes the account's whole folder. Raises StateError if any file of it remains."""
    folder = state_folder(user_id)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(folder, error) from error


def make_private_folder(folder: Path) -> None:
    """Creates the folder if there is none, and lets only its owner look into it. Raises StateError."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        # A folder that was there before keeps the mode it had: restored from a backup, it may be open to all.
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise _unusable(folder, error) from error


def write_private_file(file: Path, content: bytes) -> None:
    """Replaces `file` by one with this content that only its owner can read: whole or not at all, even if the power
    fails.

    Raises StateError.
    """
    make_private_folder(file.parent)
    try:
        replace_file(file, content)
    except OSError as error:
        raise _unusable(file, error) from error


def _read(file: Path) -> Account:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_ACCOUNT_FILE)
        account = msgspec.json.decode(text, type=Account)
    except OSError as error:
        raise _unusable(file, error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"{file} cannot be read: {error}.", _start_over(file.parent)) from error
    # A folder that was copied for another account would sign that one in with a foreign device.
    if not is_user_id(account.user_id) or state_folder(account.user_id) != file.parent:
        raise StateError(f"{file} is the file of another account ({account.user_id!r}).", _start_over(file.parent))
    return account


def _start_over(folder: Path) -> str:
    return f"Put it right, or delete the folder {folder} and log in again."


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be used: {error.strerror or error}.",
        "Make sure that it is yours, that you may write there, and that the disk is not full.",
    )
