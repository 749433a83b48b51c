"""Rows of crypto.db that the disk has spoilt: each costs what it held, which is said, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edges.encryption.test_machine import exported_key
from heliograph.core.encryption.values import Reason, Received, Rejected, RoomKey, SenderDevice
from heliograph.core.events import Event
from heliograph.core.ids import RoomId
from heliograph.encryption.olm.key_files import FILE_NAME
from heliograph.encryption.olm.losses import Loss
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.peeking import peek
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError
from support.builders import ALICE, BOB, ME, ROOM, make_event
from support.peers import NOW, PICKLE_KEY, Peer, bodies, device_of, open_machine, withheld_event

OTHER_ROOM = RoomId("!other:example.org")
OF_ALICE, OF_BOB = SenderDevice(ALICE, "a" * 43, "b" * 43), SenderDevice(BOB, "c" * 43, "d" * 43)
SENDERS = {OF_ALICE: True, OF_BOB: False}
SIGN_IN_ANEW = f"Sign this device out and in again: heliograph logout {ME}, then heliograph login {ME}."


@dataclass
class Stage:
    """Our device in `folder`, and two others, with each of which it has a session and shares a room key."""

    folder: Path
    mine: Machine
    alice: Peer
    bob: Peer
    read: Event
    """A message of Alice's that was decrypted before."""

    async def spoil(self, statement: str) -> None:
        """As a disk would, while nothing runs."""
        await self.mine.close()
        await asyncio.to_thread(spoil, self.folder, statement)

    async def restart(self) -> None:
        self.mine = await open_machine(self.folder)


