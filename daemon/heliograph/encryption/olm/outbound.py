"""Our own room keys (outbound Megolm sessions), in memory only: another life of the daemon makes new ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from nio.crypto import InboundGroupSession, OutboundGroupSession  # type: ignore[import-untyped]

from heliograph.core.encryption.values import MEGOLM, DeviceKeys, Rotation
from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.encryption.olm import sealing
from heliograph.encryption.olm.nio_machine import OlmMachine
from heliograph.encryption.olm.room_keys import RoomKeys
from heliograph.encryption.olm.texts import KEY_LENGTH
from heliograph.errors import StorageError


@dataclass(slots=True)
class _Outbound:
    session: Any
    shared_with: set[DeviceKeys] = field(default_factory=set)


class OutboundKeys:
    """Our room keys: one for each room that something was sent to."""

    def __init__(self, db: sqlite3.Connection, olm: OlmMachine, room_keys: RoomKeys) -> None:
        self._db = db
        self._olm = olm
        self._room_keys = room_keys
        self._rooms: dict[str, _Outbound] = {}

    def known(self, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
        """The devices with the keys that they had before. New ones are remembered, also in place of a row that the disk
        has spoilt, which holds no keys."""
        same = []
        for device in devices:
            keys = (device.curve25519, device.ed25519)
            before = self._db.execute(
                "SELECT curve25519, ed25519 FROM devices WHERE user_id = ? AND device_id = ?",
                (device.user_id, device.device_id),
            ).fetchone()
            if before is None or not all(isinstance(each, str) and len(each) == KEY_LENGTH for each in before):
                self._db.execute(
                    "INSERT OR REPLACE INTO devices (user_id, device_id, curve25519, ed25519) VALUES (?, ?, ?, ?)",
                    (device.user_id, device.device_id, *keys),
                )
                before = keys
            if before == keys:
                same.append(device)
        return same

    def share(self, room_id: RoomId, devices: Sequence[DeviceKeys], rotation: Rotation) -> dict[DeviceKeys, Json]:
        """The to-device contents that give the room's key to those devices that lack it.

        There is a new key if the old one is used up, or if somebody has it who is not among `devices` any more.
        """
        wanted = set(devices)
        outbound = self._rooms.get(room_id)
        # Whoever left would read on with the key that they have.
        if outbound is None or outbound.session.expired or not outbound.shared_with <= wanted:
            outbound = self._rooms[room_id] = self._begin(room_id, rotation)
        lacking = [device for device in devices if device not in outbound.shared_with]
        content = {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": outbound.session.id,
            "session_key": outbound.session.session_key,
        }
        return dict(sealing.encrypt(self._olm, lacking, "m.room_key", content))

    def note_shared(self, room_id: RoomId, devices: Sequence[DeviceKeys]) -> str | None:
        """Notes that these devices were given the room's key. Returns its session's id; None if nobody has it."""
        outbound = self._find(room_id)
        outbound.shared_with.update(devices)
        if not outbound.shared_with:
            return None
        outbound.session.mark_as_shared()
        return str(outbound.session.id)

    def encrypt(self, room_id: RoomId, type_: str, content: Json) -> Json:
        """The content of the `m.room.encrypted` event. Its relation stays in clear, where homeservers need it."""
        session = self._find(room_id).session
        inner = {name: value for name, value in content.items() if name != "m.relates_to"}
        payload = json.dumps({"room_id": room_id, "type": type_, "content": inner}, separators=(",", ":"))
        sealed = {
            "algorithm": MEGOLM,
            "sender_key": self._olm.curve25519,
            "device_id": self._olm.device_id,
            "session_id": session.id,
            "ciphertext": session.encrypt(payload),
        }
        return sealed | {"m.relates_to": content["m.relates_to"]} if "m.relates_to" in content else sealed

    def _find(self, room_id: RoomId) -> _Outbound:
        outbound = self._rooms.get(room_id)
        if outbound is None:
            # A disk that failed meanwhile has taken what was in memory with it.
            raise StorageError("the key of the message was lost on the way")
        return outbound

    def _begin(self, room_id: RoomId, rotation: Rotation) -> _Outbound:
        session = OutboundGroupSession()
        session.max_messages = rotation.messages
        session.max_age = timedelta(milliseconds=rotation.age_ms)
        own = InboundGroupSession(session.session_key, self._olm.ed25519, self._olm.curve25519, room_id)
        # Kept like others' keys, so that our own messages can be read when they come back with a sync.
        self._room_keys.add(own, self._olm.user_id, is_from_backup=False)
        return _Outbound(session)
