"""The Olm machine of one device, kept in crypto.db. Every operation is one transaction in that file's thread.

So decryption never blocks the event loop, and a kill leaves whole operations or nothing of them. Whatever a stranger
sends becomes an outcome, never an exception: besides StorageError (and StateError for a damaged file) nothing is raised
unless a method says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from heliograph.core.encryption import Clear, DeviceKeys, Identity, Locked, RoomKey, Taken
from heliograph.core.events import Event, Json


class Machine:
    """One device's keys and sessions. `ports.Encryption`, and what verification and key backup need besides."""

    identity: Identity

    @classmethod
    async def open(cls, folder: Path, user_id: str, device_id: str, pickle_key: str) -> Machine:
        """Makes the file (0600) and the device's keys if missing. State of another device is destroyed first.

        Raises StateError, also if the keys cannot be read with this pickle key.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Lets go of the file. Once more is no error."""
        raise NotImplementedError

    # Receiving

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Handles to-device events, each alone, and commits what they brought. An event that was taken before is
        passed over, so a replayed sync is harmless."""
        raise NotImplementedError

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        """What each of these `m.room.encrypted` events says, in one transaction."""
        raise NotImplementedError

    async def import_room_key(self, key: RoomKey, content: Json) -> bool:
        """Takes a room key from the key backup: `session_data` decrypted (`algorithm`, `sender_key`,
        `sender_claimed_keys`, `session_key`). Whether it lets something be read that nothing did before; False for
        what is malformed or made for another session."""
        raise NotImplementedError

    # For verification, cross-signing and secrets

    async def sign(self, json: Json) -> str:
        """Our device's Ed25519 signature of this object without `signatures` and `unsigned`, as unpadded base64."""
        raise NotImplementedError

    async def devices_without_session(self, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
        """Those that `encrypt_olm` cannot reach before `start_sessions`."""
        raise NotImplementedError

    async def start_sessions(self, claimed: Mapping[DeviceKeys, Json]) -> frozenset[DeviceKeys]:
        """Begins an Olm session with each of these devices, from its answer of /keys/claim (`{key id: key object}`),
        whose signature is checked. Those with which it worked."""
        raise NotImplementedError

    async def encrypt_olm(self, devices: Sequence[DeviceKeys], type_: str, content: Json) -> dict[DeviceKeys, Json]:
        """The content of an `m.room.encrypted` to-device event for each device that has a session."""
        raise NotImplementedError

    async def keep_secret(self, name: str, secret: str | None) -> None:
        """Keeps a small text (the backup key, a trust record), encrypted with the pickle key. None forgets it."""
        raise NotImplementedError

    async def secret(self, name: str) -> str | None:
        """What `keep_secret` kept under this name."""
        raise NotImplementedError


def destroy(folder: Path) -> None:
    """Deletes the device's keys and all it received. Nothing may have them open. Raises StateError."""
    raise NotImplementedError