def spoil(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(statement)
        db.commit()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    folder = tmp_path / "mine"
    mine = await open_machine(folder)
    alice, bob = await Peer.open(tmp_path / "alice"), await Peer.open(tmp_path / "bob", BOB, "B")
    for peer in (alice, bob):
        await mine.take(await peer.share(mine))
        await mine.take([withheld_event(peer.user_id, "w" * 43)])
        await peer.meet(mine)
    assert await mine.unchanged_devices([device_of(alice.machine), device_of(bob.machine)])
    await mine.keep_secret("backup", "one")
    await mine.keep_secret("pinned", "two")
    await mine.keep_sender_devices(SENDERS, NOW)
    read = await alice.say("read before")
    assert bodies(await mine.decrypt([read])) == ["read before"]
    stage = Stage(folder, mine, alice, bob, read)
    yield stage
    for machine in (stage.mine, alice.machine, bob.machine):
        await machine.close()


ALICES_SESSION = f"sender_key = (SELECT curve25519 FROM devices WHERE user_id = '{ALICE}')"
GARBAGE = {
    "pickle of a session": f"UPDATE olm_sessions SET pickle = 'garbage' WHERE {ALICES_SESSION}",
    "bytes of a session": f"UPDATE olm_sessions SET pickle = x'00ff' WHERE {ALICES_SESSION}",
    "number for a session": f"UPDATE olm_sessions SET pickle = 5 WHERE {ALICES_SESSION}",
    "time of a session": f"UPDATE olm_sessions SET created = 'then' WHERE {ALICES_SESSION}",
    "use of a session": f"UPDATE olm_sessions SET used = 1e300 WHERE {ALICES_SESSION}",
    "device of a session": f"UPDATE olm_sessions SET sender_key = x'00' WHERE {ALICES_SESSION}",
    "id of a session": f"UPDATE olm_sessions SET session_id = x'00', pickle = '' WHERE {ALICES_SESSION}",
    "pickle of a room key": f"UPDATE room_keys SET pickle = 'garbage' WHERE sender = '{ALICE}'",
    "bytes of a room key": f"UPDATE room_keys SET pickle = x'00ff' WHERE sender = '{ALICE}'",
    "number for a room key": f"UPDATE room_keys SET pickle = 5 WHERE sender = '{ALICE}'",
    "another room key": f"UPDATE room_keys SET pickle = (SELECT pickle FROM room_keys WHERE sender = '{BOB}')"
    f" WHERE sender = '{ALICE}'",
    "sender of a room key": f"UPDATE room_keys SET sender = x'00' WHERE sender = '{ALICE}'",
    "device of a room key": f"UPDATE room_keys SET sender_key = 5 WHERE sender = '{ALICE}'",
    "signing key of a room key": f"UPDATE room_keys SET sender_ed25519 = x'00' WHERE sender = '{ALICE}'",
    "room of a room key": f"UPDATE room_keys SET room_id = x'00' WHERE sender = '{ALICE}'",
    "session of a room key": f"UPDATE room_keys SET session_id = 5.5 WHERE sender = '{ALICE}'",
    "source of a room key": f"UPDATE room_keys SET is_from_backup = 'x', is_used = 'x' WHERE sender = '{ALICE}'",
    "event of a place": "UPDATE message_indices SET event_id = x'00'",
    "place": "UPDATE message_indices SET message_index = 'first'",
    "code of a withheld key": f"UPDATE withheld SET code = x'00' WHERE sender = '{ALICE}'",
    "sender of a withheld key": f"UPDATE withheld SET sender = 5 WHERE sender = '{ALICE}'",
    "keys of a device": f"UPDATE devices SET curve25519 = x'00' WHERE user_id = '{ALICE}'",
    "text for keys of a device": f"UPDATE devices SET ed25519 = 'garbage' WHERE user_id = '{ALICE}'",
    "id of a device": f"UPDATE devices SET device_id = x'00' WHERE user_id = '{ALICE}'",
    "bytes of a secret": "UPDATE secrets SET content = x'00ff' WHERE name = 'backup'",
    "text for a secret": "UPDATE secrets SET content = 'garbage' WHERE name = 'backup'",
    "number for a secret": "UPDATE secrets SET content = 1000000000000000 WHERE name = 'backup'",
    "name of a secret": "UPDATE secrets SET name = x'00' WHERE name = 'backup'",
    "verdict about a sender": f"UPDATE sender_devices SET is_signed = 'x' WHERE user_id = '{ALICE}'",
    "time of a verdict": f"UPDATE sender_devices SET checked_ms = 'x' WHERE user_id = '{ALICE}'",
    "lowest time of a verdict": f"UPDATE sender_devices SET checked_ms = {-(2**63)} WHERE user_id = '{ALICE}'",
    "hash of what was taken": "UPDATE taken SET digest = 'x' WHERE position = 1",
    "what was rejected": "INSERT INTO rejected (sender, type, why) VALUES (x'00', 5, x'00')",
    "time of the fallback key": "UPDATE device SET fallback_ms = 'then'",
    "whether it is published": "UPDATE device SET is_published = 'x'",
}
TOLD = pytest.mark.expected_log(
    "(An Olm session with|The room key|What was kept as backup) .*cannot be read, and is lost",
    times=(0, 2),
)


@TOLD
@pytest.mark.parametrize("statement", GARBAGE.values(), ids=GARBAGE)
async def test_a_row_that_cannot_be_read_costs_itself_alone(stage: Stage, statement: str) -> None:
    await stage.spoil(statement)
    await stage.restart()
    for _ in range(2):
        await use(stage)
        await stage.mine.close()
        await stage.restart()


async def use(stage: Stage) -> None:
    """All that the daemon does with its keys. What Bob's rows and those of the other tables are for works as ever; what
    Alice's row was for does, or is missing."""
    mine, alice, bob = stage.mine, stage.alice, stage.bob
    said = [await alice.say("from Alice"), await bob.say("from Bob"), stage.read]
    heard = bodies(await mine.decrypt(said))
    assert heard[1] == "from Bob"
    assert heard[0] in ("from Alice", Reason.NO_KEY)
    assert heard[2] in ("read before", Reason.NO_KEY)
    events = [await peer.to_device(mine, "m.secret.send", {"secret": "s"}) for peer in (alice, bob)]
    of_alice, of_bob = (await mine.take(events)).outcomes
    assert isinstance(of_bob, Received)
    assert isinstance(of_alice, Received | Rejected)
    devices = [device_of(alice.machine), device_of(bob.machine)]
    assert await mine.unchanged_devices(devices) == devices
    assert device_of(bob.machine) not in await mine.devices_without_session(devices)
    assert device_of(bob.machine) in await mine.encrypt_olm(devices, "m.dummy", {})
    assert await mine.secret("backup") in ("one", None)
    assert await mine.secret("pinned") == "two"
    verdicts = await mine.sender_devices(SENDERS, NOW)
    assert verdicts[OF_BOB] is False
    assert verdicts.get(OF_ALICE) in (True, False, None)
    upload = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=True, now_ms=NOW)
    assert upload.one_time_keys
    await mine.confirm_upload(is_device_published=True)


@pytest.mark.expected_log("An Olm session with the device .* cannot be read, and is lost")
async def test_a_device_whose_session_was_lost_is_heard_once_it_begins_another(stage: Stage, tmp_path: Path) -> None:
    await stage.spoil(GARBAGE["pickle of a session"])
    await stage.restart()
    event = await stage.alice.to_device(stage.mine, "m.secret.send", {"secret": "s"})
    assert [type(each) for each in (await stage.mine.take([event])).outcomes] == [Rejected]
    # Alice's device begins one anew, with the same keys.
    upload = await stage.mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    assert upload.one_time_keys is not None
    claimed = dict([next(iter(upload.one_time_keys.items()))])
    assert await stage.alice.machine.start_sessions({device_of(stage.mine): claimed})
    event = await stage.alice.to_device(stage.mine, "m.secret.send", {"secret": "s"})
    assert [type(each) for each in (await stage.mine.take([event])).outcomes] == [Received]


