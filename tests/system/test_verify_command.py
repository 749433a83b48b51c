"""Verifying as the user does it: on a notification, in the terminal, with the recovery key; without a daemon, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conftest import NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.control.client import ask_status
from heliograph.demo.user import DemoUser
from support.js_client import JsClient
from support.waiting import until
from system.command import heliograph
from system.daemon import Daemon, sign_in

VERIFIED = {"signed_by_owner": True, "cross_signing_verified": True, "is_verified": True}


@pytest.fixture
async def user(new_user: NewUser) -> DemoUser:
    return await new_user("owner")


@pytest.fixture
async def element(user: DemoUser, js_client: OpenJsClient) -> JsClient:
    return await js_client(user)


async def standing(user: DemoUser) -> str:
    told = await ask_status()
    assert told is not None
    (account,) = told["accounts"]
    return str(account["device"])


async def popup(screen: NotificationServer, summary: str) -> Any:
    def look() -> Any:
        return next((each for each in screen.shown if each.summary == summary), None)

    return await until(look, f"the notification {summary!r}")


async def test_a_click_on_a_notification_verifies_and_the_backup_opens(
    new_user: NewUser, js_client: OpenJsClient, user: DemoUser, element: JsClient, screen: NotificationServer
) -> None:
    await element("bootstrap")
    alice = await js_client(await new_user("alice"))
    await alice("bootstrap")
    await alice("only_signed_devices", enabled=True)
    room = await alice("create_room", invite=[user.user_id], is_direct=True)
    await element("join", room=room)
    await alice("wait_members", room=room, count=2)
    account = await sign_in(user)
    async with Daemon() as daemon:
        told = await popup(screen, "Verify this device to read encrypted messages")
        assert f"heliograph verify {user.user_id}" in told.body
        await until(lambda: "Published keys" in daemon.log, "the device's keys")
        sent = await alice("send", room=room, body="while you were not verified")
        await until(
            lambda: any("New encrypted message" in each.body for each in screen.shown), "the popup without text"
        )
        sent = await element("wait_event", room=room, event_id=sent)
        await element("wait_backed_up", room=room, session=sent["session_id"])
        await element("request_verification", device=account.device_id)
        await element("start_sas")
        emoji = (await element("wait_emoji"))["emoji"]
        question = await popup(screen, "Verify this device?")
        assert ", ".join(f"{picture} {name}" for picture, name in emoji) in question.body
        assert [*question.actions][2:] == ["match", "They match", "differ", "They differ"]
        screen.act(question.id, "match")
        await element("confirm_emoji")
        await element("wait_device_status", user=user.user_id, device=account.device_id, **VERIFIED)
        await until(
            lambda: any("Unverified: while you were not verified" in each.body for each in screen.shown),
            "the text from the key backup",
        )
        assert await standing(user) == "verified"
        await alice("wait_device_status", user=user.user_id, device=account.device_id, signed_by_owner=True)
        await alice("send", room=room, body="now that you are")
        await until(lambda: any("now that you are" in each.body for each in screen.shown), "the text")


async def test_an_identity_that_is_set_up_while_it_runs_is_seen_at_once(
    user: DemoUser, element: JsClient, screen: NotificationServer
) -> None:
    await sign_in(user)
    async with Daemon():
        await until(lambda: _stands(user, "no identity"), "the look at the start")
        assert "has no identity yet" in (await heliograph("status")).output
        await element("bootstrap")
        await popup(screen, "Verify this device to read encrypted messages")
        assert await standing(user) == "unverified"
        for command in ("status", "doctor"):
            assert f"heliograph verify {user.user_id}" in (await heliograph(command)).output


async def _stands(user: DemoUser, how: str) -> bool:
    return await standing(user) == how


@pytest.mark.parametrize("is_running", [True, False])
async def test_the_terminal_asks_and_compares(
    user: DemoUser, element: JsClient, screen: NotificationServer, is_running: bool
) -> None:
    await element("bootstrap")
    account = await sign_in(user)
    daemon = Daemon()
    if is_running:
        await daemon.start()
        await until(lambda: "Published keys" in daemon.log, "the device's keys")
    command = asyncio.create_task(heliograph("verify", typed="y\n"))
    try:
        await element("wait_verification_request")
        await element("accept_verification")
        emoji = (await element("wait_emoji"))["emoji"]
        await element("confirm_emoji")
        ended = await command
        assert (ended.code, ended.errors) == (0, "")
        assert "   ".join(f"{picture} {name}" for picture, name in emoji) in ended.output
        assert f"Verified: {user.user_id} vouches for this device now." in ended.output
        await element("wait_device_status", user=user.user_id, device=account.device_id, **VERIFIED)
        again = await heliograph("verify", user.user_id)
        assert (again.code, again.output) == (0, f"{user.user_id} vouches for this device already.\n")
    finally:
        command.cancel()
        if is_running:
            await daemon.kill()


async def test_the_terminal_joins_what_the_other_client_began(
    user: DemoUser, element: JsClient, screen: NotificationServer
) -> None:
    await element("bootstrap")
    account = await sign_in(user)
    async with Daemon() as daemon:
        await until(lambda: "Published keys" in daemon.log, "the device's keys")
        await element("request_verification", device=account.device_id)
        await element("start_sas")
        await popup(screen, "Verify this device?")
        await element("wait_emoji")
        await element("confirm_emoji")
        ended = await heliograph("verify", typed="y\n")
    assert (ended.code, ended.errors) == (0, "")
    assert "Asked your other devices" not in ended.output
    assert "vouches for this device now" in ended.output


async def test_different_emoji_are_an_error_of_two_lines(
    user: DemoUser, element: JsClient, screen: NotificationServer
) -> None:
    await element("bootstrap")
    await sign_in(user)
    command = asyncio.create_task(heliograph("verify", user.user_id, typed="n\n"))
    await element("wait_verification_request")
    await element("accept_verification")
    ended = await command
    assert ended.code == 1
    assert "the emoji were not the same" in ended.errors
    assert len(ended.errors.splitlines()) == 2
    assert (await element("wait_verification_phase", phase="Cancelled"))["cancellation_code"] == "m.mismatched_sas"


@pytest.mark.parametrize(("passphrase", "is_running"), [(None, True), ("correct horse battery staple", False)])
async def test_a_headless_machine_is_verified_with_the_secret_of_secure_backup(
    user: DemoUser, element: JsClient, screen: NotificationServer, passphrase: str | None, is_running: bool
) -> None:
    told = await element("bootstrap", passphrase=passphrase)
    account = await sign_in(user)
    daemon = Daemon()
    if is_running:
        await daemon.start()
        await until(lambda: "Published keys" in daemon.log, "the device's keys")
    try:
        option, secret = (
            ("--recovery-key", told["recovery_key"]) if passphrase is None else ("--passphrase", passphrase)
        )
        wrong = "EsTE FKis Zqiu qYVi vZG8 LMVY Z7ES UMMN Beqq nwiw EJyY vRu4"
        refused = await heliograph("verify", option, typed=f"{wrong}\n")
        assert refused.code == 1
        assert len(refused.errors.splitlines()) == 2
        assert f"not the {option[2:].replace('-', ' ')} of this account" in refused.errors
        ended = await heliograph("verify", user.user_id, option, typed=f"{secret}\n")
        assert (ended.code, ended.errors) == (0, "")
        assert "Keys that are missing come from the key backup" in ended.output
        await element("wait_device_status", user=user.user_id, device=account.device_id, **VERIFIED)
        if is_running:
            assert await standing(user) == "verified"
            assert told["recovery_key"] not in daemon.log
    finally:
        if is_running:
            await daemon.kill()


async def test_a_reset_identity_is_said_once(user: DemoUser, element: JsClient, screen: NotificationServer) -> None:
    told = await element("bootstrap")
    await sign_in(user)
    ended = await heliograph("verify", "--recovery-key", typed=f"{told['recovery_key']}\n")
    assert ended.code == 0
    await element("reset_cross_signing")
    async with Daemon():
        await popup(screen, "Your account's identity was reset")
        assert await standing(user) == "identity changed"
    screen.shown.clear()
    async with Daemon():
        await until(lambda: standing_is(user, "identity changed"), "the standing")
    assert screen.shown == []


async def standing_is(user: DemoUser, wanted: str) -> bool:
    return await standing(user) == wanted
