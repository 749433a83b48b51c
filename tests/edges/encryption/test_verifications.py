"""Verification with the user's other devices: whom we listen to, what the user is asked, and what follows."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import Received
from heliograph.core.encryption.verification import Phase
from heliograph.core.encryption.verification_events import METHOD
from heliograph.encryption.identity.cross_signing import PINNED, CrossSigning
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.secret_request import SecretRequest
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.encryption.identity.verifications import MOST_OPEN, Verifications
from heliograph.encryption.identity.views import View
from heliograph.encryption.olm.signatures import encode
from heliograph.errors import AccountLocked, Refused, Unreachable, UserError
from support.builders import ALICE, ME
from support.waiting import until

NOW = 1_700_000_000_000


class Device:
    """One device of the user, with all that verification needs."""

    def __init__(self, server: FakeKeyServer, device_id: str) -> None:
        self.vault = FakeVault(device_id)
        self.vault.publish(server)
        self.keys = FakeKeys(server, ME, device_id)
        self.cross_signing = CrossSigning(self.keys, self.vault)
        self.backup = KeyBackup(self.keys, self.vault, clock=lambda: NOW)
        ids = itertools.count(1)
        self.now = NOW
        self.views: list[View] = []
        self.standings: list[Standing] = []
        self.backup_keys = 0

        def make_id() -> str:
            return f"{device_id}-{next(ids)}"

        self.verifications = Verifications(
            self.keys,
            self.vault,
            self.cross_signing,
            SecretRequest(self.keys, self.vault, self.backup, make_id=make_id),
            clock=lambda: self.now,
            make_id=make_id,
            sleep=lambda seconds: asyncio.sleep(0),
            on_view=self.views.append,
            on_standing=self.standings.append,
            on_backup_key=self._count,
        )

    def _count(self) -> None:
        self.backup_keys += 1

    @property
    def phase(self) -> Phase | None:
        view = self.verifications.view()
        return view.phase if view else None

    def take(self, type_: str, content: Any, sender: str = ME, **more: Any) -> None:
        self.verifications.offer(Received(type_, sender, content, **more))


class Stage:
    """Our device D, which nobody has verified, and the phone, which the user's identity vouches for."""

    def __init__(self) -> None:
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server)
        self.here, self.phone = Device(self.server, "D"), Device(self.server, "PHONE")
        self.owner.sign("PHONE")
        self.devices = {"D": self.here, "PHONE": self.phone}
        self.carried = 0

    def carry(self) -> None:
        """Brings what was sent to where it belongs."""
        while self.carried < len(self.server.sent):
            _, type_, user, device, content = self.server.sent[self.carried]
            self.carried += 1
            if user == ME and device in self.devices:
                self.devices[device].take(type_, content)

    async def wait(self, device: Device, phase: Phase) -> View:
        def look() -> View | None:
            self.carry()
            view = device.verifications.view()
            return view if view is not None and view.phase is phase else None

        view: View = await until(look, f"phase {phase.value}")
        return view

    async def settle(self) -> None:
        """Until nothing is under way."""
        for _ in range(50):
            self.carry()
            await asyncio.sleep(0)

    def sent(self, type_: str) -> list[Any]:
        """What our device sent of this type."""
        return [content for device, sent, _, _, content in self.server.sent if (device, sent) == ("D", type_)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    tasks = [asyncio.create_task(device.verifications.run()) for device in stage.devices.values()]
    yield stage
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def compare(stage: Stage) -> tuple[View, View]:
    here, there = await stage.wait(stage.here, Phase.COMPARING), await stage.wait(stage.phone, Phase.COMPARING)
    assert here.emoji == there.emoji
    assert len(here.emoji) == 7
    return here, there


async def confirm(stage: Stage) -> None:
    here, there = await compare(stage)
    stage.here.verifications.answer(here.transaction_id, is_same=True)
    stage.phone.verifications.answer(there.transaction_id, is_same=True)
    await stage.wait(stage.here, Phase.DONE)
    await stage.wait(stage.phone, Phase.DONE)


@pytest.mark.expected_log("The other device has not signed this one")
async def test_asked_by_a_device_that_the_user_trusts_we_compare(stage: Stage) -> None:
    await stage.phone.verifications.ask()
    await confirm(stage)
    assert stage.here.vault.kept.get(PINNED) is None, "this phone vouches for no master key"


@pytest.mark.expected_log("The other device has not signed this one")
async def test_we_may_ask_too(stage: Stage) -> None:
    stage.phone.verifications.want(is_wanted=True)
    await stage.here.verifications.ask()
    await confirm(stage)


async def test_a_device_that_nobody_vouches_for_is_left_alone(stage: Stage) -> None:
    del stage.server.devices[ME]["PHONE"]["signatures"][ME][f"ed25519:{stage.owner.self_signing.public_key}"]
    await stage.phone.verifications.ask()
    await stage.settle()
    assert stage.here.phase is None
    assert stage.sent("m.key.verification.ready") == []
    assert stage.here.standings == [Standing.UNVERIFIED]


async def test_once_verified_we_leave_requests_to_others(stage: Stage) -> None:
    stage.owner.sign("D")
    await stage.phone.verifications.ask()
    await stage.settle()
    assert stage.here.phase is None
    assert stage.here.standings == [Standing.VERIFIED]


async def test_at_a_terminal_every_device_of_the_user_may_ask(stage: Stage) -> None:
    stage.owner.sign("D")
    stage.here.verifications.want(is_wanted=True)
    await stage.phone.verifications.ask()
    await stage.wait(stage.here, Phase.COMPARING)


async def test_strangers_are_not_heard(stage: Stage) -> None:
    stage.here.verifications.want(is_wanted=True)
    request = {"transaction_id": "t", "from_device": "PHONE", "methods": [METHOD], "timestamp": NOW}
    stage.here.take("m.key.verification.request", request, sender=ALICE)
    await stage.settle()
    assert stage.server.sent == []
    assert stage.server.requests == 0


async def test_our_own_request_is_not_answered(stage: Stage) -> None:
    stage.here.verifications.want(is_wanted=True)
    request = {"transaction_id": "t", "from_device": "D", "methods": [METHOD], "timestamp": NOW}
    stage.here.take("m.key.verification.request", request)
    await stage.settle()
    assert stage.server.sent == []


async def test_only_a_few_are_open_at_once(stage: Stage) -> None:
    for number in range(MOST_OPEN + 2):
        request = {"transaction_id": f"t{number}", "from_device": "PHONE", "methods": [METHOD], "timestamp": NOW}
        stage.here.take("m.key.verification.request", request)
    await until(lambda: len(stage.sent("m.key.verification.ready")) == MOST_OPEN, "answers")
    await asyncio.sleep(0)
    assert len(stage.sent("m.key.verification.ready")) == MOST_OPEN


async def test_different_emoji_end_it_and_nothing_follows(stage: Stage) -> None:
    await stage.phone.verifications.ask()
    here, _ = await compare(stage)
    stage.here.verifications.answer(here.transaction_id, is_same=False)
    view = await stage.wait(stage.phone, Phase.CANCELLED)
    assert view.code == "m.mismatched_sas"
    await stage.settle()
    assert stage.sent("m.secret.request") == []
    assert PINNED not in stage.here.vault.kept


async def test_the_user_may_cancel(stage: Stage) -> None:
    await stage.phone.verifications.ask()
    here, _ = await compare(stage)
    stage.here.verifications.cancel(here.transaction_id)
    assert (await stage.wait(stage.phone, Phase.CANCELLED)).code == "m.user"


async def test_it_ends_when_nothing_happens_for_too_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.encryption.identity.verifications.TICK_S", 0.01)
    await stage.phone.verifications.ask()
    await compare(stage)
    stage.here.now += 11 * 60_000
    assert (await stage.wait(stage.here, Phase.CANCELLED)).code == "m.timeout"


async def test_an_answer_about_nothing_is_passed_over(stage: Stage) -> None:
    stage.here.verifications.answer("t", is_same=True)
    stage.here.verifications.cancel("t")
    stage.here.take("m.key.verification.mac", {"transaction_id": "t"})
    stage.here.take("m.key.verification.mac", {"transaction_id": []})
    await stage.settle()
    assert stage.server.sent == []
    assert stage.here.verifications.view("t") is None


async def test_without_another_device_there_is_nobody_to_ask(stage: Stage) -> None:
    del stage.server.devices[ME]["PHONE"]
    with pytest.raises(UserError) as failure:
        await stage.here.verifications.ask()
    assert "--recovery-key" in failure.value.hint


async def test_of_the_other_devices_those_are_asked_that_can_vouch(stage: Stage) -> None:
    Device(stage.server, "TABLET")
    await stage.here.verifications.ask()
    assert [device for _, _, _, device, _ in stage.server.sent] == ["PHONE"]


# What follows


async def verified(stage: Stage) -> dict[str, Any]:
    """The user compared, the phone signed us; what we then ask the phone for."""
    await stage.phone.verifications.ask()
    await compare(stage)
    stage.owner.sign("D")
    await confirm(stage)
    asked = await until(lambda: stage.sent("m.secret.request")[-1:], "the request for the backup key")
    content: dict[str, Any] = asked[0]
    return content


async def test_the_verified_device_is_asked_for_the_backup_key_and_nothing_else(stage: Stage) -> None:
    asked = await verified(stage)
    assert asked["name"] == BACKUP
    assert asked["action"] == "request"
    assert asked["requesting_device_id"] == "D"
    requests = [sent for sent in stage.server.sent if sent[:2] == ("D", "m.secret.request")]
    assert [(user, device) for _, _, user, device, _ in requests] == [(ME, "PHONE")]
    assert stage.here.standings[-1] is Standing.VERIFIED


def answer(stage: Stage, asked: dict[str, Any], **changes: Any) -> None:
    phone = stage.phone.vault.identity
    secret = changes.pop("secret", encode(stage.owner.backup.to_bytes()))
    content = {"request_id": changes.pop("request_id", asked["request_id"]), "secret": secret}
    about = {"sender_key": phone.curve25519, "sender_ed25519": phone.ed25519, **changes}
    stage.here.take("m.secret.send", content, **about)


async def test_its_answer_is_kept(stage: Stage) -> None:
    asked = await verified(stage)
    answer(stage, asked)
    await until(lambda: stage.here.backup_keys, "the backup key")
    assert stage.here.vault.kept[BACKUP] == encode(stage.owner.backup.to_bytes())
    answer(stage, asked)
    await stage.settle()
    assert stage.here.backup_keys == 1


@pytest.mark.expected_log("Passed over a secret|sent a key that is not that of the key backup", times=(0, 1))
@pytest.mark.parametrize(
    "changes",
    [
        {"sender": ALICE},
        {"sender_key": "another"},
        {"sender_ed25519": "another"},
        {"sender_key": None, "sender_ed25519": None},
        {"request_id": "another"},
        {"request_id": 7},
        {"request_id": "\ud800"},
        {"secret": encode(bytes(32))},
        {"secret": "x" * 10_000},
        {"secret": {}},
    ],
)
async def test_any_other_answer_is_not(stage: Stage, changes: dict[str, Any]) -> None:
    asked = await verified(stage)
    answer(stage, asked, **changes)
    await stage.settle()
    assert BACKUP not in stage.here.vault.kept
    answer(stage, asked)
    await until(lambda: stage.here.backup_keys, "the backup key")


async def test_without_a_request_no_secret_is_taken(stage: Stage) -> None:
    answer(stage, {"request_id": "x"})
    await stage.settle()
    assert stage.here.vault.kept == {}


@pytest.mark.expected_log("The other device has not signed this one")
async def test_a_device_that_does_not_sign_us_is_not_asked(stage: Stage) -> None:
    await stage.phone.verifications.ask()
    await confirm(stage)
    await stage.settle()
    assert stage.sent("m.secret.request") == []
    assert stage.here.standings[-1] is Standing.UNVERIFIED


# Homeservers that fail


@pytest.mark.expected_log("The other device has not signed this one")
@pytest.mark.expected_log("Verification: (gone|no)$")
@pytest.mark.parametrize("failure", [Unreachable("gone"), Refused(403, "M_FORBIDDEN", "no")])
async def test_a_homeserver_that_fails_ends_it_and_another_can_begin(stage: Stage, failure: Any) -> None:
    await stage.phone.verifications.ask()
    here, there = await compare(stage)
    stage.server.failure = failure
    stage.here.verifications.answer(here.transaction_id, is_same=True)
    await stage.wait(stage.here, Phase.CANCELLED)
    stage.server.failure = None
    stage.phone.verifications.cancel(there.transaction_id)
    await stage.wait(stage.phone, Phase.CANCELLED)
    await stage.phone.verifications.ask()
    await confirm(stage)


async def test_that_the_account_is_locked_ends_it_and_is_told_by_the_sync_alone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.phone.verifications.ask()
    here, _ = await compare(stage)
    stage.server.failure = AccountLocked()
    stage.here.verifications.answer(here.transaction_id, is_same=True)
    await stage.wait(stage.here, Phase.CANCELLED)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


# Whatever comes


def junk(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 6)
    texts = ["", "t0", "PHONE", METHOD, "\ud800", "A" * 43, "x" * 300, "sha256", "m.user", "ed25519:PHONE"]
    match kind:
        case 0:
            return rng.choice([None, True, False, 0.5, -1, 2**70, NOW, float("nan")])
        case 6:
            return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 7:
            return {rng.choice(texts): junk(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(texts)


TYPES = ["request", "ready", "start", "accept", "key", "mac", "done", "cancel", "dance", ""]
KEYS = [
    *("transaction_id", "from_device", "methods", "timestamp", "method", "key_agreement_protocols", "hashes"),
    *("message_authentication_codes", "short_authentication_string", "commitment", "key", "mac", "keys", "code"),
]


async def test_malformed_events_change_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(5)
    good = {
        "transaction_id": "t0",
        "from_device": "PHONE",
        "methods": [METHOD],
        "timestamp": NOW,
        "method": METHOD,
        "key_agreement_protocols": ["curve25519-hkdf-sha256"],
        "hashes": ["sha256"],
        "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
        "short_authentication_string": ["decimal", "emoji"],
        "key": "A" * 43,
    }
    stage.here.verifications.want(is_wanted=True)
    for number in range(2000):
        content = {**good, "transaction_id": f"t{number // 5}"} if rng.random() < 0.8 else {}
        for _ in range(rng.randrange(3)):
            content[rng.choice(KEYS)] = junk(rng)
        stage.here.take(f"m.key.verification.{rng.choice(TYPES)}", content)
        if number % 50 == 0:
            stage.here.now += 1
            await stage.settle()
            stage.server.sent.clear()
            stage.carried = 0
    await stage.settle()
    assert "Unexpected fault" not in caplog.text
    assert stage.here.vault.kept == {}
    assert stage.here.views
    assert all(view.phase in (Phase.READY, Phase.EXCHANGING, Phase.CANCELLED) for view in stage.here.views[-50:])
