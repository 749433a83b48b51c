"""Encryption as the sync loop uses it: our device's keys, and the room keys that open others' messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from heliograph.core.encryption.values import Clear, KeyUpload, Locked, Taken
from heliograph.core.events import Event


class Encryption(Protocol):
    """Keeps our device's keys, and decrypts with the room keys of others. Each method is one transaction, and raises
    StorageError if the disk fails; whatever strangers send is an outcome, and raises nothing."""

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Commits the keys that to-device events bring. Call this before the next /sync, which acknowledges the events
        and lets the server delete them. An event that was taken before is passed over."""
        ...

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        """Decrypts these `m.room.encrypted` events: one outcome for each, in their order."""
        ...

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        """The keys that our device has to publish. They are on disk before this returns, and are returned again until
        they are confirmed.

        `one_time_keys`: how many the server has. `is_fallback_used`: the server says that the fallback key was used."""
        ...

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        """Marks the keys of the last `keys_to_upload` as published, and if `is_device_published` the device's own
        identity keys as well."""
        ...

    async def forget_publication(self) -> None:
        """Notes that the server has no keys of this device: the next `keys_to_upload` returns the same identity keys
        once more, and a new fallback key, whatever was confirmed before."""
        ...

    async def close(self) -> None: ...
