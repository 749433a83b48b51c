"""What the user is told and asked about this device, once, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from fakes.notices import FakeNotices
from heliograph.app.verification_api import VerificationApi
from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import Received
from heliograph.core.encryption.verification import Verification
from heliograph.core.encryption.verification_events import PREFIX, Message
from heliograph.core.notification import Category, Urgency
from heliograph.encryption.identity.cross_signing import read_own_keys
from heliograph.encryption.identity.device_trust import (
    AFTER_FAILURE_MS,
    DIFFER,
    LOOK_AGAIN_MS,
    MATCH,
    TOLD,
    DeviceTrust,
)
from heliograph.encryption.identity.sas import SasAgreement
from heliograph.encryption.olm.machine import Machine
from heliograph.errors import Unreachable, UserError
from support.builders import ALICE, ME
from support.peers import open_machine
from support.waiting import until

NOW = 1_700_000_000_000


class Stage:
    """Our device with its real machine; the phone, which the user's identity vouches for."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server)
        self.phone = FakeVault("PHONE")
        self.phone.publish(self.server)
        self.owner.sign("PHONE")
        self.now = NOW
        self.notices = FakeNotices()
        self.standings: list[Standing] = []
        self.trust = self.make_trust()

    def make_trust(self) -> DeviceTrust:
        return DeviceTrust(
            FakeKeys(self.server),
            self.machine,
            self.notices,
            clock=lambda: self.now,
            on_standing=self.standings.append,
        )

    async def publish(self) -> None:
        upload = await self.machine.keys_to_upload(one_time_keys=50, is_fallback_used=False, now_ms=NOW)
        await FakeKeys(self.server).upload_keys(device_keys=upload.device_keys)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.trust.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def turn(self) -> None:
        """As after a sync in which the homeserver is asked, until all is done that follows."""
        before = len(self.standings)
        self.trust.turn()
        await until(lambda: len(self.standings) > before, "the standing")
        await until(self.is_told, "what the user is told")

    async def is_told(self) -> bool:
        return await self.machine.secret(TOLD) == self.trust.standing.value

    @property
    def phase(self) -> str:
        """Of the verification that last changed."""
        return str((self.trust.look("")["verification"] or {}).get("phase"))

    async def compare(self) -> Verification:
        """The phone asks, and both show emoji."""
        own = read_own_keys(await FakeKeys(self.server).query_keys([ME]), ME)
        phone = Verification("t", self.phone.identity, own.known, self.now, SasAgreement)
        self.say(phone.request(("D",), self.now))
        await self.hear(phone, lambda: bool(self.notices.questions))
        return phone

    async def hear(self, phone: Verification, is_enough: Callable[[], bool]) -> None:
        """The phone answers what we say."""

        def hear() -> bool:
            self._hear(phone)
            return is_enough()

        await until(hear, "what the phone waits for")

    def _hear(self, phone: Verification) -> None:
        for _, type_, _, device_id, content in self.server.sent:
            if device_id == "PHONE":
                self.say(phone.receive(type_.removeprefix(PREFIX), content))
        self.server.sent.clear()

    def say(self, messages: list[Message]) -> None:
        self.trust.take_received([Received(each.type, ME, each.content) for each in messages])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    machine = await open_machine(tmp_path / "machine")
    stage = Stage(machine)
    await stage.publish()
    yield stage
    await machine.close()


async def test_an_unverified_device_is_told_of_once_also_over_restarts(stage: Stage) -> None:
    for _ in range(2):
        async with stage.running():
            await stage.turn()
            stage.now += LOOK_AGAIN_MS
            await stage.turn()
        stage.trust = stage.make_trust()
    assert stage.notices.titles == ["Verify this device to read encrypted messages"]
    assert stage.standings[-1] is Standing.UNVERIFIED


async def test_it_is_told_again_if_it_was_verified_meanwhile(stage: Stage) -> None:
    async with stage.running():
        await stage.turn()
        signatures = stage.server.devices[ME]["D"]["signatures"][ME]
        stage.owner.sign("D")
        stage.now += LOOK_AGAIN_MS
        await stage.turn()
        assert stage.trust.standing is Standing.VERIFIED
        del signatures[f"ed25519:{stage.owner.self_signing.public_key}"]
        stage.now += LOOK_AGAIN_MS
        await stage.turn()
    assert len(stage.notices.told) == 2


async def test_the_homeserver_is_asked_seldom(stage: Stage) -> None:
    async with stage.running():
        await stage.turn()
        asked = stage.server.requests
        stage.now += LOOK_AGAIN_MS - 1
        stage.trust.turn()
        await asyncio.sleep(0.05)
    assert stage.server.requests == asked


async def test_an_identity_that_is_set_up_meanwhile_is_seen_at_once(stage: Stage) -> None:
    master = dict(stage.server.master)
    stage.server.master.clear()
    async with stage.running():
        await stage.turn()
        stage.server.master.update(master)
        stage.trust.look_again()
        await until(lambda: stage.standings[-1] is Standing.UNVERIFIED, "the standing")
        await until(stage.is_told, "what the user is told")
    assert stage.notices.titles == ["Verify this device to read encrypted messages"]


