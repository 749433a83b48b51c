"""Whether the devices that messages come from are signed by their owners (MSC4153).

Looked up only if the user wants unsigned devices marked or hidden, and only when a message comes: devices of others are
not tracked. Who could not be looked up is marked, never hidden.
Test: test_who_cannot_be_looked_up_is_marked_and_never_hidden.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from heliograph.core.encryption.values import Clear, KeyUpload, Locked, SenderDevice, Taken
from heliograph.core.events import Event
from heliograph.core.ids import is_user_id
from heliograph.encryption.identity.cross_signing import read_own_keys
from heliograph.errors import LoggedOut, ServerError
from heliograph.ports.encryption import Encryption
from heliograph.ports.homeserver import Keys, PublishedKeys

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""What a look-up may take: messages wait for it. Who is not found in time is not known to be signed."""
MOST_USERS = 50
"""Senders looked up at once."""


class SenderCache(Protocol):
    """What is remembered of senders' devices."""

    async def sender_devices(self, devices: Collection[SenderDevice], now_ms: int) -> dict[SenderDevice, bool]: ...
    async def keep_sender_devices(self, looked_up: Mapping[SenderDevice, bool], now_ms: int) -> None: ...


class Senders:
    """`ports.Encryption` that also says of what was decrypted whether its sender's device is signed.

    With `hide` that of a device which surely is not is to stay silent; one that could not be looked up is only marked.
    """

    def __init__(
        self,
        encryption: Encryption,
        cache: SenderCache,
        keys: Keys,
        policy: Literal["mark", "hide"],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._encryption = encryption
        self._cache = cache
        self._keys = keys
        self._policy = policy
        self._clock = clock

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        return await self._encryption.take(to_device)

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        decrypted = await self._encryption.decrypt(events)
        devices = [self._device(event, clear) for event, clear in zip(events, decrypted, strict=True)]
        wanted = {device for device in devices if device is not None}
        if not wanted:
            return decrypted
        known = await self._look(wanted)
        return [
            self._judge(clear, known.get(device)) if isinstance(clear, Clear) and device is not None else clear
            for device, clear in zip(devices, decrypted, strict=True)
        ]

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        return await self._encryption.keys_to_upload(
            one_time_keys=one_time_keys, is_fallback_used=is_fallback_used, now_ms=now_ms
        )

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        await self._encryption.confirm_upload(is_device_published=is_device_published)

    async def forget_publication(self) -> None:
        await self._encryption.forget_publication()

    async def close(self) -> None:
        await self._encryption.close()

    def _device(self, event: Event, clear: Clear | Locked) -> SenderDevice | None:
        """The device to look up; None: it is nobody else's, or nothing is known of it."""
        if not isinstance(clear, Clear) or clear.is_from_backup or not is_user_id(event.sender):
            return None
        # Nothing of one's own rings.
        if event.sender == self._keys.user_id:
            return None
        return SenderDevice(event.sender, clear.sender_key, clear.sender_ed25519)

    def _judge(self, clear: Clear, is_signed: bool | None) -> Clear:
        is_hidden = self._policy == "hide" and is_signed is False
        return replace(clear, is_sender_unsigned=not is_signed, is_hidden=is_hidden)

    async def _look(self, devices: set[SenderDevice]) -> dict[SenderDevice, bool]:
        now = self._clock()
        known = await self._cache.sender_devices(devices, now)
        unknown = devices - known.keys()
        users = sorted({each.user_id for each in unknown})[:MOST_USERS]
        if not users:
            return known
        try:
            async with asyncio.timeout(LOOK_S):
                published = await self._keys.query_keys(users)
        # The sync loop finds that out as well, and tells of it.
        except LoggedOut:
            return known
        except (ServerError, TimeoutError) as trouble:
            log.info("Senders' devices could not be looked up: %s", str(trouble) or "no answer in time")
            return known
        # Users whose homeserver did not answer are missing.
        asked = {each for each in unknown if each.user_id in users and each.user_id in published.devices}
        looked_up = {each: is_vouched_for(published, each) for each in asked}
        await self._cache.keep_sender_devices(looked_up, now)
        return {**known, **looked_up}


def is_vouched_for(published: PublishedKeys, device: SenderDevice) -> bool:
    """Whether the user has such a device, and the user's identity vouches for it."""
    own = read_own_keys(published, device.user_id)
    return any(
        (keys.curve25519, keys.ed25519) == (device.curve25519, device.ed25519) and device_id in own.signed
        for device_id, keys in own.devices.items()
    )
