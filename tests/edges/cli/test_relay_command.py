from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edges.cli.conftest import Shell
from heliograph.cli.service import unit
from heliograph.cli.service.unit import render_relay_unit
from heliograph.errors import UserError
from heliograph.relay.config import load_relay_config
from heliograph.relay.gateway.tokens import digest_of


def test_a_token_is_told_once_and_its_digest_is_what_the_configuration_takes(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("relay", "token", 'the "boss"')
    assert result.exit_code == 0
    section = "\n".join(line for line in result.stdout.splitlines() if line.startswith("    ") and "=" in line)
    token = result.stdout.splitlines()[-1].strip()
    (tmp_path / "relay.toml").write_text(f"gateway_only = true\n[users]\n{section}\n")
    assert tomllib.loads(section.strip()) == {'the "boss"': digest_of(token)}
    assert load_relay_config(tmp_path / "relay.toml", {}).users == {'the "boss"': digest_of(token)}
    assert re.fullmatch(r"[A-Za-z0-9_-]{40,}", token)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--user", "me", "--access-token-stdin"],
        ["--password-stdin", "--access-token-stdin"],
        ["--device-code", "--access-token-stdin"],
        ["--device-code", "--password-stdin"],
    ],
)
def test_a_check_needs_one_way_to_sign_in(shell: Shell, options: list[str]) -> None:
    assert shell.run("relay", "check", *options).exit_code == 2


def test_a_check_takes_options_before_and_after_its_name(shell: Shell) -> None:
    before = shell.run(
        "relay", "--homeserver", "http://127.0.0.1:9", "check", "--access-token-stdin", stdin="the-token\n"
    )
    after = shell.run(
        "relay", "check", "--homeserver", "http://127.0.0.1:9", "--user", "me", "--password-stdin", stdin="secret\n"
    )
    for result in (before, after):
        assert result.exit_code == 1
        assert "BAD No homeserver answers at http://127.0.0.1:9: GET /versions: no answer." in result.stdout
    assert shell.run("relay", "check", "--access-token-stdin", stdin="").exit_code == 2


PROGRAM = Path("/opt/heliograph/bin/heliograph")


def test_the_unit_starts_the_program_that_printed_it() -> None:
    lines = render_relay_unit(PROGRAM, [PROGRAM, Path("/usr")]).splitlines()
    assert f"ExecStart={PROGRAM} relay --config ${{CONFIGURATION_DIRECTORY}}/relay.toml" in lines


def test_both_units_are_written_and_the_socket_has_the_port_of_the_configuration(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "find_program", lambda: PROGRAM)
    monkeypatch.setattr(unit, "find_needs", lambda program: (program,))
    result = shell.run("relay", "unit", "--to", str(tmp_path), "--listen", "[::1]:9000")
    assert result.exit_code == 0, result.output
    assert f"ExecStart={PROGRAM} relay" in (tmp_path / "heliograph-relay.service").read_text()
    assert "ListenStream=[::1]:9000\n" in (tmp_path / "heliograph-relay.socket").read_text()
    named = shell.run("relay", "unit", "--to", str(tmp_path), "--listen", "localhost:9000")
    assert "localhost is none" in named.output
    nowhere = shell.run("relay", "unit", "--to", str(tmp_path / "missing"))
    assert "cannot be written" in nowhere.output


@pytest.mark.parametrize(
    "place",
    [
        "/home/ada/.local/bin/heliograph",
        "/root/heliograph/.venv",
        "/run/user/1000/x",
        "/tmp/venv",
        "/var/tmp/venv",
        "/dev/shm/venv",
    ],
)
def test_no_unit_is_printed_whose_sandbox_would_hide_the_program(place: str) -> None:
    with pytest.raises(UserError, match=f"hides {place}") as refusal:
        render_relay_unit(PROGRAM, [PROGRAM, Path(place)])
    assert "sudo python3 -m venv /opt/heliograph" in refusal.value.hint


def test_a_link_to_where_the_sandbox_does_not_look_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "_HIDDEN_FROM_RELAY", (str(tmp_path / "ada"),))
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada/heliograph").touch()
    (tmp_path / "heliograph").symlink_to(tmp_path / "ada/heliograph")
    with pytest.raises(UserError, match=f"hides {tmp_path}/ada/heliograph"):
        render_relay_unit(PROGRAM, [tmp_path / "heliograph"])


@pytest.mark.parametrize("mode", [0o750, 0o700])
def test_no_unit_is_printed_for_a_program_that_only_its_owner_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(unit, "_HIDDEN_FROM_RELAY", ())
    tmp_path.chmod(0o755)
    monkeypatch.setattr(unit, "_permits", partial(permits_below, tmp_path, unit._permits))
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/heliograph").touch(0o755)
    assert "ExecStart=" in render_relay_unit(PROGRAM, [tmp_path / "closed/heliograph"])
    (tmp_path / "closed").chmod(mode)
    with pytest.raises(UserError, match=f"whose user may not read {tmp_path}/closed/heliograph"):
        render_relay_unit(PROGRAM, [tmp_path / "closed/heliograph"])


def permits_below(top: Path, permits: Callable[[Path, int], bool], path: Path, right: int) -> bool:
    """What pytest's own folders permit is not looked at."""
    return permits(path, right) if path.is_relative_to(top) else True


def test_an_installation_for_one_user_prints_no_unit(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "heliograph"
    program.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setattr(sys, "prefix", "/home/ada/.local/share/pipx/venvs/heliograph")
    result = shell.run("relay", "unit")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot run as the relay's service" in result.stderr
    assert "Try: Install it for the whole machine" in result.stderr
