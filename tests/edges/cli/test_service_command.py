from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from heliograph.accounts import Account, save_account
from heliograph.cli.service.unit import leave_unit_file, render_leave_unit, render_unit, unit_file
from heliograph.core.ids import UserId


class Systemd:
    """Programs on PATH in the place of systemctl and systemd-run: they write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "calls"
        self._failing = folder / "failing"
        self._failing.mkdir()
        for name in ("systemctl", "systemd-run"):
            program = folder / name
            program.write_text(
                "#!/bin/sh\n"
                f'echo "{name} $*" >> {self._log}\n'
                f'for word in {name} "$@"; do [ -e "{self._failing}/$word" ] && exit 1; done\n'
                'case "$*" in *" status "*) echo "from systemctl"; exit 3;; esac\n'
                "exit 0\n"
            )
            program.chmod(0o755)

    def fail_at(self, word: str) -> None:
        (self._failing / word).write_text("")

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Systemd(folder)


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command that is running, installed at an awkward place."""
    program = tmp_path / 'my 100% "bin"' / "heliograph"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "service", "install"])
    return program


def sign_in() -> None:
    save_account(
        Account(user_id=UserId("@me:example.org"), device_id="D", homeserver="https://x", secrets="file", pushkey="k")
    )


def values(key: str, file: Path | None = None) -> list[str]:
    lines = (file or unit_file()).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_installing_writes_the_unit_and_starts_it(shell: Shell, systemd: Systemd, home: Home, program: Path) -> None:
    sign_in()
    result = shell.run("service", "install")
    assert result.exit_code == 0, result.output
    assert unit_file() == home.config / "systemd/user/heliograph.service"
    escaped = str(program).replace('"', '\\"').replace("%", "%%")
    assert values("ExecStart") == [f'"{escaped}" run']
    assert values("ExecStopPost") == [f'-"{escaped}" handoff --leave']
    assert values("WantedBy") == ["graphical-session.target"]
    assert f"-{home.state}/heliograph" in values("ReadWritePaths")[0]
    assert (home.state / "heliograph").is_dir()
    assert (home.cache / "heliograph").is_dir()
    assert f"XDG_STATE_HOME={home.state}" in values("Environment")
    changes = [call for call in systemd.calls if "show" not in call and "is-active" not in call]
    assert changes[1:] == [
        "systemctl --user daemon-reload",
        "systemctl --user reenable heliograph.service",
        "systemctl --user reset-failed heliograph.service",
        "systemctl --user restart heliograph.service",
    ]
    assert (home.data / "applications/io.github.heliograph.desktop").exists()
    assert "Heliograph runs" in result.stdout


def test_installing_again_is_harmless(shell: Shell, systemd: Systemd) -> None:
    sign_in()
    shell.run("service", "install")
    first = unit_file().read_text()
    assert shell.run("service", "install").exit_code == 0
    assert unit_file().read_text() == first
    assert sorted(os.listdir(unit_file().parent)) == ["heliograph-leave.service", "heliograph.service"]


def test_what_gives_other_devices_their_voice_back_is_installed_beside_it(
    shell: Shell, systemd: Systemd, home: Home, program: Path
) -> None:
    shell.run("service", "install")
    assert values("OnFailure") == [leave_unit_file().name]
    escaped = str(program).replace('"', '\\"').replace("%", "%%")
    assert values("ExecStart", leave_unit_file()) == [f'-"{escaped}" handoff --leave']
    assert values("Before", leave_unit_file()) == [unit_file().name]
    assert f"XDG_STATE_HOME={home.state}" in values("Environment", leave_unit_file())


def test_both_units_have_the_same_sandbox(shell: Shell, systemd: Systemd) -> None:
    shell.run("service", "install")
    sandboxes = [
        file.read_text().partition("UMask=")[2].partition("\n[")[0] for file in (unit_file(), leave_unit_file())
    ]
    assert sandboxes[0].strip() == sandboxes[1].strip() != ""


def test_another_target_can_be_chosen(shell: Shell, systemd: Systemd) -> None:
    shell.run("service", "install", "--target", "default")
    assert values("WantedBy") == ["default.target"]


def test_a_session_without_the_target_is_told_of_the_other(shell: Shell, systemd: Systemd) -> None:
    systemd.fail_at("is-active")
    assert "--target default" in shell.run("service", "install").stderr
    assert "--target default" not in shell.run("service", "install", "--target", "default").stderr


