"""Encrypts what we send into a room, for the devices of its members as they are at that moment.

https://spec.matrix.org/v1.18/client-server-api/#sending-encrypted-messages and MSC4153 for `signed`.

Members and devices are asked for when a reply is sent. A device whose keys changed gets nothing. Our own room keys live
in memory only, so another life of the daemon makes new ones.
Tests: test_who_is_gone_does_not_read_what_comes_from_now_on, test_a_device_whose_keys_changed_gets_nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from heliograph.core.encryption.values import MEGOLM, DeviceKeys, Rotation, read_rotation
from heliograph.core.events import Json
from heliograph.core.ids import RoomId, UserId
from heliograph.core.text.clean import count_things
from heliograph.encryption.identity.cross_signing import read_own_keys
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.uploads import ALGORITHM
from heliograph.errors import UserError
from heliograph.ports.homeserver import Audience, Keys

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_DEVICES = 2_000
USERS_AT_ONCE = 100
DEVICES_AT_ONCE = 200

SendTo = Literal["all", "signed"]


class RoomSender:
    """Encrypts what one account sends. `make_id` gives transaction ids that were never used."""

    def __init__(
        self,
        keys: Keys,
        machine: Machine,
        send_to: SendTo,
        *,
        make_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._keys = keys
        self._machine = machine
        self._send_to = send_to
        self._make_id = make_id
        self._turn = asyncio.Lock()

    async def encrypt(self, room_id: RoomId, audience: Audience, type_: str, content: Json) -> Json:
        """The content of the `m.room.encrypted` event, once its key is on its way to all who may read it.

        Raises ServerError, StorageError, and UserError where it cannot be done safely.
        """
        assert audience.encryption is not None
        rotation = read_rotation(audience.encryption)
        if rotation is None:
            raise _refused("This room is encrypted in a way that Heliograph does not know.")
        users = audience.joined
        # Who is invited may read from then on, and needs the keys when joining.
        if audience.history_visibility != "joined":
            users |= audience.invited
        # One message at a time: two would each begin a session with the same device, and use two of its one-time keys.
        async with self._turn:
            chosen, excluded = await self._choose(users)
            if not chosen:
                raise _refused("No device in this room may read what Heliograph would send.")
            await self._begin_sessions(chosen)
            await self._share(room_id, chosen, excluded, rotation)
            return await self._machine.encrypt_room(room_id, type_, content)

    async def _choose(self, users: Collection[UserId]) -> tuple[list[DeviceKeys], list[DeviceKeys]]:
        """The devices to encrypt for, and those that our user's settings leave out."""
        own = (self._machine.identity.user_id, self._machine.identity.device_id)
        found: list[DeviceKeys] = []
        signed: set[DeviceKeys] = set()
        for part in _parts(sorted(users), USERS_AT_ONCE):
            published = await self._keys.query_keys(part)
            for user_id in part:
                # In a thread: each signature takes a while, and there may be many.
                keys = await asyncio.to_thread(read_own_keys, published, user_id)
                here = [each for each in keys.devices.values() if (each.user_id, each.device_id) != own]
                found += here
                signed.update(each for each in here if each.device_id in keys.signed)
            if len(found) > MOST_DEVICES:
                raise _refused(f"This room has more than {MOST_DEVICES} devices to encrypt for.")
        unchanged = await self._machine.unchanged_devices(found)
        if len(unchanged) < len(found):
            changed = count_things(len(found) - len(unchanged), "device has", "devices have")
            log.warning("%s other keys than before: nothing is sent there", changed)
        if self._send_to == "all":
            return unchanged, []
        return [each for each in unchanged if each in signed], [each for each in unchanged if each not in signed]

    async def _begin_sessions(self, devices: Sequence[DeviceKeys]) -> None:
        lacking = await self._machine.devices_without_session(devices)
        for part in _parts(lacking, DEVICES_AT_ONCE):
            claimed = await self._keys.claim_keys(_by_user({device: ALGORITHM for device in part}))
            answers = {device: claimed.get(device.user_id, {}).get(device.device_id) for device in part}
            await self._machine.start_sessions({device: keys for device, keys in answers.items() if keys is not None})

    async def _share(
        self, room_id: RoomId, chosen: Sequence[DeviceKeys], excluded: Sequence[DeviceKeys], rotation: Rotation
    ) -> None:
        sealed = await self._machine.share_room_key(room_id, chosen, rotation)
        for part in _parts(list(sealed), DEVICES_AT_ONCE):
            messages = _by_user({device: sealed[device] for device in part})
            await self._keys.send_to_device("m.room.encrypted", messages, self._make_id())
        # After the requests: a device that got nothing must be given the key with the next message.
        session_id = await self._machine.note_room_key_shared(room_id, list(sealed))
        if not session_id:
            raise _refused("No device in this room could be given the key of the message.")
        if sealed and excluded:
            content = {
                "algorithm": MEGOLM,
                "room_id": room_id,
                "session_id": session_id,
                "sender_key": self._machine.identity.curve25519,
                "code": "m.unverified",
                "reason": "The sender sends to verified devices only.",
            }
            for part in _parts(excluded, DEVICES_AT_ONCE):
                messages = _by_user({device: content for device in part})
                await self._keys.send_to_device("m.room_key.withheld", messages, self._make_id())


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _by_user(values: Mapping[DeviceKeys, T]) -> dict[UserId, dict[str, T]]:
    users: dict[UserId, dict[str, T]] = {}
    for device, value in values.items():
        users.setdefault(device.user_id, {})[device.device_id] = value
    return users


def _refused(why: str) -> UserError:
    return UserError(why, "Reply in your Matrix client.")
