"""Asks the device that was verified for the key of the key backup, and takes it from nobody else.

https://spec.matrix.org/v1.18/client-server-api/#sharing

The device is asked after it signed ours, since it would refuse before. Its answer counts only if it comes from its
Curve25519 and Ed25519 keys, names our request, and fits the key backup.
Tests: test_the_verified_device_is_asked_for_the_backup_key_and_nothing_else, test_any_other_answer_is_not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hmac import compare_digest

import msgspec

from heliograph.core.encryption.values import DeviceKeys, Received
from heliograph.encryption.identity.cross_signing import SigningDevice
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.ports.homeserver import Keys

log = logging.getLogger(__name__)

REQUEST = "m.secret.request"
SEND = "m.secret.send"
_ASKED = "secret request"
"""The vault's name for what is asked of whom: the answer may come after a restart."""
_MAX_SECRET = 200


class _Asked(msgspec.Struct, frozen=True):
    request_id: str
    device_id: str
    curve25519: str
    ed25519: str


class SecretRequest:
    """Requests the backup key, one request at a time. Methods raise ServerError and StorageError."""

    def __init__(self, keys: Keys, vault: SigningDevice, backup: KeyBackup, *, make_id: Callable[[], str]) -> None:
        self._keys = keys
        self._vault = vault
        self._backup = backup
        self._make_id = make_id

    async def ask(self, device: DeviceKeys) -> None:
        """Asks this device, which the user has just verified."""
        asked = _Asked(self._make_id(), device.device_id, device.curve25519, device.ed25519)
        # Before it is sent: the answer may come with the next sync, or after a restart.
        await self._vault.keep_secret(_ASKED, msgspec.json.encode(asked).decode())
        own = self._vault.identity
        content = {
            "name": BACKUP,
            "action": "request",
            "requesting_device_id": own.device_id,
            "request_id": asked.request_id,
        }
        await self._keys.send_to_device(REQUEST, {own.user_id: {device.device_id: content}}, asked.request_id)
        log.info("Asked the verified device for the key of the key backup")

    async def take(self, received: Received) -> bool:
        """Returns True if this was the answer, and its key opens the backup that is in use."""
        text = await self._vault.secret(_ASKED)
        if text is None or received.type != SEND:
            return False
        asked = msgspec.json.decode(text, type=_Asked)
        secret, request_id = received.content.get("secret"), received.content.get("request_id")
        is_from_there = (received.sender, received.sender_key, received.sender_ed25519) == (
            self._vault.identity.user_id,
            asked.curve25519,
            asked.ed25519,
        )
        if not is_from_there or not isinstance(request_id, str) or not isinstance(secret, str):
            log.warning("Passed over a secret that nobody was asked for")
            return False
        # In constant time, as all comparisons of secrets: the request's id is what an answer proves itself by.
        is_ours = compare_digest(request_id.encode(errors="replace"), asked.request_id.encode())
        if not is_ours or len(secret) > _MAX_SECRET:
            log.warning("Passed over a secret that nobody was asked for")
            return False
        if not await self._backup.takes(secret):
            log.warning("The verified device sent a key that is not that of the key backup")
            return False
        await self._backup.keep(secret)
        await self._vault.keep_secret(_ASKED, None)
        log.info("The verified device sent the key of the key backup")
        return True
