"""`heliograph completion`, in the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edges.cli.conftest import Shell
from edges.login_server import LoginServer
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from support.builders import ME, ROOM
from support.buses import PrivateBus

_INBOX = {"rooms": [{"account": ME, "room_id": ROOM, "title": "Lunch * $(boom)", "unread": 1, "highlights": 0}]}
_CLEAR_LINE = "\x15"
_BASH = """\
. "$SCRIPT"
COMP_LINE=$LINE COMP_POINT=${#LINE}
_heliograph_completion heliograph
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`heliograph` can be called by its name."""
    program = tmp_path / "bin/heliograph"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom heliograph.cli import main\nmain()\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


Complete = Callable[[str], list[str]]


@pytest.fixture
def in_bash(on_path: None, shell: Shell, tmp_path: Path) -> Complete:
    """What bash offers for a line."""
    script = tmp_path / "completion.bash"
    script.write_text(shell.run("completion", "bash").stdout)

    def complete(line: str) -> list[str]:
        environ = {**os.environ, "SCRIPT": str(script), "LINE": line}
        done = subprocess.run(
            ["bash", "--norc", "-c", _BASH], env=environ, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.split("\n")[:-1]

    return complete


@pytest.fixture
def in_fish(on_path: None, shell: Shell, tmp_path: Path) -> Complete:
    """What fish offers for a line."""
    script = tmp_path / "heliograph.fish"
    script.write_text(shell.run("completion", "fish").stdout)

    def complete(line: str) -> list[str]:
        environ = {**os.environ, "SCRIPT": str(script), "LINE": line}
        words = ["fish", "--no-config", "-c", 'source "$SCRIPT"; complete --do-complete "$LINE"']
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.splitlines()

    return complete


def test_commands_and_options_complete_in_bash(in_bash: Complete) -> None:
    assert in_bash("heliograph stat") == ["status"]
    assert in_bash("heliograph rules mute") == ["mute", "mute-user"]
    assert in_bash("heliograph status --fo") == ["--format", "--follow"]
    assert in_bash("heliograph completion ") == ["bash", "zsh", "fish"]
    assert in_bash("heliograph status --frobnicate") == [""]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("heliograph logout ", "@me:example.org"),
        ("heliograph logout @m", "me:example.org"),
        ("heliograph logout @me:ex", "example.org"),
        ("heliograph rules list --account=@m", "me:example.org"),
    ],
)
def test_user_ids_complete_in_bash_which_breaks_words_in_them(
    in_bash: Complete, signed_in: LoginServer, line: str, offered: str
) -> None:
    assert in_bash(line) == [offered]


def test_commands_and_accounts_complete_in_fish(in_fish: Complete, signed_in: LoginServer) -> None:
    assert [line.split("\t")[0] for line in in_fish("heliograph stat")] == ["status"]
    assert in_fish("heliograph logout @m") == [ME]


def test_rooms_complete_by_number_and_name_and_run_nothing(
    in_bash: Complete, in_fish: Complete, signed_in: LoginServer, private_bus: PrivateBus
) -> None:
    with FakeDaemon(private_bus, FakeAnswers(inbox=_INBOX)):
        assert in_bash("heliograph inbox open ") == ["1"]
        assert in_fish("heliograph inbox open ") == ["1\tLunch * $(boom)"]


def test_without_an_account_no_room_completes(in_bash: Complete) -> None:
    assert in_bash("heliograph inbox open ") == [""]


class Zsh:
    """An interactive zsh in a terminal."""

    def __init__(self, folder: Path) -> None:
        self._terminal, inside = pty.openpty()
        environ = {**os.environ, "TERM": "xterm", "ZDOTDIR": str(folder), "PS1": ""}
        self._process = subprocess.Popen(
            ["zsh", "-f", "-i"], stdin=inside, stdout=inside, stderr=inside, env=environ, start_new_session=True
        )
        os.close(inside)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def see(self, text: str) -> str:
        """All that it wrote until this."""
        seen = ""
        deadline = time.monotonic() + 20
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([self._terminal], [], [], 0.5)[0]:
                seen += os.read(self._terminal, 65536).decode(errors="replace")
        return seen

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


def test_commands_and_accounts_complete_in_zsh(
    on_path: None, shell: Shell, signed_in: LoginServer, tmp_path: Path
) -> None:
    (tmp_path / "zfunc").mkdir()
    (tmp_path / "zfunc/_heliograph").write_text(shell.run("completion", "zsh").stdout)
    zsh = Zsh(tmp_path)
    try:
        zsh.type(f"fpath+={tmp_path}/zfunc; autoload -Uz compinit; compinit -u -D; echo rea''dy\n")
        zsh.see("ready\r\n")
        for typed, offered in (
            ("heliograph stat\t", "status"),
            ("heliograph status --js\t", "--json"),
            ("heliograph logout @m\t", "@me:example.org"),
            ("heliograph logout @me:e\t", "@me:example.org"),
            ("heliograph rules list --account=@\t", "--account=@me:example.org"),
        ):
            zsh.type(typed)
            zsh.see(offered)
            zsh.type(_CLEAR_LINE)
            zsh.see("\x1b[K")
    finally:
        zsh.end()
