"""Replies into encrypted rooms: who gets their key, who does not, and when they are refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes.keys import FakeKeys, FakeKeyServer
from heliograph.core.encryption.values import MEGOLM, Clear, Locked, Reason
from heliograph.core.events import Event
from heliograph.core.ids import UserId
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.signatures import SigningKey
from heliograph.encryption.sending import RoomSender, SendTo
from heliograph.errors import StorageError, Unreachable, UserError
from heliograph.ports.homeserver import Audience
from support.builders import ALICE, BOB, ME, ROOM, make_event
from support.peers import NOW, open_machine, to_device_event

ENCRYPTION = {"algorithm": MEGOLM}
EVERYONE = Audience(frozenset({ME, ALICE}), frozenset({BOB}), ENCRYPTION)


class Stage:
    """Machines at one key server, and what they send one another."""

    def __init__(self, folder: Path) -> None:
        self.server = FakeKeyServer()
        self._folder = folder
        self._machines: dict[tuple[str, str], Machine] = {}

    async def device(self, user_id: str, device_id: str) -> Machine:
        machine = await open_machine(self._folder / f"{user_id}{device_id}", UserId(user_id), device_id)
        await self.publish(machine)
        self._machines[user_id, device_id] = machine
        return machine

    async def publish(self, machine: Machine) -> None:
        upload = await machine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
        keys = FakeKeys(self.server, machine.identity.user_id, machine.identity.device_id)
        await keys.upload_keys(device_keys=upload.device_keys, one_time_keys=upload.one_time_keys)
        await machine.confirm_upload(is_device_published=True)

    def sign(self, user_id: str, device_id: str) -> None:
        """The user verifies the device."""
        master, self_signing = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
        self.server.master[user_id] = _cross_key(user_id, "master", master)
        key = _cross_key(user_id, "self_signing", self_signing)
        key["signatures"] = {user_id: {f"ed25519:{master.public_key}": master.sign(key)}}
        self.server.self_signing[user_id] = key
        device = self.server.devices[user_id][device_id]
        device["signatures"][user_id][f"ed25519:{self_signing.public_key}"] = self_signing.sign(device)

    def sender(self, send_to: SendTo = "all") -> RoomSender:
        return RoomSender(FakeKeys(self.server, ME, "D"), self._machines[ME, "D"], send_to)

    async def say(self, sender: RoomSender, body: str, audience: Audience = EVERYONE) -> Event:
        content = await sender.encrypt(ROOM, audience, "m.room.message", {"msgtype": "m.text", "body": body})
        return make_event(type="m.room.encrypted", sender=ME, content=dict(content))

    async def deliver(self) -> list[tuple[str, str, str]]:
        """Type, user and device of what was sent, which the devices have taken now."""
        sent, self.server.sent = self.server.sent, []
        for _, type_, user_id, device_id, content in sent:
            if (machine := self._machines.get((user_id, device_id))) is not None:
                await machine.take([to_device_event(ME, type_, content)])
        return [(type_, user_id, device_id) for _, type_, user_id, device_id, _ in sent]

    async def close(self) -> None:
        for machine in self._machines.values():
            await machine.close()


def _cross_key(user_id: str, usage: str, key: SigningKey) -> dict[str, Any]:
    return {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{key.public_key}": key.public_key}}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


async def read(machine: Machine, event: Event) -> object:
    (outcome,) = await machine.decrypt([event])
    return outcome.payload["content"]["body"] if isinstance(outcome, Clear) else outcome.reason


async def test_all_members_devices_read_it_and_those_of_the_invited(stage: Stage) -> None:
    mine, other = await stage.device(ME, "D"), await stage.device(ME, "E")
    alice, bob = await stage.device(ALICE, "A"), await stage.device(BOB, "B")
    event = await stage.say(stage.sender(), "ahoy")
    assert len(await stage.deliver()) == 3
    assert [await read(each, event) for each in (mine, other, alice, bob)] == ["ahoy"] * 4


async def test_the_invited_get_no_key_where_history_is_for_members_alone(stage: Stage) -> None:
    await stage.device(ME, "D")
    alice, bob = await stage.device(ALICE, "A"), await stage.device(BOB, "B")
    audience = Audience(EVERYONE.joined, EVERYONE.invited, ENCRYPTION, "joined")
    event = await stage.say(stage.sender(), "ahoy", audience)
    await stage.deliver()
    assert [await read(each, event) for each in (alice, bob)] == ["ahoy", Reason.NO_KEY]


async def test_the_next_message_needs_no_new_key(stage: Stage) -> None:
    await stage.device(ME, "D")
    alice = await stage.device(ALICE, "A")
    sender = stage.sender()
    await stage.say(sender, "first")
    await stage.deliver()
    second = await stage.say(sender, "second")
    assert await stage.deliver() == []
    assert await read(alice, second) == "second"


async def test_a_new_device_reads_what_comes_from_now_on(stage: Stage) -> None:
    await stage.device(ME, "D")
    await stage.device(ALICE, "A")
    sender = stage.sender()
    first = await stage.say(sender, "first")
    await stage.deliver()
    new = await stage.device(ALICE, "NEW")
    second = await stage.say(sender, "second")
    assert await stage.deliver() == [("m.room.encrypted", ALICE, "NEW")]
    assert await read(new, second) == "second"
    assert await read(new, first) == Reason.KEY_STARTS_LATER


@pytest.mark.parametrize("is_member", [True, False], ids=["device removed", "member left"])
async def test_who_is_gone_does_not_read_what_comes_from_now_on(stage: Stage, is_member: bool) -> None:
    await stage.device(ME, "D")
    alice, gone = await stage.device(ALICE, "A"), await stage.device(BOB, "B")
    sender = stage.sender()
    await stage.say(sender, "first")
    await stage.deliver()
    if is_member:
        del stage.server.devices[BOB]["B"]
    audience = EVERYONE if is_member else Audience(EVERYONE.joined, encryption=ENCRYPTION)
    second = await stage.say(sender, "second", audience)
    await stage.deliver()
    assert [await read(each, second) for each in (alice, gone)] == ["second", Reason.NO_KEY]


async def test_a_room_that_wants_new_keys_often_gets_them(stage: Stage) -> None:
    await stage.device(ME, "D")
    await stage.device(ALICE, "A")
    sender = stage.sender()
    audience = Audience(EVERYONE.joined, encryption={**ENCRYPTION, "rotation_period_msgs": 2})
    sessions = [(await stage.say(sender, "hello", audience)).content["session_id"] for _ in range(4)]
    assert len(set(sessions)) == 2


async def test_only_signed_devices_get_the_key_if_the_user_wants_it_so(stage: Stage) -> None:
    await stage.device(ME, "D")
    alice, unsigned = await stage.device(ALICE, "A"), await stage.device(ALICE, "U")
    stage.sign(ALICE, "A")
    event = await stage.say(stage.sender("signed"), "ahoy")
    assert await stage.deliver() == [("m.room.encrypted", ALICE, "A"), ("m.room_key.withheld", ALICE, "U")]
    assert await read(alice, event) == "ahoy"
    (locked,) = await unsigned.decrypt([event])
    assert isinstance(locked, Locked)
    assert locked.code == "m.unverified"


@pytest.mark.expected_log("1 device has other keys than before: nothing is sent there")
async def test_a_device_whose_keys_changed_gets_nothing(stage: Stage, tmp_path: Path) -> None:
    await stage.device(ME, "D")
    await stage.device(BOB, "B")
    first = await stage.device(ALICE, "A")
    sender = stage.sender()
    await stage.say(sender, "first")
    await stage.deliver()
    await first.close()
    stage.server.forget(ALICE, "A")
    impostor = await open_machine(tmp_path / "impostor", ALICE, "A")
    await stage.publish(impostor)
    await stage.say(sender, "second")
    assert ("m.room.encrypted", ALICE, "A") not in await stage.deliver()
    await impostor.close()


async def test_a_device_that_did_not_sign_its_keys_gets_nothing(stage: Stage) -> None:
    await stage.device(ME, "D")
    await stage.device(ALICE, "A")
    await stage.device(BOB, "B")
    stage.server.devices[ALICE]["A"]["keys"]["curve25519:A"] = "x" * 43
    await stage.say(stage.sender(), "hello")
    assert await stage.deliver() == [("m.room.encrypted", BOB, "B")]


async def test_a_one_time_key_that_was_not_signed_by_its_device_is_not_used(stage: Stage) -> None:
    await stage.device(ME, "D")
    await stage.device(ALICE, "A")
    await stage.device(BOB, "B")
    for key in stage.server.one_time_keys[ALICE, "A"].values():
        key["signatures"] = json.loads(json.dumps(key["signatures"]).replace("A", "B"))
    await stage.say(stage.sender(), "hello")
    assert await stage.deliver() == [("m.room.encrypted", BOB, "B")]


async def test_what_nobody_could_read_is_refused(stage: Stage) -> None:
    await stage.device(ME, "D")
    with pytest.raises(UserError, match="No device in this room may read"):
        await stage.say(stage.sender(), "hello")


async def test_what_nobody_can_be_given_the_key_of_is_refused(stage: Stage) -> None:
    await stage.device(ME, "D")
    await stage.device(ALICE, "A")
    stage.server.one_time_keys.clear()
    with pytest.raises(UserError, match="could be given the key"):
        await stage.say(stage.sender(), "hello")


async def test_an_encryption_that_nobody_knows_is_refused(stage: Stage) -> None:
    await stage.device(ME, "D")
    with pytest.raises(UserError, match="does not know"):
        await stage.say(stage.sender(), "hello", Audience(EVERYONE.joined, encryption={"algorithm": "m.moon"}))


async def test_an_outage_on_the_way_gives_the_key_again_the_next_time(stage: Stage) -> None:
    await stage.device(ME, "D")
    alice = await stage.device(ALICE, "A")
    sender = stage.sender()
    await stage.say(sender, "before")
    stage.server.sent = []
    new = await stage.device(ALICE, "NEW")
    stage.server.failure = Unreachable("no connection")
    with pytest.raises(Unreachable):
        await stage.say(sender, "lost")
    stage.server.failure = None
    event = await stage.say(sender, "hello")
    await stage.deliver()
    assert await read(new, event) == "hello"
    assert await read(alice, event) == Reason.NO_KEY  # what was sent before was lost in this test


async def test_a_key_that_a_full_disk_took_is_no_message_in_clear(stage: Stage) -> None:
    mine = await stage.device(ME, "D")
    with pytest.raises(StorageError):
        await mine.encrypt_room(ROOM, "m.room.message", {"body": "hello"})


async def test_a_relation_stays_in_clear(stage: Stage) -> None:
    await stage.device(ME, "D")
    alice = await stage.device(ALICE, "A")
    relation = {"m.in_reply_to": {"event_id": "$before"}}
    content = {"msgtype": "m.text", "body": "yes", "m.relates_to": relation}
    sealed = await stage.sender().encrypt(ROOM, EVERYONE, "m.room.message", content)
    await stage.deliver()
    assert sealed["m.relates_to"] == relation
    (clear,) = await alice.decrypt([make_event(type="m.room.encrypted", sender=ME, content=dict(sealed))])
    assert isinstance(clear, Clear)
    assert clear.payload["content"] == {"msgtype": "m.text", "body": "yes"}
