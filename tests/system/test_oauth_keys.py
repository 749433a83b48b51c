"""What becomes of a device's keys when its session of OAuth 2.0 ends, and when it signs in again."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account, state_folder
from heliograph.demo.user import DemoUser
from heliograph.errors import EXIT_NEEDS_LOGIN
from support.auth_server.server import AuthServer
from support.waiting import until
from system.daemon import Daemon
from system.evidence import rung
from system.launcher import SOON
from system.person import Desktop, Person


async def phone_of(person: Person) -> DemoUser:
    """Another device of this person, signed in in the older way."""
    device_id = f"PHONE{person.localpart.upper():X<5}"
    token = await person.auth_server.grant(person.localpart, device_id, is_oauth=False)
    return DemoUser(person.auth_server.url, person.user_id, device_id, token, person.password)


async def keys_of(account: Account, asker: DemoUser) -> object:
    """The identity keys by which the homeserver knows Heliograph's device; None: it has none."""
    found = (await asker.call("POST", "/keys/query", {"device_keys": {account.user_id: []}}))["device_keys"]
    device = found.get(account.user_id, {}).get(account.device_id)
    return None if device is None else device["keys"]


@pytest.mark.timeout(240)
@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("signed out", times=(1, None))
async def test_a_device_whose_session_was_ended_signs_in_again_and_is_sent_keys(
    auth_server: AuthServer,
    js_client: OpenJsClient,
    screen: NotificationServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me, other = Person(auth_server, "quin"), Person(auth_server, "rosa")
    rosa = await phone_of(other)
    alice = await js_client(rosa)
    room = str(await alice("create_room", invite=[me.user_id], is_direct=True))
    await (await phone_of(me)).join(room)
    await alice("wait_members", room=room, count=2)
    Desktop(tmp_path, monkeypatch).sign_in_as(me)
    assert (await me.log_in()).code == 0
    account = await me.account()
    async with Daemon(SOON) as daemon:
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        before = await keys_of(account, rosa)
        await auth_server.end_sessions(me.localpart)
        assert await daemon.ended() == EXIT_NEEDS_LOGIN
        assert await keys_of(account, rosa) is None
        assert (state_folder(me.user_id) / "crypto.db").exists()

        ended = await me.log_in()
        assert ended.code == 0, ended.errors
        assert await me.account() == account
        await daemon.start()
        await until(lambda: "Published keys" in daemon.log, "the keys to be published again")
        assert await keys_of(account, rosa) == before is not None
        await alice("wait_device_status", user=me.user_id, device=account.device_id, is_known=True)
        await alice("send", room=room, body="back again")
        await rung(screen, "back again")