@pytest.mark.expected_log("The room key .* cannot be read, and is lost")
async def test_a_room_key_that_was_lost_is_renewed_and_opens_nothing_in_the_place_of_another_message(
    stage: Stage,
) -> None:
    await stage.spoil(GARBAGE["pickle of a room key"])
    await stage.restart()
    looked = await peek(stage.folder, PICKLE_KEY, stage.read)
    assert bodies([looked]) == [Reason.NO_KEY]
    assert bodies(await stage.mine.decrypt([stage.read, stage.read])) == [Reason.NO_KEY] * 2
    key = RoomKey(ROOM, stage.read.content["session_id"])
    exported = await exported_key(stage.alice.machine, stage.alice, key.session_id)
    assert await stage.mine.import_room_key(key, exported)
    played_again = make_event(type="m.room.encrypted", content=dict(stage.read.content), sender=ALICE)
    assert bodies(await stage.mine.decrypt([stage.read, played_again])) == ["read before", Reason.REPLAYED]


@pytest.mark.expected_log("What was kept as pinned cannot be read, and is lost")
async def test_a_secret_that_was_lost_is_said_once_and_kept_anew(stage: Stage) -> None:
    await stage.spoil("UPDATE secrets SET content = x'00ff' WHERE name = 'pinned'")
    await stage.restart()
    assert [await stage.mine.secret("pinned") for _ in range(2)] == [None, None]
    await stage.mine.keep_secret("pinned", "three")
    assert await stage.mine.secret("pinned") == "three"


@pytest.mark.expected_log("The room key .* cannot be read, and is lost", times=2)
async def test_each_kind_of_loss_is_told_once(stage: Stage) -> None:
    await stage.spoil("UPDATE room_keys SET pickle = x'00'")
    told: list[Loss] = []
    stage.mine = await Machine.open(stage.folder, ME, "D", PICKLE_KEY, now_ms=NOW, on_loss=told.append)
    for _ in range(2):
        await stage.mine.decrypt([stage.read, await stage.bob.say("from Bob")])
    assert told == [Loss.ROOM_KEY]


async def test_a_verdict_that_cannot_be_read_vouches_for_nobody(stage: Stage) -> None:
    await stage.spoil(GARBAGE["verdict about a sender"])
    await stage.restart()
    assert (await stage.mine.sender_devices([OF_ALICE], NOW)).get(OF_ALICE) is not True


LOST = {
    "pickle": "UPDATE device SET account = 'garbage'",
    "bytes": "UPDATE device SET account = x'00ff'",
    "number": "UPDATE device SET account = 5",
    "device id": "UPDATE device SET device_id = x'00'",
    "user id": "UPDATE device SET user_id = x'00'",
    "no device": "DELETE FROM device",
}


@pytest.mark.parametrize("statement", LOST.values(), ids=LOST)
async def test_an_account_that_cannot_be_read_is_left_as_it_is_and_says_what_to_do(
    stage: Stage, statement: str
) -> None:
    await stage.spoil(statement)
    before = (stage.folder / FILE_NAME).read_bytes()
    for _ in range(2):
        with pytest.raises(UserError, match="encryption keys") as caught:
            await stage.restart()
        assert caught.value.hint == SIGN_IN_ANEW
        assert caught.value.exit_code == EXIT_NEEDS_LOGIN
    assert (stage.folder / FILE_NAME).read_bytes() == before


def no_database(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"not a database at all, " * 1000)


def no_pages(folder: Path) -> None:
    """The first page is sound, and all others are not."""
    content = (folder / FILE_NAME).read_bytes()
    (folder / FILE_NAME).write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


@pytest.mark.parametrize("damage", [no_database, no_pages])
async def test_a_file_that_is_damaged_says_that_the_device_has_to_be_renewed(
    stage: Stage, damage: Callable[[Path], None]
) -> None:
    """Moved away, it would have new keys under a device id for which others know the old ones."""
    await stage.mine.close()
    await asyncio.to_thread(damage, stage.folder)
    with pytest.raises(UserError, match=f"{FILE_NAME} is damaged") as caught:
        await stage.restart()
    assert caught.value.hint == SIGN_IN_ANEW
