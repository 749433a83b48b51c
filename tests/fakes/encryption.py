"""Encryption in memory: what is locked, what the keys that came open, and a disk that the test can fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from heliograph.core.encryption.values import Clear, KeyUpload, Locked, Reason, Received, RoomKey, Taken
from heliograph.core.events import Event, Json
from heliograph.errors import StorageError

ROOM_KEY = "test.room_key"
"""Type of a to-device event that brings a room key: `room_id` and `session_id`."""


@dataclass
class FakeEncryption:
    """`ports.Encryption`. The ciphertext of an event (see `builders.make_encrypted`) is its payload."""

    taken: list[bytes] = field(default_factory=list)
    keys: set[RoomKey] = field(default_factory=set)
    withheld: dict[RoomKey, str] = field(default_factory=dict)
    from_backup: set[RoomKey] = field(default_factory=set)
    hopeless: dict[str, Reason] = field(default_factory=dict)
    """By event id."""
    uploads: list[KeyUpload] = field(default_factory=list)
    """What there is to publish, batch after batch."""
    confirmed: list[bool] = field(default_factory=list)
    asked: list[tuple[int, bool]] = field(default_factory=list)
    forgotten: int = 0
    """How often it was said that the server has no keys of this device."""
    is_full: bool = False

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        self._check()
        outcomes = []
        new_keys = set()
        for raw in to_device:
            if raw in self.taken:
                continue
            self.taken.append(raw)
            event = msgspec.json.decode(raw)
            if event["type"] == ROOM_KEY:
                new_keys.add(RoomKey(**event["content"]))
            else:
                outcomes.append(Received(event["type"], event["sender"], event["content"]))
        self.keys |= new_keys
        return Taken(tuple(outcomes), frozenset(new_keys))

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        self._check()
        return [self._decrypt(event) for event in events]

    def _decrypt(self, event: Event) -> Clear | Locked:
        if event.event_id in self.hopeless:
            return Locked(self.hopeless[event.event_id])
        if "ciphertext" not in event.content:
            return Locked(Reason.UNSUPPORTED)
        key = RoomKey(event.room_id, event.content["session_id"])
        if key not in self.keys:
            code = self.withheld.get(key)
            return Locked(Reason.NO_KEY, key) if code is None else Locked(Reason.WITHHELD, key, code)
        payload: Json = msgspec.json.decode(event.content["ciphertext"])
        return Clear(payload, "curve25519", "ed25519", is_from_backup=key in self.from_backup)

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        self._check()
        self.asked.append((one_time_keys, is_fallback_used))
        return self.uploads[0] if self.uploads else KeyUpload()

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        self._check()
        self.confirmed.append(is_device_published)
        self.uploads.pop(0)

    async def forget_publication(self) -> None:
        self._check()
        self.forgotten += 1

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.is_full:
            raise StorageError("the fake disk is full")