async def test_many_changes_at_once_are_one_look(stage: Stage) -> None:
    async with stage.running():
        for _ in range(1000):
            stage.trust.look_again()
        await until(lambda: stage.standings, "the standing")
        await until(stage.is_told, "what the user is told")
    assert stage.server.requests < 10


@pytest.mark.expected_log("Verification: not now")
async def test_a_look_that_fails_is_made_again_after_a_minute(stage: Stage) -> None:
    stage.server.failure = Unreachable("not now")
    async with stage.running():
        asked = stage.server.requests
        stage.trust.look_again()
        await until(lambda: stage.server.requests > asked, "the look")
        stage.server.failure = None
        stage.now += AFTER_FAILURE_MS - 1
        asked = stage.server.requests
        stage.trust.turn()
        await asyncio.sleep(0.05)
        assert stage.server.requests == asked
        stage.now += 1
        await stage.turn()
    assert stage.standings == [Standing.UNVERIFIED]


async def test_who_has_no_identity_is_not_bothered(stage: Stage) -> None:
    stage.server.master.clear()
    async with stage.running():
        await stage.turn()
    assert stage.notices.titles == []
    assert stage.trust.standing is Standing.NO_IDENTITY
    assert await stage.machine.secret(TOLD) == "no identity"


async def test_a_question_shows_the_emoji_and_the_answer_counts(stage: Stage) -> None:
    async with stage.running():
        phone = await stage.compare()
        ((question, answer),) = stage.notices.questions.values()
        assert question.category is Category.DEVICE
        assert question.urgency is Urgency.CRITICAL
        assert all(each.name in question.body for each in phone.emoji)
        assert [each.key for each in question.actions] == [MATCH, DIFFER]
        answer(MATCH)
        stage.say(phone.confirm())
        await stage.hear(phone, lambda: stage.phase == "done")
        assert stage.notices.questions == {}
        view = stage.trust.look("t")["verification"]
        assert [each[1] for each in view["emoji"]] == [each.name for each in phone.emoji]


async def test_different_emoji_end_it_and_the_question_goes(stage: Stage) -> None:
    async with stage.running():
        phone = await stage.compare()
        ((_, answer),) = stage.notices.questions.values()
        answer(DIFFER)
        await stage.hear(phone, lambda: phone.is_over)
        assert stage.notices.questions == {}
        assert phone.code == "m.mismatched_sas"


async def test_the_user_may_give_up(stage: Stage) -> None:
    async with stage.running():
        transaction_id = await stage.trust.begin()
        stage.trust.cancel(transaction_id)
        await until(lambda: stage.phase == "cancelled", "the end")


async def test_with_the_recovery_key_all_is_well_and_nothing_is_told(stage: Stage) -> None:
    async with stage.running():
        assert await stage.trust.unlock("recovery key", stage.owner.recovery_key())
        await until(stage.is_told, "what the user is told")
    assert stage.trust.standing is Standing.VERIFIED
    assert stage.notices.titles == []


async def test_there_are_but_two_kinds_of_secret(stage: Stage) -> None:
    with pytest.raises(UserError, match="way to verify"):
        await stage.trust.unlock("rabbit", "x")


async def test_what_is_asked_goes_to_the_account_it_is_about(stage: Stage) -> None:
    signed_in: Mapping[str, DeviceTrust | None] = {ME: stage.trust, ALICE: None}
    api = VerificationApi(signed_in.get)
    async with stage.running():
        transaction_id = await api.begin(ME)
        assert (await api.look(ME, transaction_id))["verification"]["phase"] == "requested"
        await api.answer(ME, transaction_id, is_same=True)
        await api.cancel(ME, transaction_id)
        await until(lambda: stage.phase == "cancelled", "the end")
        assert await api.unlock(ME, "recovery key", stage.owner.recovery_key())
    for user_id in (ALICE, "@nobody:x"):
        with pytest.raises(UserError, match="has not signed"):
            await api.begin(user_id)


async def test_a_reset_identity_is_told(stage: Stage) -> None:
    async with stage.running():
        await stage.trust.unlock("recovery key", stage.owner.recovery_key())
        FakeOwner(stage.server)
        stage.now += LOOK_AGAIN_MS
        await stage.turn()
    assert stage.notices.titles == ["Your account's identity was reset"]


@pytest.mark.expected_log("device trust crashed")
async def test_what_a_fault_of_our_own_kept_from_being_told_is_told_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("a fault")]
    secret = stage.machine.secret

    async def secret_or_fault(name: str) -> str | None:
        if name == TOLD and faults:
            raise faults.pop()
        return await secret(name)

    monkeypatch.setattr(stage.machine, "secret", secret_or_fault)
    async with stage.running():
        stage.trust.turn()
        await until(lambda: stage.notices.told, "the notice")
    assert not faults
    assert len(stage.notices.told) == 1
