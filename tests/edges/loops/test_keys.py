"""The device's keys at the homeserver: published after the first sync, replenished, never for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edges.loops.stage import WallClock
from fakes.encryption import FakeEncryption
from fakes.keys import FakeKeys, FakeKeyServer
from fakes.notices import FakeNotices
from heliograph.core.encryption.values import KeyUpload
from heliograph.errors import LoggedOut, Refused, Unreachable
from heliograph.loops.keys import ASK_AGAIN_MS, COLLISIONS, KeyLoop
from support.builders import ME
from support.waiting import until

MINUTE, HOUR = 60, 3600
DEVICE_KEYS = {"user_id": ME, "device_id": "D", "algorithms": [], "keys": {"ed25519:D": "mine"}, "signatures": {}}
EXISTS = Refused(400, "M_UNKNOWN", "One time key signed_curve25519:AAAA already exists")


def make_upload(*names: str, device_keys: dict[str, Any] | None = None, **parts: Any) -> KeyUpload:
    keys = {f"signed_curve25519:{name}": {"key": name, "signatures": {}} for name in names}
    return KeyUpload(device_keys=device_keys, one_time_keys=keys or None, **parts)


class Server(FakeKeys):
    """Refuses one-time keys under names that it has."""

    def __init__(self) -> None:
        super().__init__(FakeKeyServer())
        self.taken_names: set[str] = set()
        self.uploads: list[dict[str, Any]] = []

    async def upload_keys(self, **parts: Any) -> Any:
        if self.taken_names & set(parts.get("one_time_keys") or ()):
            raise EXISTS
        self.uploads.append({name: part for name, part in parts.items() if part})
        return await super().upload_keys(**parts)


class Stage:
    def __init__(self, clock: WallClock, *uploads: KeyUpload) -> None:
        self.server = Server()
        self.encryption = FakeEncryption(uploads=list(uploads))
        self.notices = FakeNotices()
        self.loop = KeyLoop(
            self.server,
            self.encryption,
            clock=clock,
            jitter=lambda: 0.5,
            troubles=self.notices,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.loop.run())
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def confirmed(self, count: int) -> None:
        await until(lambda: len(self.encryption.confirmed) >= count, f"{count} confirmed uploads")


async def test_the_device_is_published_after_the_first_sync(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A", device_keys=DEVICE_KEYS))
    async with stage.running():
        await asyncio.sleep(HOUR)
        assert stage.server.uploads == []
        stage.loop.take_counts(50, True)
        await stage.confirmed(1)
    assert stage.encryption.confirmed == [True]
    assert stage.server.uploads[0]["device_keys"] == DEVICE_KEYS


async def test_enough_keys_are_left_alone(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        for _ in range(5):
            stage.loop.take_counts(25, True)
            await asyncio.sleep(MINUTE)
    assert len(stage.encryption.asked) == 1
    assert stage.server.uploads == []


@pytest.mark.parametrize("count", [0, 24])
async def test_one_time_keys_are_replenished(clock: WallClock, count: int) -> None:
    stage = Stage(clock, make_upload("A", device_keys=DEVICE_KEYS), make_upload("B"))
    async with stage.running():
        stage.loop.take_counts(50, True)
        await stage.confirmed(1)
        # What was asked for before the upload may say less than there is.
        stage.loop.take_counts(0, False)
        stage.loop.take_counts(count, True)
        await stage.confirmed(2)
    assert stage.encryption.asked == [(50, False), (count, False)]
    assert stage.encryption.confirmed == [True, False]


async def test_a_used_fallback_key_is_told(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        stage.loop.take_counts(50, True)
        await asyncio.sleep(MINUTE)
        stage.loop.take_counts(50, False)
        await asyncio.sleep(MINUTE)
        stage.loop.take_counts(50, None)
        await asyncio.sleep(MINUTE)
    assert stage.encryption.asked == [(50, False), (50, True)]


async def test_a_server_that_tells_no_count_is_asked_now_and_then(clock: WallClock) -> None:
    stage = Stage(clock, make_upload(*(f"K{number}" for number in range(50))))
    async with stage.running():
        began = clock()
        while clock() - began < 3 * ASK_AGAIN_MS:
            stage.loop.take_counts(None, None)
            await asyncio.sleep(MINUTE)
    assert stage.encryption.confirmed == [False]
    assert 3 <= sum(not each for each in stage.server.uploads) <= 4
    assert len(stage.encryption.asked) <= 5


@pytest.mark.expected_log("The homeserver has other one-time keys under the names of ours")
async def test_keys_whose_names_the_server_knows_are_replaced_and_the_rest_is_published(clock: WallClock) -> None:
    fallback = {"signed_curve25519:F": {"key": "F", "signatures": {}}}
    stage = Stage(clock, make_upload("A", device_keys=DEVICE_KEYS, fallback_keys=fallback), make_upload("B"))
    stage.server.taken_names = {"signed_curve25519:A"}
    async with stage.running():
        stage.loop.take_counts(0, True)
        await stage.confirmed(2)
    assert stage.server.uploads[0] == {"device_keys": DEVICE_KEYS, "fallback_keys": fallback}
    assert list(stage.server.uploads[1]["one_time_keys"]) == ["signed_curve25519:B"]


@pytest.mark.expected_log("The homeserver has other one-time keys under the names of ours", times=(1, None))
async def test_a_server_that_has_every_name_is_not_asked_for_ever(clock: WallClock) -> None:
    stage = Stage(clock, *[make_upload("A")] * (COLLISIONS + 1))
    stage.server.taken_names = {"signed_curve25519:A"}
    async with stage.running():
        stage.loop.take_counts(0, True)
        await asyncio.sleep(MINUTE)
        assert len(stage.encryption.confirmed) == COLLISIONS
        stage.server.taken_names = set()
        await asyncio.sleep(HOUR)
    assert len(stage.encryption.confirmed) == COLLISIONS + 1


@pytest.mark.expected_log("The homeserver knows this device by other keys than those that are her")
async def test_a_device_that_the_server_knows_by_other_keys_is_not_published_again(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A", device_keys=DEVICE_KEYS))
    stage.server.server.devices[ME] = {"D": {**DEVICE_KEYS, "keys": {"ed25519:D": "another's"}}}
    async with stage.running() as task:
        stage.loop.take_counts(0, True)
        await asyncio.wait_for(task, MINUTE)
    assert stage.server.uploads == []
    assert stage.notices.titles == ["Messages cannot be decrypted: this device lost its keys"]


async def test_a_device_that_was_published_by_a_life_that_ended_then_is_published_again(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A", device_keys=DEVICE_KEYS))
    stage.server.server.devices[ME] = {"D": dict(DEVICE_KEYS)}
    async with stage.running():
        stage.loop.take_counts(0, True)
        await stage.confirmed(1)


async def test_a_device_that_the_server_has_forgotten_is_published_again(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        stage.loop.take_counts(50, True)
        await until(lambda: stage.encryption.asked)
    assert stage.encryption.forgotten == 1


async def test_a_device_that_the_server_knows_is_looked_for_once_and_stays_published(clock: WallClock) -> None:
    stage = Stage(clock)
    stage.server.server.devices[ME] = {"D": dict(DEVICE_KEYS)}
    async with stage.running():
        for count in (50, 0, 0):
            stage.loop.take_counts(count, True)
            await asyncio.sleep(MINUTE)
    assert stage.encryption.forgotten == 0
    assert len(stage.encryption.asked) == 3
    assert stage.server.server.requests == 1


async def test_a_device_is_looked_for_again_until_the_server_tells(clock: WallClock) -> None:
    stage = Stage(clock)
    stage.server.server.failure = Unreachable("no connection")
    async with stage.running():
        stage.loop.take_counts(50, True)
        await asyncio.sleep(MINUTE)
        assert stage.encryption.forgotten == 0
        stage.server.server.failure = None
        await until(lambda: stage.encryption.asked)
    assert stage.encryption.forgotten == 1


async def test_an_outage_is_waited_out(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A"))
    stage.server.server.failure = Unreachable("no connection")
    async with stage.running():
        stage.loop.take_counts(0, True)
        await asyncio.sleep(MINUTE)
        assert 3 < stage.server.server.requests < 10
        stage.server.server.failure = None
        await stage.confirmed(1)


async def test_a_full_disk_is_waited_out(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A"))
    stage.encryption.is_full = True
    async with stage.running():
        stage.loop.take_counts(0, True)
        await asyncio.sleep(MINUTE)
        stage.encryption.is_full = False
        await stage.confirmed(1)


async def test_a_server_without_keys_is_asked_seldom(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A"))
    stage.server.server.failure = Refused(404, "M_UNRECOGNIZED", "no such thing")
    async with stage.running():
        stage.loop.take_counts(0, True)
        await asyncio.sleep(HOUR)
    assert stage.server.server.requests <= 5


async def test_a_refused_token_is_the_accounts_matter_and_does_not_end_it(clock: WallClock) -> None:
    stage = Stage(clock, make_upload("A"))
    stage.server.server.failure = LoggedOut(soft=False)
    async with stage.running() as task:
        stage.loop.take_counts(0, True)
        await asyncio.sleep(MINUTE)
        assert not task.done()
        stage.server.server.failure = None
        await until(lambda: stage.encryption.confirmed)


@pytest.mark.expected_log("keys crashed", times=20)
async def test_a_fault_of_our_own_does_not_spin(clock: WallClock) -> None:
    stage = Stage(clock)
    asked = 0

    async def explode(**_: object) -> KeyUpload:
        nonlocal asked
        asked += 1
        raise RuntimeError("a fault of our own")

    stage.encryption.keys_to_upload = explode  # type: ignore[method-assign]
    async with stage.running() as task:
        stage.loop.take_counts(0, True)
        await asyncio.sleep(HOUR)
        assert not task.done()
    assert 2 <= asked <= 20
