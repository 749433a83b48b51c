"""Where no daemon runs any more, the next command destroys the keys of a device that was signed out a day ago."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edges.cli.conftest import Shell
from edges.login_server import LoginServer
from heliograph.accounts import state_folder
from heliograph.encryption.olm.key_files import KEPT_MS, set_aside
from support.builders import ME


def keep(hours: float) -> Path:
    """Keys that were set aside so long ago."""
    folder = state_folder(ME)
    (folder / "crypto.db").write_text("keys")
    now_ms = time.time_ns() // 1_000_000
    set_aside(folder, "DEVICE1", now_ms - int(hours * 3_600_000))
    (aside,) = folder.glob("signed-out-*")
    return aside


@pytest.mark.parametrize("command", ["accounts", "status", "history"])
def test_any_command_that_looks_at_accounts_destroys_what_is_outdated(
    shell: Shell, signed_in: LoginServer, command: str
) -> None:
    aside = keep(hours=KEPT_MS / 3_600_000)
    shell.run(command)
    assert not aside.exists()


def test_what_has_hours_left_is_kept(shell: Shell, signed_in: LoginServer) -> None:
    aside = keep(hours=23)
    shell.run("accounts")
    assert (aside / "crypto.db").read_text() == "keys"


def test_what_cannot_be_destroyed_keeps_no_command_from_its_work(shell: Shell, signed_in: LoginServer) -> None:
    aside = keep(hours=25)
    (aside / "somebody's").write_text("note")
    result = shell.run("accounts")
    assert result.exit_code == 0
    assert ME in result.stdout


def test_logout_destroys_what_was_set_aside_at_once(shell: Shell, signed_in: LoginServer) -> None:
    aside = keep(hours=1)
    assert shell.run("logout", ME).exit_code == 0
    assert not aside.exists()
