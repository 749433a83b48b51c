"""The Olm machine of one device, kept in crypto.db. Every operation is one transaction in that file's thread.

So decryption never blocks the event loop, and a kill leaves whole operations or nothing of them. Whatever a stranger
sends becomes an outcome, never an exception: besides StorageError (and UserError for a damaged file) nothing is raised
unless a method says so. A row that the disk has spoilt costs what it held, and nothing else.
Test: test_a_row_that_cannot_be_read_costs_itself_alone.

If an operation fails, what is in memory may be ahead of the disk, so the machine is read anew.
Test: test_what_a_failed_transaction_did_in_memory_is_forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from heliograph.core.encryption.values import (
    Clear,
    DeviceKeys,
    Identity,
    KeyUpload,
    Locked,
    RoomKey,
    Rotation,
    SenderDevice,
    Taken,
)
from heliograph.core.events import Event, Json
from heliograph.core.ids import RoomId, UserId
from heliograph.encryption.olm import sender_devices
from heliograph.encryption.olm.key_files import FILE_NAME, put_back, set_aside
from heliograph.encryption.olm.losses import Loss, Losses
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import DamagedFile, Database, whole_or_closed

if TYPE_CHECKING:
    from heliograph.encryption.olm.engine import Engine

log = logging.getLogger(__name__)

T = TypeVar("T")

MIGRATIONS = read_migrations("heliograph.encryption.olm")


class Machine:
    """One device's keys and sessions. `ports.Encryption`, and what verification and key backup need besides."""

    def __init__(
        self, database: Database, user_id: UserId, device_id: str, pickle_key: str, on_loss: Callable[[Loss], None]
    ) -> None:
        self._database = database
        self._on_loss = on_loss
        self._losses = Losses()
        self._told: set[Loss] = set()
        self._owner = (user_id, device_id)
        self._pickle_key = pickle_key
        self._engine: Engine | None = None
        self._is_stale = False
        self.identity = Identity(user_id, device_id, "", "")

    @classmethod
    async def open(
        cls,
        folder: Path,
        user_id: UserId,
        device_id: str,
        pickle_key: str,
        *,
        now_ms: int,
        on_loss: Callable[[Loss], None] = lambda _: None,
    ) -> Machine:
        """Makes the file (0600) and the device's keys if missing. State of another device is set aside first, and what
        was set aside of this one is put back. `now_ms`: milliseconds since 1970. `on_loss` is told once of each kind of
        row that turns out to be damaged.

        Raises StateError, and UserError if the keys cannot be read with this pickle key.
        """
        return await whole_or_closed(cls._open(folder, user_id, device_id, pickle_key, now_ms, on_loss))

    @classmethod
    async def _open(
        cls,
        folder: Path,
        user_id: UserId,
        device_id: str,
        pickle_key: str,
        now_ms: int,
        on_loss: Callable[[Loss], None],
    ) -> Machine:
        # Before the file is opened, which makes a new one where there is none.
        if await asyncio.to_thread(put_back, folder, device_id):
            log.info("The keys of %s, which were set aside, are in use again", device_id)
        database, owner = await _open_of(folder, user_id)
        if owner is not None and owner != (user_id, device_id):
            await database.close()
            # Only with the file closed: SQLite would go on writing into what was moved.
            await asyncio.to_thread(set_aside, folder, owner[1], now_ms)
            await asyncio.to_thread(put_back, folder, device_id)
            database, _ = await _open_of(folder, user_id)
        machine = cls(database, user_id, device_id, pickle_key, on_loss)
        try:
            machine.identity = await machine._run(lambda engine: engine.identity)
        except BaseException:
            await database.close()
            raise
        return machine

    async def close(self) -> None:
        """Lets go of the file. Once more is no error."""
        await self._database.close()
        self._engine = None

    # Receiving

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Handles to-device events, each alone, and commits what they brought. An event that was taken before is
        passed over, so a replayed sync is harmless."""
        return await self._run(lambda engine: engine.take(to_device))

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        """What each of these `m.room.encrypted` events says, in one transaction."""
        return await self._run(lambda engine: engine.decrypt(events))

    async def import_room_key(self, key: RoomKey, content: Json) -> bool:
        """Takes a room key from the key backup: `session_data` decrypted (`algorithm`, `sender_key`,
        `sender_claimed_keys`, `session_key`). Whether it lets something be read that nothing did before; False for
        what is malformed or made for another session."""
        return await self._run(lambda engine: engine.import_room_key(key, content))

    # Publishing

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        """What to publish, on disk before it is returned. `one_time_keys`: how many the server has."""
        return await self._run(
            lambda engine: engine.prepare_upload(one_time_keys, is_fallback_used=is_fallback_used, now_ms=now_ms)
        )

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        """The keys that were last to be uploaded are not sent again."""
        await self._run(lambda engine: engine.confirm_upload(is_device_published=is_device_published))

    async def forget_publication(self) -> None:
        """The device's own keys and a new fallback key are to be uploaded, whatever was confirmed before."""
        await self._run(lambda engine: engine.forget_publication())

    # Sending

    async def unchanged_devices(self, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
        """The devices with the keys that they had when they were first asked about here. New ones are remembered."""
        return await self._run(lambda engine: engine.outbound.known(devices))

    async def share_room_key(
        self, room_id: RoomId, devices: Sequence[DeviceKeys], rotation: Rotation
    ) -> dict[DeviceKeys, Json]:
        """The to-device contents that give the key of what we send there to those devices that lack it."""
        return await self._run(lambda engine: engine.outbound.share(room_id, devices, rotation))

    async def note_room_key_shared(self, room_id: RoomId, devices: Sequence[DeviceKeys]) -> str | None:
        """Notes that these devices were given the room's key. Returns its session's id; None if nobody has it."""
        return await self._run(lambda engine: engine.outbound.note_shared(room_id, devices))

    async def encrypt_room(self, room_id: RoomId, type_: str, content: Json) -> Json:
        """The content of an `m.room.encrypted` event, by the key that was shared."""
        return await self._run(lambda engine: engine.outbound.encrypt(room_id, type_, content))

    # For verification, cross-signing and secrets

    async def sign(self, json: Json) -> str:
        """Our device's Ed25519 signature of this object without `signatures` and `unsigned`, as unpadded base64."""
        return await self._run(lambda engine: engine.sign(json))

    async def devices_without_session(self, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
        """The devices that `encrypt_olm` cannot reach before `start_sessions`."""
        return await self._run(lambda engine: engine.devices_without_session(devices))

    async def start_sessions(self, claimed: Mapping[DeviceKeys, Json]) -> frozenset[DeviceKeys]:
        """Begins an Olm session with each of these devices, from its answer of /keys/claim (`{key id: key object}`),
        whose signature is checked. Those with which it worked."""
        return await self._run(lambda engine: engine.start_sessions(claimed))

    async def encrypt_olm(self, devices: Sequence[DeviceKeys], type_: str, content: Json) -> dict[DeviceKeys, Json]:
        """The content of an `m.room.encrypted` to-device event for each device that has a session."""
        return await self._run(lambda engine: engine.encrypt_olm(devices, type_, content))

    async def keep_secret(self, name: str, secret: str | None) -> None:
        """Keeps a small text (the backup key, a trust record), encrypted with the pickle key. None forgets it."""
        await self._run(lambda engine: engine.vault.keep(name, secret))

    async def secret(self, name: str) -> str | None:
        """What `keep_secret` kept under this name."""
        return await self._run(lambda engine: engine.vault.read(name))

    async def sender_devices(self, devices: Collection[SenderDevice], now_ms: int) -> dict[SenderDevice, bool]:
        """Which of these devices of others are signed by their owners, as far as that was looked up lately."""
        return await self._database.read(lambda db: sender_devices.read_signed(db, devices, now_ms))

    async def keep_sender_devices(self, looked_up: Mapping[SenderDevice, bool], now_ms: int) -> None:
        """Remembers them for a while."""
        await self._database.transaction(lambda db: sender_devices.write(db, looked_up, now_ms))

    # Transactions

    async def _run(self, work: Callable[[Engine], T]) -> T:
        def within(db: sqlite3.Connection) -> T:
            if self._engine is None or self._is_stale:
                self._engine = self._load(db)
                self._is_stale = False
            return work(self._engine)

        try:
            with _explaining_damage(self._owner[0]):
                result = await self._database.transaction(within)
        except BaseException:
            # What is in memory may be ahead of what is on disk: it is read anew.
            self._is_stale = True
            raise
        self._tell_losses()
        return result

    def _tell_losses(self) -> None:
        for loss, row in self._losses.take():
            log.warning("%s cannot be read, and is lost. %s", row, loss.value)
            if loss not in self._told:
                self._told.add(loss)
                self._on_loss(loss)

    def _load(self, db: sqlite3.Connection) -> Engine:
        # Only here, within the thread: importing the cryptography takes a while.
        from heliograph.encryption.olm.engine import Engine, UnreadableKeys

        try:
            return Engine(db, *self._owner, self._pickle_key, self._losses)
        except UnreadableKeys as error:
            raise _lost(
                self._owner[0],
                f"The encryption keys of {self._owner[0]} cannot be read with the key that is kept for them.",
            ) from error


async def _open_of(folder: Path, user_id: UserId) -> tuple[Database, tuple[str, str] | None]:
    """The file, and the user id and device id that it belongs to; None: the file is new."""
    with _explaining_damage(user_id):
        database = await Database.open(folder / FILE_NAME, MIGRATIONS)
        try:
            row = await database.read(_read_owner)
        except BaseException:
            await database.close()
            raise
    if row is not None and not (isinstance(row[0], str) and isinstance(row[1], str)):
        await database.close()
        raise _lost(user_id, f"The encryption keys of {user_id} are damaged: their device cannot be told.")
    return database, row


def _read_owner(db: sqlite3.Connection) -> tuple[Any, Any] | None:
    row: tuple[Any, Any] | None = db.execute("SELECT user_id, device_id FROM device").fetchone()
    if row is None and db.execute("SELECT 1 FROM taken UNION ALL SELECT 1 FROM room_keys").fetchone():
        # Its own row is gone. New keys under the same device id would be refused by everybody who knows the old ones.
        return (None, None)
    return row


@contextlib.contextmanager
def _explaining_damage(user_id: UserId) -> Iterator[None]:
    """New keys in place of damaged ones need a new device, so the file must not just be moved away."""
    try:
        yield
    except DamagedFile as error:
        raise _lost(user_id, error.title) from error


def _lost(user_id: UserId, title: str) -> UserError:
    return UserError(
        title,
        f"Sign this device out and in again: heliograph logout {user_id}, then heliograph login {user_id}.",
        exit_code=EXIT_NEEDS_LOGIN,
    )