def test_without_an_account_it_is_enabled_and_not_started(shell: Shell, systemd: Systemd) -> None:
    result = shell.run("service", "install")
    assert result.exit_code == 0
    assert "heliograph login" in result.stdout
    assert "systemctl --user reenable heliograph.service" in systemd.calls
    assert "systemctl --user restart heliograph.service" not in systemd.calls


def test_the_start_can_wait(shell: Shell, systemd: Systemd) -> None:
    sign_in()
    assert shell.run("service", "install", "--no-start").exit_code == 0
    assert "systemctl --user restart heliograph.service" not in systemd.calls


def test_where_user_namespaces_are_forbidden_that_part_is_left_out(shell: Shell, systemd: Systemd) -> None:
    systemd.fail_at("systemd-run")
    result = shell.run("service", "install")
    assert result.exit_code == 0
    assert "forbids user namespaces" in result.stderr
    assert values("PrivateUsers") == values("ProtectSystem") == values("CapabilityBoundingSet") == []
    assert values("NoNewPrivileges") == ["yes"]
    assert values("WantedBy") == ["graphical-session.target"]


def test_a_start_that_fails_says_where_to_look(shell: Shell, systemd: Systemd) -> None:
    sign_in()
    systemd.fail_at("restart")
    result = shell.run("service", "install")
    assert result.exit_code == 1
    assert "journalctl --user -u heliograph" in result.stderr


@pytest.mark.parametrize("action", ["install", "status"])
def test_without_a_user_manager_it_says_what_to_do_instead(shell: Shell, systemd: Systemd, action: str) -> None:
    systemd.fail_at("show")
    result = shell.run("service", action)
    assert result.exit_code == 1
    assert "heliograph run" in result.stderr
    assert not unit_file().exists()


def test_without_systemctl_it_says_so(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "does not answer" in shell.run("service", "install").stderr


def test_without_the_command_it_is_not_installed(
    shell: Shell, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "pipx" in shell.run("service", "install").stderr


def test_a_folder_that_cannot_be_written_is_a_clear_error(shell: Shell, systemd: Systemd, home: Home) -> None:
    (home.config / "systemd").write_text("")
    result = shell.run("service", "install")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_removing_takes_back_what_installing_did(shell: Shell, systemd: Systemd, home: Home) -> None:
    shell.run("service", "install")
    result = shell.run("service", "remove")
    assert result.exit_code == 0
    assert "systemctl --user disable --now heliograph.service" in systemd.calls
    assert systemd.calls[-1] == "systemctl --user daemon-reload"
    assert not unit_file().exists()
    assert not leave_unit_file().exists()
    assert not (home.data / "applications/io.github.heliograph.desktop").exists()
    assert "was not installed" in shell.run("service", "remove").stdout


def test_status_is_systemds_own(systemd: Systemd) -> None:
    command = [sys.executable, "-m", "heliograph", "service", "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "from systemctl\n"
    assert done.returncode == 3


@pytest.mark.parametrize("with_namespaces", [True, False])
def test_systemd_understands_the_units(tmp_path: Path, home: Home, *, with_namespaces: bool) -> None:
    unit, leave_unit = write_units(tmp_path, with_namespaces=with_namespaces)
    command = ["systemd-analyze", "--user", "--man=no", "verify", str(unit), str(leave_unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "heliograph" in line]
    assert said == []
    assert sections(unit) == ["Unit", "Service", "Install"]
    assert sections(leave_unit) == ["Unit", "Service"]


def test_the_sandbox_is_tight(tmp_path: Path, home: Home) -> None:
    for unit in write_units(tmp_path):
        command = ["systemd-analyze", "--user", "security", "--offline=yes", "--threshold=25", str(unit)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def write_units(folder: Path, *, with_namespaces: bool = True) -> tuple[Path, Path]:
    unit, leave_unit = folder / "heliograph.service", folder / "heliograph-leave.service"
    unit.write_text(render_unit(Path("/bin/true"), "default", with_namespaces=with_namespaces))
    leave_unit.write_text(render_leave_unit(Path("/bin/true"), with_namespaces=with_namespaces))
    return unit, leave_unit


def sections(unit: Path) -> list[str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser.sections()
