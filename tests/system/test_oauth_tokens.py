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
from heliograph.errors import EXIT_NEEDS_LOGIN
from support.auth_server.server import AuthServer
from support.waiting import until
from system.command import Ended, heliograph
from system.daemon import Daemon
from system.oauth_device import OAuthDevice, hand_over_credential, sign_in_by_oauth, someone

FIRST_TTL_S = 1.0


@pytest.fixture
async def device(auth_server: AuthServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OAuthDevice:
    """Its access token ends at once, and its secret is a credential that nobody can write."""
    auth_server.sessions.ttl_s = FIRST_TTL_S
    device = await sign_in_by_oauth(auth_server, "mia")
    auth_server.sessions.ttl_s = 300
    hand_over_credential(tmp_path / "credentials", device)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    return device


async def run(*words: str) -> Ended:
    """Runs a command, which must succeed."""
    ended = await heliograph(*words)
    assert ended.code == 0, (words, ended.output, ended.errors)
    return ended


async def meet(alice: DemoUser, auth_server: AuthServer) -> str:
    """A room of both, which Mia joined on her phone."""
    mia = await someone(auth_server, "mia")
    room = await alice.create_room(invite=[mia], is_direct=True)
    await mia.join(room)
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


@pytest.mark.timeout(360)
@pytest.mark.expected_log("homeserver 401 ", times=(0, None))
async def test_commands_and_the_daemon_renew_short_lived_tokens_beside_one_another(
    auth_server: AuthServer, device: OAuthDevice, screen: NotificationServer, home: Home
) -> None:
    auth_server.sessions.ttl_s = 12
    alice = await someone(auth_server, "alice")
    room = await meet(alice, auth_server)
    async with Daemon():
        refreshes = auth_server.sessions.refreshes
        event_id = await alice.send_text(room, "first")
        await until(lambda: any("first" in each.body for each in screen.shown), "the first message")
        await try_every_command(event_id, auth_server)
        await alice.send_text(room, "last")
        await until(lambda: any("last" in each.body for each in screen.shown), "the last message")
        (account,) = json.loads((await run("status", "--json")).output)["accounts"]
        assert account["state"] == "connected"
        await until(lambda: auth_server.sessions.refreshes > refreshes, "a renewal")
    assert not device.session.has_ended
    assert not (state_folder(device.account.user_id) / "secret.json").exists()


@pytest.mark.expected_log("homeserver 401 ", times=(0, None))
async def test_commands_renew_tokens_where_no_daemon_runs(
    auth_server: AuthServer, device: OAuthDevice, home: Home
) -> None:
    refreshes = auth_server.sessions.refreshes
    await asyncio.sleep(FIRST_TTL_S)
    listed = await asyncio.gather(*(run("rules", "list") for _ in range(3)))
    assert all(".m.rule.master" in each.output for each in listed)
    assert auth_server.sessions.refreshes - refreshes == 1


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("homeserver 404 POST .*/keys/upload", times=(0, 1))  # on its way while the device was deleted
@pytest.mark.expected_log("daemon warning: @mia:localhost: checking whether @mia:localhost was signed out")
@pytest.mark.expected_log("daemon error: @mia:localhost was signed out softly")
async def test_a_session_that_was_ended_elsewhere_is_told_once_and_its_keys_are_kept(
    auth_server: AuthServer, device: OAuthDevice, screen: NotificationServer, home: Home
) -> None:
    folder = state_folder(device.account.user_id)
    async with Daemon("confirm sign-outs soon") as daemon:
        await auth_server.end_sessions("mia")
        # The poll that waits ends with the session or before the token does.
        assert await daemon.ended() == EXIT_NEEDS_LOGIN
    (shown,) = (each for each in screen.shown if "Sign in again" in each.summary)
    assert f"heliograph login {device.account.user_id}" in shown.body
    assert (folder / "crypto.db").exists()
    assert list(folder.glob("signed-out-*")) == []
