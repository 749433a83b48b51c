"""The commands as a user types them, against a real homeserver."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from pathlib import Path

import pytest

from conftest import Home, NewUser
from fakes.notification_server import NotificationServer
from heliograph.accounts import config_file, write_private_file
from heliograph.demo import scenario
from heliograph.demo.user import DemoUser
from heliograph.errors import EXIT_CONFIG
from support.dunst import DunstSession
from support.guarded_synapse import GuardedSynapse
from support.waiting import until
from system.command import heliograph, log_in
from system.daemon import Daemon


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.expected_log("homeserver 401 GET .*/account/whoami")
async def test_from_login_to_logout(new_user: NewUser, screen: NotificationServer, home: Home) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room(invite=[me], is_direct=True)
    await me.join(room)

    assert (await log_in(me)).code == 0
    assert me.user_id in (await heliograph("accounts")).output
    names = [device["display_name"] for device in (await me.call("GET", "/devices"))["devices"]]
    assert any(str(name).startswith("Heliograph on ") for name in names)

    async with Daemon():
        await alice.send_text(room, "hello")
        await until(lambda: any("hello" in each.body for each in screen.shown), "the notification")
        (account,) = json.loads((await heliograph("status", "--json")).output)["accounts"]
        assert (account["state"], account["mode"], account["shown"]) == ("connected", "local", 1)
        assert (account["server"]["direct_push"], account["server"]["remote_toggle"]) == (False, True)
        assert "the server has no direct push (MSC3361)" in (await heliograph("status")).output
        await until(lambda: _has_pushers(me), "the pusher")
        refused = await heliograph("logout", me.user_id)
        assert refused.code != 0, "not while the daemon runs"

    assert (await heliograph("logout", me.user_id)).code == 0
    assert not await _has_pushers(me)
    assert len((await me.call("GET", "/devices"))["devices"]) == 1
    assert files_in(home.state) == set()
    assert (await heliograph("run")).code == 78


async def test_a_mistake_that_stops_the_start_is_told_on_screen(home: Home, screen: NotificationServer) -> None:
    await asyncio.to_thread(write_private_file, config_file(), b'[desktop]\nbackend = "growl"\n')
    assert (await heliograph("run")).code == EXIT_CONFIG
    (shown,) = screen.shown
    assert shown.summary == "Heliograph cannot start"
    assert "growl" in shown.body


async def _has_pushers(user: DemoUser) -> bool:
    return bool((await user.call("GET", "/pushers"))["pushers"])


@pytest.mark.expected_log("homeserver 403 POST .*/login")
async def test_a_wrong_password_is_told_in_two_sentences(new_user: NewUser, home: Home) -> None:
    me = await new_user("me")
    words = ("login", me.user_id, "--homeserver", me.base_url, "--secrets", "file", "--password-stdin")
    ended = await heliograph(*words, typed="wrong\n")
    assert ended.code == 1
    assert len(ended.errors.strip().splitlines()) == 2
    assert files_in(home.state) == set()


async def test_the_demo_shows_three_things_in_the_terminal_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = files_in(tmp_path)
    ended = await heliograph("demo", seconds=100)
    assert (ended.code, ended.errors) == (0, "")
    assert "* Alice\n  Hello!" in ended.output
    assert "* Lunch\n  Bob: You: noodles today?" in ended.output
    assert "+ Weekend hike" in ended.output
    assert "3 of 3 arrived" in ended.output
    assert files_in(tmp_path) == before


def test_the_demo_shows_them_on_the_desktop_where_there_is_one(
    dunst: DunstSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, so that its homeserver tells the log guard what it refuses.
    monkeypatch.setattr(scenario, "ThrowawaySynapse", GuardedSynapse)
    output = io.StringIO()
    assert asyncio.run(scenario.run_demo(stream=output)) == 0
    assert "your desktop's notification server" in output.getvalue()
    assert dunst.count() == 3
    assert "* Alice" not in output.getvalue()
