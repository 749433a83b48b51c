"""Tokens that live for seconds: the daemon and commands renew them beside one another, at a real Synapse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from conftest import Home
from fakes.notification_server import NotificationServer
from heliograph.accounts import state_folder
from heliograph.demo.user import DemoUser
from support.auth_server.server import AuthServer
from support.waiting import until
from system.command import Ended, heliograph
from system.daemon import Daemon
from system.oauth_device import OAuthDevice, hand_over_credential, sign_in_by_oauth, someone

TTL_S = 2.0


@pytest.fixture
async def device(auth_server: AuthServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OAuthDevice:
    """Its tokens live for seconds, and its secret is a credential that nobody can write."""
    auth_server.sessions.ttl_s = TTL_S
    device = await sign_in_by_oauth(auth_server, "mia")
    hand_over_credential(tmp_path / "credentials", device)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    return device


async def run(*words: str) -> Ended:
    """Runs a command, which must succeed."""
    ended = await heliograph(*words)
    assert ended.code == 0, (words, ended.output, ended.errors)
    return ended


async def meet(alice: DemoUser, device: OAuthDevice, auth_server: AuthServer) -> str:
    """A room of both, which the device joined by one of its own tokens."""
    room = await alice.create_room(invite=[device.account.user_id], is_direct=True)
    token = next(token for token, each in auth_server.sessions.access_tokens.items() if each.session is device.session)
    await DemoUser(auth_server.url, device.account.user_id, device.account.device_id, token, "").join(room)
    return room


async def try_every_command(event_id: str, auth_server: AuthServer) -> None:
    """Whatever talks to the homeserver."""
    assert event_id in (await run("explain", event_id)).output
    assert ".m.rule.master" in (await run("rules", "list")).output
    await run("rules", "mute-user", "@bob:localhost")
    await run("rules", "unmute-user", "@bob:localhost")
    assert "Heliograph on " in (await run("pushers", "list")).output
    # It may find other things that could be better.
    assert auth_server.url in (await heliograph("doctor")).output


@pytest.mark.expected_log("homeserver 401 ", times=(0, None))
async def test_commands_and_the_daemon_renew_short_lived_tokens_beside_one_another(
    auth_server: AuthServer, device: OAuthDevice, screen: NotificationServer, home: Home
) -> None:
    alice = await someone(auth_server, "alice")
    room = await meet(alice, device, auth_server)
    async with Daemon():
        refreshes = auth_server.sessions.refreshes
        event_id = await alice.send_text(room, "first")
        await until(lambda: any("first" in each.body for each in screen.shown), "the first message")
        await try_every_command(event_id, auth_server)
        await alice.send_text(room, "last")
        await until(lambda: any("last" in each.body for each in screen.shown), "the last message")
        (account,) = json.loads((await run("status", "--json")).output)["accounts"]
        assert account["state"] == "connected"
        assert auth_server.sessions.refreshes > refreshes
    assert not device.session.has_ended
    assert not (state_folder(device.account.user_id) / "secret.json").exists()


@pytest.mark.expected_log("homeserver 401 ", times=(0, None))
async def test_commands_renew_tokens_where_no_daemon_runs(
    auth_server: AuthServer, device: OAuthDevice, home: Home
) -> None:
    refreshes = auth_server.sessions.refreshes
    auth_server.sessions.ttl_s = 300
    await asyncio.sleep(TTL_S)
    listed = await asyncio.gather(*(run("rules", "list") for _ in range(3)))
    assert all(".m.rule.master" in each.output for each in listed)
    assert auth_server.sessions.refreshes - refreshes == 1
