from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from edges.cli.conftest import Shell
from heliograph.cli import commands


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group, by the words that call it."""
    context = click.Context(command)
    if path:
        yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


def test_help_names_every_command_in_its_section(shell: Shell) -> None:
    result = shell.run("--help")
    assert result.exit_code == 0
    sections = re.findall(
        r"^(Core|Notifications|Push rules|Account|Other devices|Set-up|Server):\n((?:  .*\n)+)",
        result.stdout,
        re.MULTILINE,
    )
    named = {section: re.findall(r"^  (\w+)", rows, re.MULTILINE) for section, rows in sections}
    assert named == {
        "Core": ["run", "status", "demo"],
        "Notifications": ["inbox", "history", "pause", "resume"],
        "Push rules": ["rules", "explain"],
        "Account": ["login", "logout", "accounts", "verify"],
        "Other devices": ["pushers", "fallback", "handoff"],
        "Set-up": ["service", "config", "doctor", "test", "tray", "completion", "man"],
        "Server": ["relay"],
    }


def test_help_documents_the_exit_codes(shell: Shell) -> None:
    assert re.findall(r"^ +(\d+)  \w", shell.run("--help").stdout, re.MULTILINE) == ["0", "1", "2", "77", "78", "130"]


@pytest.mark.parametrize("command", list(walk(commands)), ids=" ".join)
def test_every_command_has_an_example(shell: Shell, command: tuple[str, ...]) -> None:
    result = shell.run(*command, "--help")
    assert result.exit_code == 0
    assert re.search(r"Examples?:\n    .*heliograph ", result.stdout)


def test_the_version_is_told(shell: Shell) -> None:
    assert shell.run("--version").stdout.startswith("heliograph, version 0.")


def test_an_unknown_command_is_a_usage_error(shell: Shell) -> None:
    result = shell.run("frobnicate")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["accounts"], ["config"], ["config", "--path"], ["rules", "--help"], ["rules", "add", "--help"]],
    ids=" ".join,
)
def test_light_commands_load_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys, contextlib, heliograph.cli\n"
        f"if {arguments!r}:\n"
        "    with contextlib.suppress(SystemExit):\n"
        f"        heliograph.cli.commands({arguments!r})\n"
        "print(sorted({'aiohttp', 'nio', 'dbus_fast', 'plyer', 'aiosqlite', 'synapse'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_account_with_a_token_that_lasts_loads_nothing_of_oauth() -> None:
    program = (
        "import sys, asyncio, heliograph.app.daemon, heliograph.cli.accounts.signed_in\n"
        "from heliograph.accounts import Account\n"
        "from heliograph.app.access_tokens import open_tokens\n"
        "from heliograph.secrets.secret import Secret\n"
        "account = Account(user_id='@me:x', device_id='D', homeserver='https://x', secrets='file', pushkey='p')\n"
        "asyncio.run(open_tokens(account, Secret(access_token='t', pickle_key='p')))\n"
        "print(sorted(name for name in sys.modules if '.oauth' in name or 'heliograph.secrets.token' in name))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # The handoff looks at every token's life: a few sums, which import nothing.
    assert done.stdout.splitlines()[-1] == "['heliograph.core.oauth', 'heliograph.core.oauth.token_life']"


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "heliograph", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("heliograph, version 0.")


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (("statsu",), "Did you mean status?"),
        (("STATUS",), "Did you mean status?"),
        (("rules", "lst"), "Did you mean list?"),
        (("rules", "keyword", "ad"), "Did you mean add?"),
        (("inbox", "raed", "2"), "Did you mean read?"),
        (("relay", "chek"), "Did you mean check?"),
        (("xyzzy",), "No such command 'xyzzy'.\n"),
    ],
)
def test_a_misspelled_command_is_understood(shell: Shell, words: tuple[str, ...], guess: str) -> None:
    result = shell.run(*words)
    assert result.exit_code == 2
    assert guess in result.stderr
