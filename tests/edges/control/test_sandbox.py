"""Where a program on the session bus lives, and what it may do from there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType

from conftest import Home
from fakes.answers import FakeAnswers
from heliograph.control import peers
from heliograph.control.client import ask, ask_status
from heliograph.control.peers import MOST_KNOWN, Peers, refuse_sandboxed
from heliograph.control.sandbox import find_sandbox
from heliograph.control.service import Control
from heliograph.control.verification import Verification1, VerificationClient
from heliograph.errors import UserError
from support.buses import PrivateBus

PLAIN_GROUP = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.konsole-77.scope\n"
PLAIN_MOUNTS = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:21 / /proc rw - proc proc rw\n"
FLATPAK_MOUNTS = PLAIN_MOUNTS + "99 22 0:46 /i /.flatpak-info ro,nosuid - tmpfs tmpfs rw\n"
SNAP_GROUP = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/snap.fluffychat.fluffychat-1f2e.scope\n"
IN_FLATPAK = """
set -e
mount -t tmpfs sandbox "$0"
for folder in /*; do
    if [ -L "$folder" ]; then cp -P "$folder" "$0$folder"
    elif [ -d "$folder" ]; then mkdir "$0$folder"; mount --rbind "$folder" "$0$folder"; fi
done
printf '[Application]\\nname=org.example.App\\n' > "$0/info"
: > "$0/.flatpak-info"
mount --bind "$0/info" "$0/.flatpak-info"
# Of Debian's users only root has it on the PATH.
PATH="$PATH:/usr/sbin:/sbin" exec chroot "$0" "$@"
"""
"""What Flatpak does, as far as it can be seen from outside."""


def make_process(
    proc: Path, *, group: str = PLAIN_GROUP, mounts: str = PLAIN_MOUNTS, has_info_in_root: bool = False
) -> None:
    folder = proc / "7"
    (folder / "root").mkdir(parents=True)
    (folder / "cgroup").write_text(group)
    (folder / "mountinfo").write_text(mounts)
    if has_info_in_root:
        (folder / "root/.flatpak-info").write_text("[Application]\n")


@pytest.mark.parametrize(
    ("group", "mounts", "label", "sandbox"),
    [
        (PLAIN_GROUP, PLAIN_MOUNTS, "", None),
        (PLAIN_GROUP, PLAIN_MOUNTS, "unconfined", None),
        (PLAIN_GROUP, FLATPAK_MOUNTS, "", "Flatpak"),
        ("0::/user@1000.service/app.slice/app-flatpak-org.gnome.Maps-123.scope\n", PLAIN_MOUNTS, "", "Flatpak"),
        ("1:name=systemd:/user/flatpak-org.gnome.Maps-123.scope\n0::/\n", PLAIN_MOUNTS, "", "Flatpak"),
        ("0::/user@1000.service/app.slice/app-flatpaks.scope\n", PLAIN_MOUNTS, "", None),
        (SNAP_GROUP, PLAIN_MOUNTS, "", "Snap"),
        (SNAP_GROUP, PLAIN_MOUNTS, "system_u:system_r:unconfined_t:s0", "Snap"),
        (PLAIN_GROUP, PLAIN_MOUNTS, "snap.fluffychat.fluffychat (enforce)", "Snap"),
        # An editor's terminal: classic confinement confines nothing.
        (SNAP_GROUP, PLAIN_MOUNTS, "snap.code.code (complain)", None),
        (SNAP_GROUP, PLAIN_MOUNTS, "unconfined", None),
        (PLAIN_GROUP, PLAIN_MOUNTS.replace("/proc", "/home/me/.flatpak-info"), "", None),
    ],
)
def test_a_sandbox_is_known_by_what_the_kernel_says(
    tmp_path: Path, group: str, mounts: str, label: str, sandbox: str | None
) -> None:
    make_process(tmp_path, group=group, mounts=mounts)
    assert find_sandbox(7, label, tmp_path) == sandbox


def test_a_file_in_the_root_of_a_process_is_enough(tmp_path: Path) -> None:
    make_process(tmp_path, has_info_in_root=True)
    assert find_sandbox(7, "", tmp_path) == "Flatpak"


def test_of_a_process_that_is_no_more_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_sandbox(7, "", tmp_path)


class Bus:
    """Tells credentials, and counts how often."""

    def __init__(self, **credentials: Any) -> None:
        self.credentials = credentials
        self.asked = 0

    async def ask(self, name: str) -> Mapping[str, Any]:
        self.asked += 1
        if not self.credentials:
            raise OSError("the bus does not answer")
        return dict(self.credentials)


async def test_a_program_outside_of_any_sandbox_is_known_from_then_on() -> None:
    bus = Bus(ProcessID=os.getpid())
    known = Peers(bus.ask)
    assert [await known.find_home(":1.1") for _ in range(3)] == [None] * 3
    assert bus.asked == 1


@pytest.mark.expected_log("Where the program .* on the session bus lives cannot be told", times=4)
async def test_what_cannot_be_told_is_refused_and_asked_again() -> None:
    bus = Bus()
    known = Peers(bus.ask)
    assert await known.find_home(":1.1") is not None
    for pid in (None, 0, "1"):
        bus.credentials = {"ProcessID": pid, "UnixUserID": 1000}
        assert await known.find_home(":1.1") is not None
    bus.credentials = {"ProcessID": os.getpid()}
    assert await known.find_home(":1.1") is None


@pytest.mark.expected_log("Where the program .* on the session bus lives cannot be told: it has ended")
async def test_a_process_that_ended_meanwhile_is_refused_and_its_descriptor_closed() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    descriptor = os.pidfd_open(process.pid)
    process.kill()
    await process.wait()
    # As if its number had been given to another process.
    bus = Bus(ProcessID=os.getpid(), ProcessFD=descriptor)
    assert await Peers(bus.ask).find_home(":1.1") is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_only_so_many_programs_are_remembered() -> None:
    bus = Bus(ProcessID=os.getpid())
    known = Peers(bus.ask)
    for number in range(MOST_KNOWN + 1):
        await known.find_home(f":1.{number}")
    await known.find_home(":1.0")
    assert bus.asked == MOST_KNOWN + 2
    await known.find_home(f":1.{MOST_KNOWN}")
    assert bus.asked == MOST_KNOWN + 2


@pytest.mark.expected_log("Where the program .* on the session bus lives cannot be told")
async def test_a_method_that_nobody_called_acts_for_nobody() -> None:
    with pytest.raises(UserError):
        await refuse_sandboxed()


@pytest.mark.expected_log("Where the program .* on the session bus lives cannot be told")
async def test_a_reply_says_nothing_of_who_calls() -> None:
    known = Peers(Bus(ProcessID=os.getpid()).ask)
    known.note_call(Message(message_type=MessageType.METHOD_RETURN, reply_serial=1))
    with pytest.raises(UserError):
        await refuse_sandboxed()


class Verifying:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def begin(self, user_id: str) -> str:
        self.asked.append("begin")
        return "t"

    async def look(self, user_id: str, transaction_id: str) -> dict[str, Any]:
        self.asked.append("look")
        return {}

    async def answer(self, user_id: str, transaction_id: str, *, is_same: bool) -> None:
        self.asked.append("answer")

    async def cancel(self, user_id: str, transaction_id: str) -> None:
        self.asked.append("cancel")

    async def unlock(self, user_id: str, kind: str, secret: str) -> bool:
        self.asked.append(f"unlock with {secret}")
        return True


ACTING: list[tuple[Any, ...]] = [
    ("Open", "sss", "@me:x", "!r", ""),
    ("MarkRead", "ss", "@me:x", "!r"),
    ("Reply", "sss", "@me:x", "!r", "hello"),
    ("Pause", "s", "1h"),
    ("PauseEverywhere", "s", "1h"),
    ("Resume", ""),
    ("EraseHistory", "b", True),
]


@pytest.mark.parametrize("is_sandboxed", [True, False])
async def test_what_acts_is_refused_to_a_sandbox_and_what_tells_is_not(
    private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch, *, is_sandboxed: bool
) -> None:
    if is_sandboxed:
        monkeypatch.setattr(peers, "find_sandbox", lambda pid, label: "Flatpak")
    answers, verifying = FakeAnswers({"version": "1"}), Verifying()
    control = Control(answers, beside=[Verification1(verifying)])
    await control.start()
    client = await VerificationClient.connect()
    assert client is not None
    refused: list[str] = []
    calls = [
        *((call[0], ask(*call)) for call in ACTING),
        ("begin", client.begin("@me:x")),
        ("answer", client.answer("@me:x", "t", is_same=True)),
        ("cancel", client.cancel("@me:x", "t")),
        ("unlock", client.unlock("@me:x", "passphrase", "sesame")),
    ]
    for name, call in calls:
        try:
            await call
        except UserError as error:
            refused.append(f"{name}: {error.title}")
    why = "A program in a sandbox (Flatpak) may not do that."
    assert refused == ([f"{name}: {why}" for name, _ in calls] if is_sandboxed else [])
    assert len(answers.asked) == (0 if is_sandboxed else len(ACTING))
    assert await ask_status() == {"version": "1"}
    assert await client.look("@me:x", "t") == {}
    assert verifying.asked == [*([] if is_sandboxed else ["begin", "answer", "cancel", "unlock with sesame"]), "look"]
    client.close()
    await control.stop()


async def test_a_command_in_a_flatpak_sandbox_sees_and_does_not_act(
    private_bus: PrivateBus, tmp_path: Path, home: Home
) -> None:
    answers = FakeAnswers({"version": "1", "accounts": []})
    control = Control(answers)
    await control.start()
    root = tmp_path / "root"
    root.mkdir()

    def run(*words: str, in_sandbox: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "heliograph", *words]
        # As the same user, whom the bus lets in.
        rights = ["--map-root-user"] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
        sandbox = ["unshare", "--user", *rights, "--mount", "sh", "-c", IN_FLATPAK, str(root)]
        return subprocess.run(
            [*(sandbox if in_sandbox else ()), *command],
            env={**private_bus.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    refused = await asyncio.to_thread(run, "pause", "1h")
    assert refused.returncode == 1, refused.stdout
    assert "in a sandbox (Flatpak)" in refused.stderr
    assert answers.asked == []
    told = await asyncio.to_thread(run, "status")
    assert told.returncode == 0, told.stderr
    paused = await asyncio.to_thread(lambda: run("pause", "1h", in_sandbox=False))
    assert paused.returncode == 0, paused.stderr
    await control.stop()
