"""Devices with Olm machines of their own, which send one another keys and messages without any homeserver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heliograph.core.encryption.values import DeviceKeys, Rotation
from heliograph.core.events import Event, Json
from heliograph.core.ids import RoomId, UserId
from heliograph.encryption.olm.machine import Machine
from support.builders import ALICE, ME, ROOM, make_event

NOW = 1_700_000_000_000
PICKLE_KEY = "pickle key"
ROTATION = Rotation()


async def open_machine(
    folder: Path, user_id: UserId = ME, device_id: str = "D", pickle_key: str = PICKLE_KEY
) -> Machine:
    """The device's machine, whose state is in this folder."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return await Machine.open(folder, user_id, device_id, pickle_key, now_ms=NOW)


class Peer:
    """A device that sends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.user_id = machine.identity.user_id

    @classmethod
    async def open(cls, folder: Path, user_id: UserId = ALICE, device_id: str = "A") -> Peer:
        return cls(await open_machine(folder, user_id, device_id))

    async def meet(self, other: Machine) -> DeviceKeys:
        """Begins an Olm session with a device, by one of its one-time keys, which it makes for that."""
        device = device_of(other)
        if await self.machine.devices_without_session([device]):
            upload = await other.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
            await other.confirm_upload(is_device_published=True)
            assert upload.one_time_keys is not None
            key_id, key = next(iter(upload.one_time_keys.items()))
            assert await self.machine.start_sessions({device: {key_id: key}})
        return device

    async def to_device(self, other: Machine, type_: str, content: Json) -> bytes:
        """A to-device event, encrypted for this device."""
        device = await self.meet(other)
        sealed = await self.machine.encrypt_olm([device], type_, content)
        return self.wrap(sealed[device])

    async def share(self, *others: Machine, room_id: RoomId = ROOM, rotation: Rotation = ROTATION) -> list[bytes]:
        """The room's key, for each of these devices that lacks it."""
        devices = [await self.meet(other) for other in others]
        sealed = await self.machine.share_room_key(room_id, devices, rotation)
        await self.machine.note_room_key_shared(room_id, devices)
        return [self.wrap(sealed[device]) for device in devices if device in sealed]

    async def say(self, body: str, *, room_id: RoomId = ROOM, **options: Any) -> Event:
        """A message, encrypted with the room's key. `options` as in `make_event`."""
        content = await self.machine.encrypt_room(room_id, "m.room.message", {"msgtype": "m.text", "body": body})
        return make_event(
            type="m.room.encrypted", content=dict(content), room_id=room_id, **({"sender": self.user_id} | options)
        )

    def wrap(self, content: Json, type_: str = "m.room.encrypted") -> bytes:
        return to_device_event(self.user_id, type_, content)


def device_of(machine: Machine) -> DeviceKeys:
    identity = machine.identity
    return DeviceKeys(identity.user_id, identity.device_id, identity.curve25519, identity.ed25519)


def to_device_event(sender: str, type_: str, content: Json) -> bytes:
    return json.dumps({"type": type_, "sender": sender, "content": content}).encode()


def withheld_event(sender: str, session_id: str, code: str = "m.unverified", room_id: RoomId = ROOM) -> bytes:
    content = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": room_id, "session_id": session_id, "code": code}
    return to_device_event(sender, "m.room_key.withheld", content | {"sender_key": "x" * 43, "reason": ""})


def bodies(outcomes: Sequence[Any]) -> list[Any]:
    """What decrypted messages say; in place of the others why not."""
    return [each.payload["content"]["body"] if hasattr(each, "payload") else each.reason for each in outcomes]
