from __future__ import annotations

from conftest import Home
from edges.cli.conftest import Shell
from heliograph.config.reading import parse_config
from heliograph.config.settings import Config


def test_without_a_file_the_defaults_are_shown(shell: Shell) -> None:
    result = shell.run("config")
    assert result.exit_code == 0
    assert parse_config(result.stdout) == Config()


def test_the_file_is_what_is_shown(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[sync]\npoll_seconds = 20\n")
    assert "\npoll_seconds = 20\n" in shell.run("config").stdout


def test_the_path_is_told_whether_the_file_exists_or_not(shell: Shell, home: Home) -> None:
    assert shell.run("config", "--path").stdout == f"{home.config}/heliograph/config.toml\n"


def test_a_broken_file_is_two_lines(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[sync\n")
    result = shell.run("config")
    assert result.exit_code == 78
    assert len(result.stderr.splitlines()) == 2
