from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edges.cli.conftest import Shell
from heliograph.relay.config import load_relay_config
from heliograph.relay.desktops import digest_of


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
    [[], ["--user", "me", "--access-token-stdin"], ["--password-stdin", "--access-token-stdin"]],
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
        assert "BAD No homeserver answers at http://127.0.0.1:9." in result.stdout
    assert shell.run("relay", "check", "--access-token-stdin", stdin="").exit_code == 2
