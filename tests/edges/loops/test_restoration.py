"""Room keys that are missing come out of the key backup, as soon as they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Json
from heliograph.encryption.identity import restoration
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.restoration import AGAIN_S, TROUBLE_S, Restoration
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.encryption.olm.signatures import encode
from heliograph.errors import StorageError, Unreachable
from support.builders import ROOM

KEY, OTHER = RoomKey(ROOM, "session/1"), RoomKey(ROOM, "session/2")
CONTENT = {"session_key": "good"}


class FakeStore(FakeVault):
    """A machine that takes what says it is good."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None

    async def import_room_key(self, key: RoomKey, content: Json) -> bool:
        if self.failure is not None:
            raise self.failure
        return content == CONTENT


class Stage:
    def __init__(self) -> None:
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server)
        self.store = FakeStore()
        self.secret = encode(self.owner.backup.to_bytes())
        self.store.kept[BACKUP] = self.secret
        backup = KeyBackup(FakeKeys(self.server), self.store, clock=lambda: 0)
        self.restoration = Restoration(backup, self.store, on_room_keys=self._take)
        self.came: list[Collection[RoomKey]] = []

    async def _take(self, keys: Collection[RoomKey]) -> None:
        self.came.append(keys)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    running = asyncio.create_task(stage.restoration.run())
    yield stage
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_is_there_comes_at_once(stage: Stage) -> None:
    stage.owner.back_up(KEY.room_id, KEY.session_id, CONTENT)
    stage.owner.back_up(OTHER.room_id, OTHER.session_id, CONTENT)
    stage.restoration.want([KEY, OTHER])
    await asyncio.sleep(0.1)
    assert stage.came == [[KEY, OTHER]]


async def test_what_another_client_backs_up_later_comes_later(stage: Stage) -> None:
    stage.restoration.want([KEY])
    await asyncio.sleep(1)
    stage.owner.back_up(KEY.room_id, KEY.session_id, CONTENT)
    await asyncio.sleep(AGAIN_S[0] - 2)
    assert stage.came == []
    await asyncio.sleep(2)
    assert stage.came == [[KEY]]


async def test_it_is_not_looked_for_forever(stage: Stage) -> None:
    stage.restoration.want([KEY])
    await asyncio.sleep(sum(AGAIN_S) + 1)
    asked = stage.server.requests
    assert asked == 2 + len(AGAIN_S)  # the version, and the key each time
    await asyncio.sleep(100 * sum(AGAIN_S))
    assert stage.server.requests == asked


async def test_a_key_that_does_not_fit_is_as_good_as_none(stage: Stage) -> None:
    stage.owner.back_up(KEY.room_id, KEY.session_id, {"session_key": "bad"})
    stage.restoration.want([KEY])
    await asyncio.sleep(sum(AGAIN_S) + 1)
    assert stage.came == []


async def test_without_the_key_of_the_backup_nothing_is_asked_until_it_comes(stage: Stage) -> None:
    del stage.store.kept[BACKUP]
    stage.owner.back_up(KEY.room_id, KEY.session_id, CONTENT)
    stage.restoration.want([KEY])
    await asyncio.sleep(100 * sum(AGAIN_S))
    assert stage.server.requests == 0
    stage.store.kept[BACKUP] = stage.secret
    stage.restoration.take_key()
    await asyncio.sleep(0.1)
    assert stage.came == [[KEY]]


@pytest.mark.expected_log("key backup crashed", times=(0, 2))
@pytest.mark.parametrize("failure", [Unreachable("gone"), StorageError("full"), RuntimeError("a fault of our own")])
async def test_after_a_failure_it_is_tried_again(stage: Stage, failure: Exception) -> None:
    stage.owner.back_up(KEY.room_id, KEY.session_id, CONTENT)
    if isinstance(failure, Unreachable):
        stage.server.failure = failure
    else:
        stage.store.failure = failure
    stage.restoration.want([KEY])
    await asyncio.sleep(TROUBLE_S / 2)
    asked = stage.server.requests
    stage.server.failure = stage.store.failure = None
    await asyncio.sleep(TROUBLE_S / 4)
    assert stage.server.requests == asked
    await asyncio.sleep(TROUBLE_S)
    assert stage.came == [[KEY]]


async def test_what_was_found_before_a_failure_is_told(stage: Stage) -> None:
    stage.owner.back_up(KEY.room_id, KEY.session_id, CONTENT)

    async def take(key: RoomKey, content: Json) -> bool:
        stage.server.failure = Unreachable("gone")
        return True

    stage.store.import_room_key = take  # type: ignore[method-assign]
    stage.restoration.want([KEY, OTHER])
    await asyncio.sleep(1)
    assert stage.came == [[KEY]]


async def test_for_new_keys_the_oldest_are_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoration, "MOST_WANTED", 1)
    for key in (KEY, OTHER):
        stage.owner.back_up(key.room_id, key.session_id, CONTENT)
    stage.restoration.want([KEY, OTHER])
    await asyncio.sleep(0.1)
    assert stage.came == [[OTHER]]
