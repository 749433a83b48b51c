"""What the machine does within one transaction. Importing this loads the cryptography."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from nio.crypto import InboundGroupSession  # type: ignore[import-untyped]

from heliograph.core.encryption.values import MEGOLM, Clear, DeviceKeys, Identity, KeyUpload, Locked, RoomKey, Taken
from heliograph.core.events import Event, Json
from heliograph.core.ids import UserId
from heliograph.encryption.olm import decryption, sealing, uploads
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.losses import Losses
from heliograph.encryption.olm.nio_machine import OlmMachine
from heliograph.encryption.olm.outbound import OutboundKeys
from heliograph.encryption.olm.receiving import Receiver
from heliograph.encryption.olm.room_keys import RoomKeys
from heliograph.encryption.olm.texts import MalformedContent, key, table, text
from heliograph.encryption.olm.vault import Vault


class UnreadableKeys(Exception):
    """The account is not one that this pickle key wrote."""


class Engine:
    """All of one device that is in memory. Reads and writes over the connection of the transaction under way."""

    def __init__(
        self, db: sqlite3.Connection, user_id: UserId, device_id: str, pickle_key: str, losses: Losses
    ) -> None:
        try:
            with guarded():
                self._olm = OlmMachine(db, user_id, device_id, pickle_key, losses)
        except MalformedContent as error:
            raise UnreadableKeys from error
        self._db = db
        self._room_keys = RoomKeys(db, pickle_key, losses)
        self.outbound = OutboundKeys(db, self._olm, self._room_keys)
        self.vault = Vault(db, pickle_key, losses)
        self.identity = Identity(user_id, device_id, self._olm.curve25519, self._olm.ed25519)

    def take(self, to_device: Sequence[bytes]) -> Taken:
        receiver = Receiver(self._db, self._olm, self._room_keys)
        outcomes = [receiver.take(raw) for raw in to_device]
        receiver.forget_old()
        # Only now: matrix-nio saves the account before a one-time key is used up, not after.
        self._olm.save_account()
        # With the sessions, in one transaction: a session without its account could not be gone on with.
        self._olm.flush()
        return Taken(tuple(each for each in outcomes if each is not None), frozenset(receiver.new_keys))

    def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        return [decryption.decrypt(event, self._room_keys) for event in events]

    def import_room_key(self, wanted: RoomKey, content: Json) -> bool:
        try:
            with guarded():
                return self._import(wanted, dict(content))
        except MalformedContent:
            return False

    def _import(self, wanted: RoomKey, content: dict[str, Any]) -> bool:
        if content.get("algorithm") != MEGOLM:
            return False
        claimed = table(content, "sender_claimed_keys").get("ed25519")
        session = InboundGroupSession.import_session(
            text(content, "session_key", 1024),
            claimed if isinstance(claimed, str) else "",
            key(content, "sender_key"),
            wanted.room_id,
        )
        # The backup is anybody's who has its public key: a session under another's name would open nothing, and lies.
        return session.id == wanted.session_id and self._room_keys.add(session, "", is_from_backup=True)

    def prepare_upload(self, one_time_keys: int, *, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        return uploads.prepare(
            self._db, self._olm, one_time_keys=one_time_keys, is_fallback_used=is_fallback_used, now_ms=now_ms
        )

    def confirm_upload(self, *, is_device_published: bool) -> None:
        self._olm.account.shared = self._olm.account.shared or is_device_published
        uploads.confirm(self._olm)

    def forget_publication(self) -> None:
        uploads.forget_publication(self._db, self._olm)

    def sign(self, json: Json) -> str:
        plain = {name: value for name, value in json.items() if name not in ("signatures", "unsigned")}
        return str(self._olm.sign_json(plain))

    def devices_without_session(self, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
        return sealing.without_session(self._olm, devices)

    def start_sessions(self, claimed: Mapping[DeviceKeys, Json]) -> frozenset[DeviceKeys]:
        started = frozenset(
            device for device, keys in claimed.items() if sealing.start_session(self._olm, device, keys)
        )
        self._olm.flush()
        return started

    def encrypt_olm(self, devices: Sequence[DeviceKeys], type_: str, content: Json) -> dict[DeviceKeys, Json]:
        return dict(sealing.encrypt(self._olm, devices, type_, content))
