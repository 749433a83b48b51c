"""Matrix-nio's Olm machine, with our store under it and its own handling of events taken out.

It decrypts and checks to-device messages, keeps the account, begins sessions. What a message then means, and all that
concerns room keys, devices and requests, is ours: matrix-nio 0.26 drops keys when it is killed, never replenishes them
once there are none, wants the deprecated `sender_key`, raises for a stranger's garbage, and loads everything at start.
The version is pinned, and tests/edges/encryption/test_matrix_nio.py tries each private part that is used.
Test: test_the_machine_has_the_methods_that_are_called_or_replaced.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from nio.crypto import Olm  # type: ignore[import-untyped]

from heliograph.core.encryption.values import DeviceKeys
from heliograph.core.ids import UserId
from heliograph.encryption.olm.losses import Losses
from heliograph.encryption.olm.nio_store import OlmStore

# It logs what strangers send, line breaks included.
logging.getLogger("nio").setLevel(logging.CRITICAL + 1)


class OlmMachine(Olm):  # type: ignore[misc]
    """The Olm machine of one device. Lives in the database's thread, within its transactions."""

    def __init__(
        self, db: sqlite3.Connection, user_id: UserId, device_id: str, pickle_key: str, losses: Losses
    ) -> None:
        """Makes the keys if there are none. Raises what vodozemac raises if they cannot be read with this key."""
        super().__init__(user_id, device_id, OlmStore(db, user_id, device_id, pickle_key, losses))
        # A new account is on disk before anybody can see its keys.
        self.store.flush()
        self.curve25519: str = self.account.identity_keys["curve25519"]
        self.ed25519: str = self.account.identity_keys["ed25519"]

    @property
    def vodozemac_account(self) -> Any:
        """What matrix-nio hides: fallback keys are found only there."""
        return self.account._account

    def flush(self) -> None:
        """Writes the account, if it changed: after every use of a one-time key, before every upload."""
        self.store.flush()

    def encrypt(self, device: DeviceKeys, type_: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """The content of an `m.room.encrypted` to-device event; None without a session."""
        session = self.session_store.get(device.curve25519)
        if session is None:
            return None
        sealed: dict[str, Any] = self._olm_encrypt(session, _Recipient(device), type_, content)
        return sealed

    def _handle_olm_event(self, sender: str, sender_key: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload, whose sender and recipient are checked, goes back to who asked for the decryption."""
        return payload

    def _mark_device_for_unwedging(self, sender: str, sender_key: str) -> None:
        """Other devices are not tracked: a broken session is mended when that device starts a new one."""


class _Recipient:
    """What `_olm_encrypt` reads of `nio.crypto.OlmDevice`."""

    def __init__(self, device: DeviceKeys) -> None:
        self.user_id = device.user_id
        self.id = device.device_id
        self.ed25519 = device.ed25519
        self.curve25519 = device.curve25519
