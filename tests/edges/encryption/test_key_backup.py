"""Room keys come out of the key backup one by one, and only with its own key."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.encryption.values import RoomKey
from heliograph.encryption.identity.key_backup import VERSION_GOOD_MS, KeyBackup
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.encryption.olm.signatures import encode
from heliograph.errors import Unreachable
from heliograph.ports.homeserver import BackupVersion
from support.builders import ROOM

KEY = RoomKey(ROOM, "session/1")
CONTENT = {"algorithm": "m.megolm.v1.aes-sha2", "session_key": "x"}


class Stage:
    def __init__(self) -> None:
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server)
        self.vault = FakeVault()
        self.vault.kept[BACKUP] = encode(self.owner.backup.to_bytes())
        self.now = 1_000_000
        self.backup = KeyBackup(FakeKeys(self.server), self.vault, clock=lambda: self.now)
        self.owner.back_up(*(KEY.room_id, KEY.session_id), CONTENT)


async def test_a_room_key_is_fetched_alone() -> None:
    stage = Stage()
    assert await stage.backup.fetch(KEY) == CONTENT
    asked = stage.server.requests
    assert await stage.backup.fetch(RoomKey(ROOM, "another")) is None
    assert stage.server.requests == asked + 1


async def test_without_its_key_the_backup_is_not_asked() -> None:
    stage = Stage()
    stage.vault.kept.clear()
    assert await stage.backup.fetch(KEY) is None
    assert stage.server.requests == 0


async def test_a_backup_of_another_key_is_passed_over_until_it_has_ours() -> None:
    stage = Stage()
    good, stage.server.backup = stage.server.backup, None
    assert await stage.backup.fetch(KEY) is None
    stage.server.backup = good
    assert await stage.backup.fetch(KEY) is None
    stage.now += VERSION_GOOD_MS
    assert await stage.backup.fetch(KEY) == CONTENT


async def test_a_key_that_comes_is_used_at_once() -> None:
    stage = Stage()
    right = stage.vault.kept.pop(BACKUP)
    wrong = encode(bytes(32))
    await stage.backup.keep(wrong)
    assert await stage.backup.fetch(KEY) is None
    assert not await stage.backup.takes(wrong)
    assert await stage.backup.takes(right)
    await stage.backup.keep(right)
    assert await stage.backup.fetch(KEY) == CONTENT


@pytest.mark.parametrize(
    "version",
    [
        BackupVersion("1", "m.megolm_backup.v2", {}),
        BackupVersion("1", "m.megolm_backup.v1.curve25519-aes-sha2", {}),
        BackupVersion("1", "m.megolm_backup.v1.curve25519-aes-sha2", {"public_key": 7}),
        BackupVersion("1", "m.megolm_backup.v1.curve25519-aes-sha2", {"public_key": "%%"}),
    ],
)
async def test_a_backup_of_another_kind_is_passed_over(version: BackupVersion) -> None:
    stage = Stage()
    stage.server.backup = version
    assert await stage.backup.fetch(KEY) is None


@pytest.mark.parametrize("secret", ["", "x", "%", encode(bytes(31)), "\ud800"])
async def test_what_is_no_key_opens_nothing(secret: str) -> None:
    stage = Stage()
    assert not await stage.backup.takes(secret)
    await stage.backup.keep(secret)
    assert await stage.backup.fetch(KEY) is None


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"session_data": 7},
        {"session_data": {}},
        {"session_data": {"ciphertext": 1, "mac": [], "ephemeral": None}},
        {"session_data": {"ciphertext": "AAAA", "mac": "AAAA", "ephemeral": "A" * 43}},
    ],
)
async def test_an_entry_that_is_none_is_no_key(entry: Any) -> None:
    stage = Stage()
    stage.server.backed_up[KEY.room_id, KEY.session_id] = entry
    assert await stage.backup.fetch(KEY) is None


@pytest.mark.parametrize("content", [[], "text", 7, None])
async def test_a_content_that_is_no_object_is_no_key(content: Any) -> None:
    stage = Stage()
    stage.owner.back_up(KEY.room_id, KEY.session_id, content)
    assert await stage.backup.fetch(KEY) is None


async def test_a_server_that_fails_is_not_a_missing_key() -> None:
    stage = Stage()
    stage.server.failure = Unreachable("gone")
    with pytest.raises(Unreachable):
        await stage.backup.fetch(KEY)
