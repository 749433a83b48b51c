"""Secret storage: what the user's other clients left on the homeserver, encrypted with the recovery key.

https://spec.matrix.org/v1.18/client-server-api/#secret-storage
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Any, TypeGuard

from heliograph.core.events import Json
from heliograph.encryption.olm.signatures import decode_base64
from heliograph.errors import EXIT_USAGE, UserError
from heliograph.ports.homeserver import Keys

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
MASTER = "m.cross_signing.master"
SELF_SIGNING = "m.cross_signing.self_signing"
BACKUP = "m.megolm_backup.v1"
MOST_ITERATIONS = 10_000_000
"""Clients use 500,000, which takes a quarter of a second. The number comes from the homeserver."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PREFIX = b"\x8b\x01"
_MAX_KEY_TEXT = 200
_WRONG = "It has to be that of this account, as your other client showed it when secret storage was set up."


class SecretStorage:
    """The secrets under the default key. Every method raises ServerError, and UserError for what the user can mend."""

    def __init__(self, keys: Keys, key_id: str, description: Json) -> None:
        self._keys = keys
        self._key_id = key_id
        self._description = description
        self._key = b""

    @classmethod
    async def find(cls, keys: Keys) -> SecretStorage:
        """The storage that is in use, still locked."""
        default = await keys.account_data("m.secret_storage.default_key")
        key_id = (default or {}).get("key")
        description = await keys.account_data(f"m.secret_storage.key.{key_id}") if isinstance(key_id, str) else None
        if not isinstance(key_id, str) or not description:
            raise UserError(
                "This account has no secret storage, so there is no recovery key.",
                "Set up secure backup in your other client, or compare emoji: heliograph verify",
            )
        if description.get("algorithm") != ALGORITHM:
            raise UserError(
                "This account's secret storage is of a kind that Heliograph does not know.",
                "Compare emoji instead: heliograph verify",
            )
        return cls(keys, key_id, description)

    async def unlock_with_recovery_key(self, text: str) -> None:
        await self._unlock(decode_recovery_key(text), "recovery key")

    async def unlock_with_passphrase(self, passphrase: str) -> None:
        key = await asyncio.to_thread(_derive_from_passphrase, passphrase, self._description.get("passphrase"))
        await self._unlock(key, "passphrase")

    async def _unlock(self, key: bytes, what: str) -> None:
        # In a thread, here and below: the cryptography is imported when it is first needed.
        if not await asyncio.to_thread(_fits, key, self._description):
            raise UserError(f"That is not the {what} of this account.", _WRONG)
        self._key = key

    async def read(self, name: str) -> bytes | None:
        """The 32 bytes of a key; None if the storage has none of this name."""
        stored = await self._keys.account_data(name)
        encrypted = (stored or {}).get("encrypted")
        entry = encrypted.get(self._key_id) if isinstance(encrypted, Mapping) else None
        if not isinstance(entry, Mapping):
            return None
        try:
            secret = decode_base64(await asyncio.to_thread(_open, self._key, name, entry))
        except ValueError as error:
            raise UserError(
                f"{name} in this account's secret storage is damaged.",
                "Set up secure backup anew in your other client, or compare emoji: heliograph verify",
            ) from error
        return secret if len(secret) == 32 else None


def decode_recovery_key(text: str) -> bytes:
    """The key that a recovery key stands for, spaces or not. UserError if it is none."""
    number = 0
    letters = "".join(text.split())
    if len(letters) > _MAX_KEY_TEXT:
        raise _no_recovery_key("It is far too long")
    for letter in letters:
        value = _ALPHABET.find(letter)
        if value < 0:
            raise _no_recovery_key("It has letters that recovery keys do not have")
        number = number * 58 + value
    # The prefix begins with no zero byte, so none is lost here.
    raw = number.to_bytes(number.bit_length() // 8 + 1).lstrip(b"\0")
    if len(raw) != 35 or raw[:2] != _PREFIX:
        raise _no_recovery_key("It is too short or too long, or something else")
    # The last byte is the parity of all others (Client-Server API, "Recovery key").
    if reduce(xor, raw):
        raise _no_recovery_key("One of its letters is mistyped")
    return raw[2:34]


def _no_recovery_key(why: str) -> UserError:
    hint = f"{why}. It has twelve groups of four letters, and the first begins with Es."
    return UserError("That is not a recovery key.", hint, exit_code=EXIT_USAGE)


def _derive_from_passphrase(passphrase: str, how: Any) -> bytes:
    if not isinstance(how, Mapping):
        raise UserError(
            "This account's secret storage has no passphrase.",
            "Give the recovery key instead: heliograph verify --recovery-key",
        )
    salt, iterations = how.get("salt"), how.get("iterations")
    is_known = how.get("algorithm") == "m.pbkdf2" and how.get("bits", 256) == 256
    if not is_known or not isinstance(salt, str) or not _is_within(iterations, MOST_ITERATIONS):
        raise UserError(
            "How this account's passphrase becomes a key is not known to Heliograph.",
            "Give the recovery key instead: heliograph verify --recovery-key",
        )
    # Homeserver and terminal may give lone surrogates, which have no UTF-8: those are a wrong passphrase, and no fault.
    secret, grain = passphrase.encode(errors="replace"), salt.encode(errors="replace")
    return hashlib.pbkdf2_hmac("sha512", secret, grain, iterations, 32)


def _is_within(number: object, most: int) -> TypeGuard[int]:
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number <= most


def _fits(key: bytes, description: Json) -> bool:
    if "mac" not in description:
        # Old storages cannot tell before a secret is read.
        return True
    try:
        iv, mac = decode_base64(description.get("iv")), decode_base64(description.get("mac"))
        return hmac.compare_digest(_mac(key, "", _crypt(key, "", iv, bytes(32))), mac)
    except ValueError:
        return False


def _open(key: bytes, name: str, entry: Json) -> str:
    ciphertext, mac, iv = (decode_base64(entry.get(part)) for part in ("ciphertext", "mac", "iv"))
    # Before it is decrypted: AES-CTR alone would turn a changed ciphertext into a changed key.
    if not hmac.compare_digest(_mac(key, name, ciphertext), mac):
        raise ValueError("the MAC does not fit")
    return _crypt(key, name, iv, ciphertext).decode()


def _mac(key: bytes, name: str, ciphertext: bytes) -> bytes:
    return hmac.digest(_derive(key, name)[1], ciphertext, "sha256")


def _crypt(key: bytes, name: str, iv: bytes, text: bytes) -> bytes:
    from Crypto.Cipher import AES

    if len(iv) != 16:
        raise ValueError("the initialization vector has not 16 bytes")
    return bytes(AES.new(_derive(key, name)[0], AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(text))


def _derive(key: bytes, name: str) -> tuple[bytes, bytes]:
    """HKDF-SHA-256 with a salt of zeros: the keys for AES and for HMAC."""
    root = hmac.digest(bytes(32), key, "sha256")
    first = hmac.digest(root, name.encode() + b"\1", "sha256")
    return first, hmac.digest(root, first + name.encode() + b"\2", "sha256")
