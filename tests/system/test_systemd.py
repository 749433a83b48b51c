"""The user service under a real systemd: installed, started, watched over, stopped, and kept in its sandbox."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import NewUser
from heliograph.demo.user import DemoUser
from heliograph.loops.sync.sign_out import INTERVAL_S
from support.waiting import until
from system.phone import Phone
from system.systemd_box import SystemdBox

pytestmark = [
    pytest.mark.root,
    # Whether the machine has a player of sounds is not what is tried here.
    pytest.mark.expected_log("Sounds cannot be played: install", times=(0, None)),
]
PROBE = Path(__file__).with_name("sandbox_probe.py")
HOME = Path("/home/boxed")
UNITS = HOME / ".config/systemd/user"
PATIENCE_S = 60
MOST_EXPOSURE = 2.2
SESSION = """\
[Unit]
Description=A desktop
BindsTo=graphical-session.target
"""
EVIL = '$HOME ${HOME} $(touch ~/trap) `touch ~/trap` %h "; touch ~/trap'
HOOK = """\
[hooks]
on_notification = ["sh", "-c", 'printf %s "$HELIOGRAPH_TEXT" >~/hooked.new; mv ~/hooked.new ~/hooked']
"""


class Desktop:
    """A user who is logged in to a machine with dunst."""

    def __init__(self, box: SystemdBox) -> None:
        self._box = box
        self._session = ""

    async def begin(self) -> None:
        """Has the session begin as a desktop's does."""
        self._session = await asyncio.to_thread(self._box.log_in)
        await self.write(UNITS / "box-session.target", SESSION)
        await self.user("systemctl", "--user", "daemon-reload")
        # At files only: an abstract socket is the network's, and so that of all boxes that are there at once.
        screen = ("Xvfb", ":77", "-nolisten", "tcp", "-nolisten", "local")
        await self.user("systemd-run", "--user", "--quiet", "--unit=screen", *screen)
        await self.user("systemctl", "--user", "set-environment", "DISPLAY=:77")
        await until(partial(self.says, "xdpyinfo", "-display", ":77"), "the screen", PATIENCE_S)
        await self.user("systemctl", "--user", "start", "box-session.target")
        await self.user("systemd-run", "--user", "--quiet", "--unit=dunst-here", "dunst")

    async def sign_in(self, who: DemoUser) -> None:
        """`heliograph login`, with the password on standard input."""
        words = f"heliograph login {who.user_id} --homeserver {who.base_url} --secrets file --password-stdin"
        await self.user("sh", "-c", f"echo {who.password} | {words}")

    async def set_locked(self, *, is_locked: bool) -> None:
        """As a screen locker tells logind."""
        # An object's path may not have a digit after the slash (sd_bus_path_encode(3)).
        path = f"/org/freedesktop/login1/session/_{ord(self._session[0]):x}{self._session[1:]}"
        hint = ("org.freedesktop.login1.Session", "SetLockedHint", "b", str(is_locked).lower())
        await self.user("busctl", "call", "org.freedesktop.login1", path, *hint)

    async def root(self, *words: str, check: bool = True) -> str:
        return await asyncio.to_thread(partial(self._box.run, *words, check=check))

    async def user(self, *words: str, check: bool = True) -> str:
        return await asyncio.to_thread(partial(self._box.run_as_user, *words, check=check))

    async def says(self, *words: str) -> bool:
        """Whether the user's command succeeds."""
        return "yes" in await self.user("sh", "-c", f"{' '.join(words)} >/dev/null 2>&1 && echo yes", check=False)

    async def write(self, file: Path, text: str) -> None:
        await self.user("sh", "-c", 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"', str(file), text)

    async def drop_in(self, text: str) -> None:
        """Adds to the installed unit."""
        await self.write(UNITS / "heliograph.service.d/test.conf", text)
        await self.user("systemctl", "--user", "daemon-reload")

    async def properties(self, *names: str) -> dict[str, str]:
        """What systemd knows of the unit."""
        told = await self.user("systemctl", "--user", "show", "heliograph", f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in told.splitlines())

    async def journal(self, *words: str) -> str:
        """What the unit wrote, or systemd about it."""
        return await self.root("journalctl", "--no-pager", "_SYSTEMD_USER_UNIT=heliograph.service", *words, check=False)

    async def is_on_screen(self, text: str) -> bool:
        """Whether dunst shows or showed it."""
        return text in await self.user("dunstctl", "history") + await self._displayed()

    async def _displayed(self) -> str:
        # dunst's history has only what was closed; so everything is closed first.
        await self.user("dunstctl", "close-all")
        return await self.user("dunstctl", "history")

    async def status(self) -> dict[str, Any]:
        """`heliograph status --json`, the only account's part."""
        told: dict[str, Any] = json.loads(await self.user("heliograph", "status", "--json"))
        return told


@pytest.fixture
async def desktop() -> AsyncIterator[Desktop]:
    box = SystemdBox()
    try:
        await asyncio.to_thread(box.start)
        desktop = Desktop(box)
        await desktop.begin()
        yield desktop
    finally:
        await asyncio.to_thread(box.stop)


async def meet(new_user: NewUser) -> tuple[DemoUser, DemoUser, str]:
    """Two users with a direct room."""
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room(invite=[me], is_direct=True)
    await me.join(room)
    return me, alice, room


async def test_the_service_is_installed_rings_is_restarted_after_a_crash_and_goes_with_the_session(
    desktop: Desktop, new_user: NewUser
) -> None:
    me, alice, room = await meet(new_user)
    await desktop.sign_in(me)
    await desktop.write(HOME / ".config/heliograph/config.toml", HOOK)
    told = await desktop.user("heliograph", "service", "install")
    assert "Heliograph runs." in told
    first = await desktop.properties("ActiveState", "SubState", "MainPID", "Type", "StatusText", "NRestarts")
    assert (first["ActiveState"], first["SubState"], first["Type"]) == ("active", "running", "notify")
    await until(partial(_is_told, desktop, "1 connected"), "the line for systemctl", PATIENCE_S)
    await alice.send_text(room, f"hello in there {EVIL}")
    await until(partial(desktop.is_on_screen, "hello in there"), "the notification", PATIENCE_S)
    # Outside the service's sandbox, and past systemd, which puts variables into command lines.
    await until(partial(desktop.says, "test", "-s", str(HOME / "hooked")), "what the hook wrote", PATIENCE_S)
    assert await desktop.user("cat", str(HOME / "hooked")) == f"hello in there {EVIL}"
    assert not await desktop.says("test", "-e", str(HOME / "trap"))

    # From within its sandbox the service sees that the command lives in none.
    assert "Nothing pops up" in await desktop.user("heliograph", "pause", "1h")
    await desktop.user("heliograph", "resume")

    await desktop.user("kill", "-KILL", first["MainPID"])
    await alice.send_text(room, "during the crash")
    await until(partial(_is_restarted, desktop, first["MainPID"]), "the restart", PATIENCE_S)
    await until(partial(desktop.is_on_screen, "during the crash"), "what came meanwhile", PATIENCE_S)

    await desktop.user("systemctl", "--user", "stop", "box-session.target")
    await until(partial(_is_state, desktop, "inactive"), "the end with the session", PATIENCE_S)
    assert (await desktop.properties("Result"))["Result"] == "success"
    await desktop.user("systemctl", "--user", "start", "box-session.target")
    await until(partial(_is_state, desktop, "active"), "the start with the session", PATIENCE_S)

    assert "Removed" in await desktop.user("heliograph", "service", "remove")
    assert (await desktop.properties("LoadState"))["LoadState"] == "not-found"


async def test_a_stalled_daemon_is_ended_by_the_watchdog_and_started_again(desktop: Desktop, new_user: NewUser) -> None:
    me, alice, room = await meet(new_user)
    await desktop.sign_in(me)
    await desktop.user("heliograph", "service", "install", "--no-start")
    await desktop.drop_in("[Service]\nWatchdogSec=5\nTimeoutStopSec=2\nRestartSec=1\n")
    await desktop.user("systemctl", "--user", "start", "heliograph")
    pid = (await desktop.properties("MainPID"))["MainPID"]
    await asyncio.sleep(6)
    unharmed = await desktop.properties("MainPID", "NRestarts")
    assert unharmed == {"MainPID": pid, "NRestarts": "0"}, "a daemon that turns outlives its WatchdogSec"

    await desktop.user("kill", "-STOP", pid)
    await alice.send_text(room, "while it stood still")
    await until(partial(_is_restarted, desktop, pid), "the restart", PATIENCE_S)
    assert "Watchdog timeout" in await desktop.root("journalctl", "--no-pager", "_UID=43210", "--grep=Watchdog")
    await until(partial(desktop.is_on_screen, "while it stood still"), "what came meanwhile", PATIENCE_S)


async def test_another_device_is_quiet_only_while_the_daemon_runs_and_its_user_is_there(
    desktop: Desktop, new_user: NewUser
) -> None:
    me, _, _ = await meet(new_user)
    phone = Phone(me)
    await phone.set_up()
    await desktop.sign_in(me)
    await desktop.write(HOME / ".config/heliograph/config.toml", '[handoff]\nquiet = ["Element Android"]\n')
    await desktop.user("heliograph", "service", "install")
    await until(phone.is_quiet, "the phone to be quiet", PATIENCE_S)

    await desktop.set_locked(is_locked=True)
    await until(phone.rings, "the phone to ring while the screen is locked", PATIENCE_S)
    await desktop.set_locked(is_locked=False)
    await until(phone.is_quiet, "the phone to be quiet again", PATIENCE_S)

    # Sleep is a second here. Whoever asks for it waits until it is over.
    sleep = asyncio.create_task(desktop.root("systemctl", "suspend"))
    await until(phone.rings, "the phone to ring while the machine sleeps", PATIENCE_S)
    await sleep
    await until(phone.is_quiet, "the phone to be quiet after the sleep", PATIENCE_S)

    await desktop.user("systemctl", "--user", "stop", "heliograph")
    assert await phone.rings(), "it rings before the stop is over"

    await desktop.user("systemctl", "--user", "start", "heliograph")
    await until(phone.is_quiet, "the phone to be quiet", PATIENCE_S)
    await desktop.drop_in("[Service]\nRestart=no\n")
    await desktop.user("systemctl", "--user", "kill", "--signal=KILL", "heliograph")
    await until(phone.rings, "the phone to ring after a crash", PATIENCE_S)


async def test_the_phone_rings_after_everything_of_the_service_was_killed_at_once(
    desktop: Desktop, new_user: NewUser
) -> None:
    me, _, _ = await meet(new_user)
    phone = Phone(me)
    await phone.set_up()
    await desktop.sign_in(me)
    await desktop.write(HOME / ".config/heliograph/config.toml", '[handoff]\nquiet = ["Element Android"]\n')
    await desktop.user("heliograph", "service", "install")
    await until(phone.is_quiet, "the phone to be quiet", PATIENCE_S)

    await desktop.drop_in("[Service]\nRestart=no\n")
    await kill_whole_service(desktop)
    await until(partial(_is_state, desktop, "failed"), "the end", PATIENCE_S)
    assert "status=9/KILL" in (await desktop.properties("ExecStopPost"))["ExecStopPost"], "that was killed, too"
    await until(phone.rings, "the phone to ring all the same", PATIENCE_S)

    # The other way round: it is killed, and comes back by itself.
    await desktop.drop_in("[Service]\nRestartSec=1\n")
    await desktop.user("systemctl", "--user", "start", "heliograph")
    await until(phone.is_quiet, "the phone to be quiet", PATIENCE_S)
    pid = (await desktop.properties("MainPID"))["MainPID"]
    await kill_whole_service(desktop)
    await until(partial(_is_restarted, desktop, pid), "the restart", PATIENCE_S)
    await until(phone.is_quiet, "the phone to be quiet again", PATIENCE_S)


async def kill_whole_service(desktop: Desktop) -> None:
    """As systemd-oomd does: everything that is in the service's cgroup, or that systemd starts in it, until it is gone.

    A kernel of 6.14 or later and a systemd of 256 or later do so by one write, which also ends what is started later.
    """
    folder = "/sys/fs/cgroup" + (await desktop.properties("ControlGroup"))["ControlGroup"]
    script = 'cd "$0"; while [ -e cgroup.kill ]; do echo 1 > cgroup.kill; done 2>/dev/null; true'
    await desktop.root("timeout", "60", "sh", "-c", script, folder)


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
@pytest.mark.expected_log("checking whether .* was signed out", times=(1, 2))
@pytest.mark.expected_log("no longer knows this device")
async def test_the_journal_knows_what_is_grave(desktop: Desktop, new_user: NewUser) -> None:
    me, _, _ = await meet(new_user)
    await desktop.sign_in(me)
    await desktop.user("heliograph", "service", "install")
    # Synapse answers otherwise if a token ends while the very request is under way that shows it.
    await until(partial(_is_told, desktop, "1 connected"), "the line for systemctl", PATIENCE_S)
    await me.call("POST", "/logout/all", {})
    await until(partial(_is_state, desktop, "failed"), "the end, once that is certain", PATIENCE_S + INTERVAL_S)
    assert (await desktop.properties("ExecMainStatus", "NRestarts")) == {"ExecMainStatus": "78", "NRestarts": "0"}
    grave = [json.loads(line) for line in (await desktop.journal("--priority=warning", "--output=json")).splitlines()]
    everything = [json.loads(line) for line in (await desktop.journal("--output=json")).splitlines()]
    ours = [entry for entry in everything if entry["SYSLOG_IDENTIFIER"] == "heliograph"]
    assert any(entry["PRIORITY"] == "6" and "Heliograph" in entry["MESSAGE"] for entry in ours)
    assert any(entry["PRIORITY"] == "3" and f"{me.user_id} was signed out" in entry["MESSAGE"] for entry in grave)
    assert not any("no notification server" in entry["MESSAGE"] for entry in ours), "dunst stayed"
    assert not any(re.match(r"<\d>", entry["MESSAGE"]) for entry in ours), "the priority is read, not shown"


async def test_the_sandbox_holds(desktop: Desktop, new_user: NewUser) -> None:
    me, _, _ = await meet(new_user)
    await desktop.sign_in(me)
    await desktop.user("heliograph", "service", "install", "--no-start")
    found = HOME / ".local/state/heliograph/allowed"
    probe = f"{sys.executable} {PROBE}"
    await desktop.user("sh", "-c", f"mkdir ~/outside; {probe} ~/outside/allowed")
    outside = (await desktop.user("cat", str(HOME / "outside/allowed"))).splitlines()
    await desktop.drop_in(f"[Service]\nExecStartPre={probe} {found}\n")
    await desktop.user("systemctl", "--user", "start", "heliograph")
    inside = (await desktop.user("cat", str(found))).splitlines()
    assert inside == [
        "write to the own state",
        "decode a picture in a process of its own",
        "open an internet socket",
    ]
    assert {"write to the home folder", "write to /tmp", "map memory to write and execute"} < set(outside)

    told = await desktop.user("systemd-analyze", "--user", "security", "heliograph.service", "--no-pager")
    exposure = re.search(r"exposure level for heliograph\.service: ([\d.]+)", told)
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSURE


async def _is_state(desktop: Desktop, state: str) -> bool:
    return (await desktop.properties("ActiveState"))["ActiveState"] == state


async def _is_told(desktop: Desktop, text: str) -> bool:
    return text in (await desktop.properties("StatusText"))["StatusText"]


async def _is_restarted(desktop: Desktop, pid: str) -> bool:
    found = await desktop.properties("MainPID", "ActiveState", "NRestarts")
    return found["ActiveState"] == "active" and found["MainPID"] not in (pid, "0") and found["NRestarts"] != "0"
