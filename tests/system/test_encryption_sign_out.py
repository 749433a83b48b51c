"""Signed out softly the device keeps its keys; signed out for good it keeps them aside for a day."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from conftest import NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account, find_account, state_folder
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import EXIT_CONFIG, EXIT_NEEDS_LOGIN
from support.waiting import until
from system.command import heliograph, log_in
from system.daemon import Daemon, session_of, sign_in
from system.evidence import rings, rung
from system.launcher import SOON

EXPIRES_S = 15.0


def let_expire(server: ThrowawaySynapse, account: Account) -> float:
    """As an administrator does who limits sessions: at what time the device's token ends. It was never used yet."""
    expires = time.time() + EXPIRES_S  # noqa: TID251 - the homeserver's clock
    with sqlite3.connect(server.folder / "homeserver.db", timeout=20) as db:
        update = "UPDATE access_tokens SET valid_until_ms = ? WHERE device_id = ?"
        assert db.execute(update, (int(expires * 1000), account.device_id)).rowcount == 1
    db.close()
    return expires


def files_of(account: Account) -> set[str]:
    return {file.name for file in Path(state_folder(account.user_id)).iterdir()}


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("checking whether .* was signed out", times=(1, 2))
@pytest.mark.expected_log("was signed out softly")
async def test_keys_outlast_a_soft_logout_and_read_what_was_said_meanwhile(
    new_user: NewUser, js_client: OpenJsClient, synapse: ThrowawaySynapse, screen: NotificationServer
) -> None:
    me, alice = await new_user("me"), await js_client(await new_user("alice"))
    room = str(await alice("create_room", invite=[me.user_id], is_direct=True))
    await me.join(room)
    await alice("wait_members", room=room, count=2)
    account = await sign_in(me)
    expires = let_expire(synapse, account)
    async with Daemon(SOON) as daemon:
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        await alice("wait_device_status", user=me.user_id, device=account.device_id, is_known=True)
        await alice("send", room=room, body="before")
        await rung(screen, "before")
        await until(lambda: time.time() > expires, "the token's end")  # noqa: TID251
        await alice("rotate", room=room)
        await alice("send", room=room, body="meanwhile")
        assert await daemon.ended() == EXIT_NEEDS_LOGIN
        assert "crypto.db" in files_of(account)

        ended = await log_in(me)
        assert ended.code == 0, ended.errors
        assert await asyncio.to_thread(find_account, me.user_id) == account
        await daemon.start()
        await rung(screen, "meanwhile")
    assert rings(screen, "New encrypted message") == 0


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("signed out", times=(1, None))
async def test_a_device_that_was_ended_elsewhere_keeps_its_keys_aside_until_it_is_forgotten_here(
    new_user: NewUser, screen: NotificationServer
) -> None:
    me = await new_user("me")
    account = await sign_in(me)
    async with Daemon(SOON) as daemon:
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        assert "crypto.db" in files_of(account)
        await (await session_of(me, account)).logout()
        await rung(screen, "heliograph login")
        assert await daemon.ended() == EXIT_CONFIG
    assert not any(name.startswith("crypto.db") for name in files_of(account))
    (aside,) = (file for file in state_folder(account.user_id).iterdir() if file.name.startswith("signed-out-"))
    assert (aside / "crypto.db").exists()
    ended = await heliograph("logout", me.user_id)
    assert ended.code == 0, ended.errors
    assert not aside.exists()


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
async def test_a_device_that_was_deleted_and_comes_back_under_its_id_is_sent_keys_again(
    new_user: NewUser, js_client: OpenJsClient, screen: NotificationServer
) -> None:
    me, alice = await new_user("me"), await js_client(await new_user("alice"))
    room = str(await alice("create_room", invite=[me.user_id], is_direct=True))
    await me.join(room)
    await alice("wait_members", room=room, count=2)
    account = await sign_in(me)
    async with Daemon(SOON) as daemon:
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        before = await keys_of(me, account)
        await daemon.stop()
        await (await session_of(me, account)).logout()
        assert await keys_of(me, account) is None

        again = await sign_in_as(me, account.device_id)
        ended = await heliograph("login", me.user_id, "--access-token-stdin", typed=again.access_token)
        assert ended.code == 0, ended.errors
        assert await asyncio.to_thread(find_account, me.user_id) == account
        await daemon.start()
        await until(lambda: "Published keys" in daemon.log, "the keys to be published again")
        assert await keys_of(me, account) == before is not None
        await alice("wait_device_status", user=me.user_id, device=account.device_id, is_known=True)
        await alice("send", room=room, body="back again")
        await rung(screen, "back again")


async def sign_in_as(user: DemoUser, device_id: str) -> DemoUser:
    """The user's device with this id, made anew if it is gone."""
    identifier = {"type": "m.id.user", "user": user.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": user.password, "device_id": device_id}
    answer = await user.call("POST", "/login", body)
    return DemoUser(user.base_url, user.user_id, device_id, answer["access_token"], user.password)


async def keys_of(user: DemoUser, account: Account) -> object:
    """The identity keys by which the homeserver knows Heliograph's device; None: it has none."""
    found = (await user.call("POST", "/keys/query", {"device_keys": {user.user_id: []}}))["device_keys"]
    device = found.get(user.user_id, {}).get(account.device_id)
    return None if device is None else device["keys"]


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("the account is locked by the homeserver")
async def test_a_locked_account_is_told_and_goes_on_by_itself_when_it_is_unlocked(
    new_user: NewUser, screen: NotificationServer
) -> None:
    me, alice, admin = await new_user("me"), await new_user("alice"), await new_user("admin", admin=True)
    room = await alice.create_room("Lunch", [me])
    await me.join(room)
    account = await sign_in(me)
    async with Daemon() as daemon:
        await set_locked(admin, me, is_locked=True)
        # The poll that waits is served until it ends.
        await alice.send_text(room, "before")
        await rung(screen, "unlock it")
        assert daemon.exit_code is None
        await alice.send_text(room, "meanwhile")
        await set_locked(admin, me, is_locked=False)
        await rung(screen, "meanwhile")
        await until(
            lambda: "is locked" not in " ".join(each.summary for each in screen.on_screen.values()), "the notice to go"
        )
    assert "crypto.db" in files_of(account)


async def set_locked(admin: DemoUser, user: DemoUser, *, is_locked: bool) -> None:
    """As whoever runs the homeserver does."""
    await admin.call("PUT", f"/_synapse/admin/v2/users/{user.user_id}", {"locked": is_locked})
