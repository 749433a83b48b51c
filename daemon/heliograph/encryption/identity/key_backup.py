"""The key backup: room keys that the user's other clients left at the homeserver, fetched one by one.

https://spec.matrix.org/v1.18/client-server-api/#server-side-key-backups
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import vodozemac

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Json
from heliograph.encryption.identity.cross_signing import SigningDevice
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.encryption.olm.signatures import decode_base64, encode
from heliograph.ports.homeserver import Keys

log = logging.getLogger(__name__)

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
VERSION_GOOD_MS = 10 * 60_000
"""How long what the homeserver said of its backup is believed."""


class KeyBackup:
    """Opens what is in the backup with the key that another client gave us. Anyone who has the public key may have put
    it there, so it proves nothing about senders. Methods raise ServerError and StorageError."""

    def __init__(self, keys: Keys, vault: SigningDevice, *, clock: Callable[[], int]) -> None:
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._version = ""
        self._secret: str | None = None
        self._decryption: vodozemac.PkDecryption | None = None
        self._asked_ms: int | None = None

    async def fetch(self, key: RoomKey) -> Json | None:
        """A room key for `Machine.import_room_key`; None if the backup has it not, or cannot be opened."""
        decryption = await self._open()
        if decryption is None:
            return None
        backed_up = await self._keys.backed_up_key(self._version, key.room_id, key.session_id)
        return None if backed_up is None else _decrypt(decryption, backed_up)

    async def takes(self, secret: str) -> bool:
        """Whether this is the private key of the backup that is in use."""
        version = await self._keys.backup_version()
        return version is not None and version.algorithm == ALGORITHM and _fits(secret, version.auth_data)

    async def keep(self, secret: str) -> None:
        """Use this private key from now on."""
        await self._vault.keep_secret(BACKUP, secret)
        self._asked_ms = None

    async def _open(self) -> vodozemac.PkDecryption | None:
        now, secret = self._clock(), await self._vault.secret(BACKUP)
        is_fresh = self._asked_ms is not None and 0 <= now - self._asked_ms < VERSION_GOOD_MS
        if secret is None:
            return None
        # Also None while fresh: a backup that does not fit is not asked for at each message.
        if is_fresh and secret == self._secret:
            return self._decryption
        version = await self._keys.backup_version()
        self._asked_ms, self._secret, self._decryption = now, secret, None
        # The user may have made a new backup since: the old key opens nothing in it.
        if version is None or version.algorithm != ALGORITHM or not _fits(secret, version.auth_data):
            log.info("The key backup is not one that this device has the key of")
            return None
        self._version = version.version
        self._decryption = vodozemac.PkDecryption.from_key(
            vodozemac.Curve25519SecretKey.from_bytes(decode_base64(secret))
        )
        return self._decryption


def _fits(secret: str, auth_data: Json) -> bool:
    try:
        raw = decode_base64(secret)
        if len(raw) != 32:
            return False
        public_key = vodozemac.Curve25519SecretKey.from_bytes(raw).public_key().to_base64()
        return public_key == encode(decode_base64(auth_data.get("public_key")))
    except ValueError:
        return False


def _decrypt(decryption: vodozemac.PkDecryption, backed_up: Json) -> dict[str, Any] | None:
    data = backed_up.get("session_data")
    if not isinstance(data, Mapping):
        return None
    try:
        message = vodozemac.Message.from_base64(*(str(data.get(part)) for part in ("ciphertext", "mac", "ephemeral")))
        content = msgspec.json.decode(decryption.decrypt(message))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
