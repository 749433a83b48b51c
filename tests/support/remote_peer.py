"""A sending device with an Olm machine of ours, on a real homeserver: quicker than Element's SDK by far, for loads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.core.encryption.values import DeviceKeys
from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.demo.user import DemoUser
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.uploads import ALGORITHM
from support.peers import NOW, ROTATION, open_machine

_serial = itertools.count(1)
Sealed = Mapping[DeviceKeys, Json]
"""A room's key, encrypted for each of these devices."""


class RemotePeer:
    """Sends encrypted messages to one device of another user."""

    def __init__(self, user: DemoUser, machine: Machine, device: DeviceKeys) -> None:
        self._user = user
        self._machine = machine
        self._device = device
        self.fallback_keys_used = 0

    @classmethod
    async def open(cls, user: DemoUser, folder: Path, to_user: str, to_device: str) -> RemotePeer:
        """The other device must have published its keys."""
        told = await user.call("POST", "/keys/query", {"device_keys": {to_user: [to_device]}})
        keys = told["device_keys"][to_user][to_device]["keys"]
        device = DeviceKeys(UserId(to_user), to_device, keys[f"curve25519:{to_device}"], keys[f"ed25519:{to_device}"])
        return cls(user, await open_machine(folder, user.user_id, user.device_id), device)

    async def close(self) -> None:
        await self._machine.close()

    async def publish(self) -> None:
        """Its own keys, so that others can send to it."""
        upload = await self._machine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
        keys = {"device_keys": upload.device_keys, "one_time_keys": upload.one_time_keys}
        await self._user.call("POST", "/keys/upload", {name: value for name, value in keys.items() if value})
        await self._machine.confirm_upload(is_device_published=True)

    async def claim(self) -> None:
        """Begins another Olm session, by one of the device's one-time keys or its fallback key."""
        device = self._device
        body = {"one_time_keys": {device.user_id: {device.device_id: ALGORITHM}}}
        told = await self._user.call("POST", "/keys/claim", body)
        claimed = told["one_time_keys"][device.user_id][device.device_id]
        self.fallback_keys_used += any(key.get("fallback") is True for key in claimed.values())
        assert await self._machine.start_sessions({device: claimed}) == {device}

    async def share(self, room: str) -> None:
        """Gives the device the room's key, if it lacks that. `renew` makes a new one."""
        sealed = await self._seal(room)
        if sealed:
            await self.give(sealed)
            await self._machine.note_room_key_shared(RoomId(room), list(sealed))

    async def _seal(self, room: str) -> Sealed:
        return await self._machine.share_room_key(RoomId(room), [self._device], ROTATION)

    async def renew(self, room: str) -> None:
        """The room's next message has a new key."""
        await self._machine.share_room_key(RoomId(room), [], ROTATION)
        await self.share(room)

    async def say(self, room: str, body: str, **content: Any) -> EventId:
        """A text, encrypted with the room's key, which must have been shared. Its event id."""
        said = {"msgtype": "m.text", "body": body, **content}
        sealed = await self._machine.encrypt_room(RoomId(room), "m.room.message", said)
        return await self._user.send_event(room, "m.room.encrypted", dict(sealed))

    async def send(self, room: str, type_: str, content: Mapping[str, Any]) -> EventId:
        """Any message event, encrypted with the room's key, which is shared before if it has to be. Its event id."""
        return await self._user.send_event(room, "m.room.encrypted", dict(await self.encrypt(room, type_, content)))

    async def encrypt(self, room: str, type_: str, content: Mapping[str, Any]) -> Json:
        """What `send` sends, for another to send it."""
        await self.share(room)
        return await self._machine.encrypt_room(RoomId(room), type_, dict(content))

    async def send_before_key(self, room: str, type_: str, content: Mapping[str, Any]) -> tuple[EventId, Sealed]:
        """As `send`, with a key of its own, which the device has to be given (`give`)."""
        await self._machine.share_room_key(RoomId(room), [], ROTATION)
        key = await self._seal(room)
        await self._machine.note_room_key_shared(RoomId(room), list(key))
        event_id = await self._send(room, type_, content)
        await self._machine.share_room_key(RoomId(room), [], ROTATION)
        return event_id, key

    async def _send(self, room: str, type_: str, content: Mapping[str, Any]) -> EventId:
        sealed = await self._machine.encrypt_room(RoomId(room), type_, dict(content))
        return await self._user.send_event(room, "m.room.encrypted", dict(sealed))

    async def give(self, sealed: Sealed) -> None:
        """The device has it from then on."""
        messages = {self._device.user_id: {device.device_id: content for device, content in sealed.items()}}
        await self._user.call("PUT", f"/sendToDevice/m.room.encrypted/peer{next(_serial)}", {"messages": messages})
