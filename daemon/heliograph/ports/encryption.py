"""Our device's keys, and those that open others' messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from heliograph.core.encryption.values import Clear, KeyUpload, Locked, Taken
from heliograph.core.events import Event
from heliograph.core.pushers.pusher import Pusher as Pusher


class Encryption(Protocol):
    """Our device's keys, and those that open others' messages. Each method is one transaction, and raises StorageError
    if the disk fails, but nothing for what strangers send."""

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Commits what to-device events bring, before /sync acknowledges (and the server deletes) them. An event that
        was taken before is passed over."""
        ...

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        """What each of these `m.room.encrypted` events says."""
        ...

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        """What our device is to publish, on disk before it is returned; the same again until it is confirmed.

        `one_time_keys`: how many the server has. `is_fallback_used`: it says that the fallback key was."""
        ...

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        """What was last to be published is not sent again. `is_device_published`: the device's own keys neither."""
        ...

    async def close(self) -> None: ...
