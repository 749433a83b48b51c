"""Keeps the tokens of an account of OAuth 2.0 in its folder, sealed under a key that is elsewhere.

Every renewal changes both tokens, and a keyring may be locked by then, a credential of systemd is read-only. So what
changes lies in a file, and what the file is sealed with lies with the secrets and is written once, at login.
"""

from __future__ import annotations

import contextlib
import os
import stat
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from Crypto.Random import get_random_bytes

from heliograph.core.oauth.token_answer import TokenGrant
from heliograph.errors import EXIT_NEEDS_LOGIN, StateError, UserError
from heliograph.secrets.token_lock import hold_lock
from heliograph.system.whole_file import replace_file

FILE_NAME, LOCK_NAME = "tokens", "tokens.lock"
LOCK_S = 75.0
"""Whoever holds the lock may be asking the token endpoint, for a minute at most."""

_MAX_FILE = 64 * 1024
_NONCE, _TAG = 12, 16


class KeptTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a device, as the file keeps them."""

    access_token: str
    refresh_token: str
    """"": the server gave none."""
    life_s: float | None
    """How long the access token lives from `born_ms` on, in seconds; None: the server did not say."""
    born_ms: int
    """When it was asked for, in milliseconds since 1970, by the clock of then."""

    def __repr__(self) -> str:
        # The one that msgspec makes holds the tokens, which would end up in logs and tracebacks.
        return "KeptTokens(...)"


def keep_grant(grant: TokenGrant, born_ms: int, *, earlier_refresh_token: str = "") -> KeptTokens:
    """What is kept of a grant that was asked for at `born_ms`. A grant without a refresh token leaves the earlier
    one."""
    return KeptTokens(
        access_token=grant.access_token,
        refresh_token=grant.refresh_token or earlier_refresh_token,
        life_s=grant.expires_in_s,
        born_ms=born_ms,
    )


class TokenFile:
    """The file `tokens` in the account's folder: AES-GCM, under a key that HKDF (RFC 5869) makes of the pickle key."""

    def __init__(self, folder: Path, user_id: str, pickle_key: str) -> None:
        self._folder = folder
        self._user_id = user_id
        self._key = HKDF(pickle_key.encode(), 32, b"", SHA256, context=f"heliograph tokens of {user_id}".encode())

    def locked(self, within_s: float = LOCK_S) -> AbstractAsyncContextManager[None]:
        """Holds the lock under which tokens are renewed and replaced, of all processes alone. Raises Unreachable if
        another one keeps it."""
        return hold_lock(self._folder / LOCK_NAME, within_s)

    def load(self) -> KeptTokens | None:
        """The tokens; None: there are none. Raises UserError if the file cannot be read, or is not of this account and
        pickle key."""
        sealed = _read(self._folder / FILE_NAME)
        if sealed is None:
            return None
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=sealed[:_NONCE].ljust(_NONCE), mac_len=_TAG)
        with contextlib.suppress(ValueError, msgspec.MsgspecError):
            text = cipher.decrypt_and_verify(sealed[_NONCE + _TAG :], sealed[_NONCE : _NONCE + _TAG])
            return msgspec.json.decode(text, type=KeptTokens)
        raise UserError(
            f"The tokens of {self._user_id} in {self._folder / FILE_NAME} cannot be opened with the account's key.",
            f"Log in again: heliograph login {self._user_id}",
            exit_code=EXIT_NEEDS_LOGIN,
        )

    def save(self, tokens: KeptTokens) -> None:
        """Replaces the tokens, whole or not at all; they are on the disk when this returns. For whoever holds the lock.
        Raises StateError."""
        nonce = get_random_bytes(_NONCE)
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        sealed, tag = cipher.encrypt_and_digest(msgspec.json.encode(tokens))
        try:
            # Not `write_private_file`: the folder of an account that was removed meanwhile must not come back.
            replace_file(self._folder / FILE_NAME, nonce + tag + sealed)
            self._remove_left_over()
        except OSError as error:
            raise _unusable(self._folder / FILE_NAME, error) from error

    def _remove_left_over(self) -> None:
        """Removes what processes left behind that were killed while they wrote: under the lock nobody else writes."""
        for path in self._folder.glob(f".{FILE_NAME}.*.new"):
            path.unlink(missing_ok=True)


def _read(file: Path) -> bytes | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(file, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StateError(f"{file} is not a regular file.", "Remove it, and log in again.")
        return os.read(descriptor, _MAX_FILE)
    except OSError as error:
        raise _unusable(file, error) from error
    finally:
        os.close(descriptor)


def _unusable(file: Path, error: OSError) -> StateError:
    return StateError(
        f"{file} cannot be used: {error.strerror or error}.",
        "Make sure that it is yours, that you may write there, and that the disk is not full.",
    )
