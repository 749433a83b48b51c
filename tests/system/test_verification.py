"""The user's other client, Element's machinery, verifies this device, and believes in it afterwards."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

import pytest

from conftest import NewUser, OpenJsClient
from fakes.keys import FakeVault
from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import Received, RoomKey
from heliograph.core.encryption.verification import Phase
from heliograph.demo.user import DemoUser
from heliograph.encryption.identity.cross_signing import PINNED, CrossSigning
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.secret_request import SecretRequest
from heliograph.encryption.identity.secret_storage import BACKUP, SecretStorage
from heliograph.encryption.identity.verifications import Verifications
from heliograph.encryption.identity.views import View
from heliograph.errors import UserError
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import SyncRequest
from heliograph.system.clock import now_ms
from support.js_client import JsClient
from support.waiting import until

VERIFIED = {"signed_by_owner": True, "cross_signing_verified": True, "is_verified": True}


class OurDevice:
    """This device, without its Olm machine."""

    def __init__(self, user: DemoUser) -> None:
        session = Session(user.base_url, access_token=user.access_token, user_id=user.user_id, device_id=user.device_id)
        self.homeserver = HomeserverClient(session)
        self.keys = KeysClient(session)
        self.vault = FakeVault(user.device_id, user.user_id)
        self.cross_signing = CrossSigning(self.keys, self.vault)
        self.backup = KeyBackup(self.keys, self.vault, clock=now_ms)
        self.views: list[View] = []
        self.standings: list[Standing] = []
        self.verifications = Verifications(
            self.keys,
            self.vault,
            self.cross_signing,
            SecretRequest(self.keys, self.vault, self.backup, make_id=secrets.token_urlsafe),
            clock=now_ms,
            make_id=secrets.token_urlsafe,
            on_view=self.views.append,
            on_standing=self.standings.append,
        )

    async def publish(self) -> None:
        device = self.vault.device_keys()
        await self.keys.upload_keys(device_keys=device)

    async def sync(self) -> None:
        token = None
        while True:
            answer = await self.homeserver.sync(SyncRequest(token, 10_000))
            token = answer.next_batch
            for raw in answer.to_device:
                event = json.loads(raw)
                self.verifications.offer(Received(event["type"], event["sender"], event["content"]))

    async def wait(self, phase: Phase) -> View:
        def look() -> View | None:
            view = self.verifications.view()
            return view if view is not None and view.phase is phase else None

        view: View = await until(look, f"phase {phase.value}")
        return view


@pytest.fixture
async def user(new_user: NewUser) -> DemoUser:
    return await new_user("owner")


@pytest.fixture
async def element(user: DemoUser, js_client: OpenJsClient) -> JsClient:
    """The user's other client, which has set up an identity."""
    return await js_client(user)


@pytest.fixture
async def device(user: DemoUser) -> AsyncIterator[OurDevice]:
    device = OurDevice(user)
    await device.publish()
    tasks = [asyncio.create_task(device.sync()), asyncio.create_task(device.verifications.run())]
    yield device
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await device.homeserver.close()


async def compare(device: OurDevice, element: JsClient) -> View:
    there = await element("wait_emoji")
    here = await device.wait(Phase.COMPARING)
    assert [(each.picture, each.name) for each in here.emoji] == [tuple(each) for each in there["emoji"]]
    assert list(here.decimals) == there["decimal"]
    return here


async def confirm(device: OurDevice, element: JsClient, *, is_first: bool = True) -> None:
    here = await compare(device, element)
    if not is_first:
        await element("confirm_emoji")
    device.verifications.answer(here.transaction_id, is_same=True)
    if is_first:
        await element("confirm_emoji")
    await device.wait(Phase.DONE)
    await element("wait_verification_phase", phase="Done")
    status = {"user": element.user_id, "device": device.vault.identity.device_id}
    await element("wait_device_status", **status, **VERIFIED)
    await until(lambda: device.standings[-1:] == [Standing.VERIFIED], "our own view of it")


async def test_the_other_client_starts_the_comparison(device: OurDevice, element: JsClient) -> None:
    told = await element("bootstrap")
    await element("request_verification", device=device.vault.identity.device_id)
    await element("start_sas")
    await confirm(device, element)
    assert device.vault.kept[PINNED] == told["master_key"]


async def test_this_device_starts_the_comparison(device: OurDevice, element: JsClient) -> None:
    told = await element("bootstrap")
    await element("forget_verification")
    await device.verifications.ask()
    await element("wait_verification_request")
    await element("accept_verification")
    await confirm(device, element, is_first=False)
    assert device.vault.kept[PINNED] == told["master_key"]


async def test_different_emoji_verify_nothing(device: OurDevice, element: JsClient) -> None:
    await element("bootstrap")
    await element("request_verification", device=device.vault.identity.device_id)
    await element("start_sas")
    here = await compare(device, element)
    device.verifications.answer(here.transaction_id, is_same=False)
    told = await element("wait_verification_phase", phase="Cancelled")
    assert told["cancellation_code"] == "m.mismatched_sas"
    assert await device.cross_signing.standing() is Standing.UNVERIFIED


async def test_a_cancellation_over_there_ends_it_here(device: OurDevice, element: JsClient) -> None:
    await element("bootstrap")
    await element("request_verification", device=device.vault.identity.device_id)
    await element("start_sas")
    await compare(device, element)
    await element("mismatch_emoji")
    assert (await device.wait(Phase.CANCELLED)).code == "m.mismatched_sas"


@pytest.mark.parametrize("passphrase", [None, "correct horse battery staple"])
async def test_secret_storage_verifies_without_another_client(
    device: OurDevice, element: JsClient, passphrase: str | None
) -> None:
    told = await element("bootstrap", passphrase=passphrase)
    assert await device.cross_signing.standing() is Standing.UNVERIFIED
    storage = await SecretStorage.find(device.keys)
    with pytest.raises(UserError, match="not the recovery key"):
        await storage.unlock_with_recovery_key("EsTE FKis Zqiu qYVi vZG8 LMVY Z7ES UMMN Beqq nwiw EJyY vRu4")
    if passphrase is None:
        await storage.unlock_with_recovery_key(told["recovery_key"])
    else:
        await storage.unlock_with_passphrase(passphrase)
    assert await device.cross_signing.sign_with(storage)
    assert await device.cross_signing.standing() is Standing.VERIFIED
    status = {"user": element.user_id, "device": device.vault.identity.device_id}
    await element("wait_device_status", **status, **VERIFIED)
    assert set(device.vault.kept) == {PINNED, BACKUP}
    room = await element("create_room")
    sent = await element("wait_event", room=room, event_id=await element("send", room=room, body="for the backup"))
    key = RoomKey(room, sent["session_id"])
    await element("wait_backed_up", room=room, session=key.session_id)
    content = await device.backup.fetch(key)
    assert content is not None
    assert content["algorithm"] == "m.megolm.v1.aes-sha2"
    assert content["session_key"]


async def test_a_reset_identity_is_noticed(device: OurDevice, element: JsClient) -> None:
    told = await element("bootstrap")
    storage = await SecretStorage.find(device.keys)
    await storage.unlock_with_recovery_key(told["recovery_key"])
    await device.cross_signing.sign_with(storage)
    assert (await element("reset_cross_signing"))["master_key"] != told["master_key"]
    assert await device.cross_signing.standing() is Standing.IDENTITY_CHANGED
