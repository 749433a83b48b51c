"""Messages of devices that their owners have not signed are told apart, if the user wants that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.encryption.values import Clear, KeyUpload, Locked, Reason, SenderDevice, Taken
from heliograph.core.events import Event
from heliograph.encryption.identity import senders
from heliograph.encryption.identity.senders import Senders
from heliograph.encryption.olm import sender_devices
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.sender_devices import SIGNED_GOOD_MS, UNSIGNED_GOOD_MS
from heliograph.errors import Unreachable
from heliograph.ports.homeserver import PublishedKeys
from support.builders import ALICE, ME, make_event


class Decrypting:
    """`ports.Encryption` that has read everything already."""

    def __init__(self, answer: Clear | Locked) -> None:
        self.answer = answer

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        return Taken()

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        return [self.answer for _ in events]

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        raise NotImplementedError

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        raise NotImplementedError

    async def forget_publication(self) -> None:
        raise NotImplementedError

    async def close(self) -> None: ...


class Stage:
    def __init__(self, machine: Machine, policy: Literal["mark", "hide"]) -> None:
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server, ALICE)
        self.phone = FakeVault("PHONE", ALICE)
        self.phone.publish(self.server)
        self.keys = FakeKeys(self.server)
        self.now = 1_000_000_000
        own = self.phone.identity
        self.decrypting = Decrypting(Clear({}, own.curve25519, own.ed25519))
        self.senders = Senders(self.decrypting, machine, self.keys, policy, clock=lambda: self.now)

    async def read(self, sender: str = ALICE) -> Clear:
        (clear,) = await self.senders.decrypt([make_event(sender=sender, type="m.room.encrypted")])
        assert isinstance(clear, Clear)
        return clear


@pytest.fixture
async def machine(tmp_path: Path) -> Machine:
    return await Machine.open(tmp_path, ME, "D", "pickle", now_ms=0)


@pytest.fixture(params=["mark", "hide"])
def stage(machine: Machine, request: pytest.FixtureRequest) -> Stage:
    return Stage(machine, request.param)


async def test_a_device_that_its_owner_signed_is_as_it_should_be(stage: Stage, machine: Machine) -> None:
    stage.owner.sign("PHONE")
    clear = await stage.read()
    assert not clear.is_sender_unsigned
    assert not clear.is_hidden
    await machine.close()


@pytest.mark.parametrize("stage", ["mark"], indirect=True)
async def test_an_unsigned_device_is_marked(stage: Stage, machine: Machine) -> None:
    clear = await stage.read()
    assert clear.is_sender_unsigned
    assert not clear.is_hidden
    await machine.close()


@pytest.mark.parametrize("stage", ["hide"], indirect=True)
async def test_or_hidden(stage: Stage, machine: Machine) -> None:
    assert (await stage.read()).is_hidden
    await machine.close()


async def test_keys_that_no_device_of_the_sender_has_are_not_signed(stage: Stage, machine: Machine) -> None:
    stage.owner.sign("PHONE")
    stage.decrypting.answer = Clear({}, "another", "another")
    assert (await stage.read()).is_sender_unsigned
    await machine.close()


async def test_who_cannot_be_looked_up_is_marked_and_never_hidden(stage: Stage, machine: Machine) -> None:
    stage.server.failure = Unreachable("gone")
    clear = await stage.read()
    assert clear.is_sender_unsigned
    assert not clear.is_hidden
    stage.server.failure = None
    stage.owner.sign("PHONE")
    assert not (await stage.read()).is_sender_unsigned
    await machine.close()


async def test_a_homeserver_that_does_not_answer_holds_up_messages_only_shortly(
    stage: Stage, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(users: object) -> PublishedKeys:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(senders, "LOOK_S", 0.05)
    monkeypatch.setattr(stage.keys, "query_keys", never)
    assert (await stage.read()).is_sender_unsigned
    await machine.close()


async def test_a_sender_is_looked_up_once_for_a_while(stage: Stage, machine: Machine) -> None:
    await stage.read()
    stage.owner.sign("PHONE")
    assert (await stage.read()).is_sender_unsigned
    assert stage.server.requests == 1
    stage.now += UNSIGNED_GOOD_MS
    assert not (await stage.read()).is_sender_unsigned
    stage.now += SIGNED_GOOD_MS - 1
    await stage.read()
    assert stage.server.requests == 2
    stage.now += 1
    await stage.read()
    assert stage.server.requests == 3
    await machine.close()


async def test_we_and_the_backup_and_the_unreadable_are_not_looked_up(stage: Stage, machine: Machine) -> None:
    await stage.read(ME)
    stage.decrypting.answer = Clear({}, "key", is_from_backup=True)
    await stage.read()
    stage.decrypting.answer = Locked(Reason.BROKEN)
    assert await stage.senders.decrypt([make_event(sender=ALICE)]) == [Locked(Reason.BROKEN)]
    assert stage.server.requests == 0
    await machine.close()


async def test_what_is_remembered_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_devices, "MOST_KEPT", 3)
    devices = [SenderDevice(ALICE, f"curve{number}", "ed") for number in range(5)]
    for number, device in enumerate(devices):
        await machine.keep_sender_devices({device: True}, number)
    assert set(await machine.sender_devices(devices, 5)) == set(devices[2:])
    await machine.close()
