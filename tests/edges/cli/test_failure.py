from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from heliograph.cli.output.failure import explain_failure
from heliograph.errors import (
    AccountLocked,
    HeliographError,
    SecretsLocked,
    StorageError,
    TokenRefused,
    Unreachable,
    UserError,
)


def explain(error: HeliographError) -> tuple[list[str], int]:
    stream = io.StringIO()
    code = explain_failure(error, stream)
    return stream.getvalue().splitlines(), code


def test_a_failure_is_two_lines_and_an_exit_code() -> None:
    lines, code = explain(UserError("It is broken.", "Mend it.", exit_code=78))
    assert lines == ["Error: It is broken.", "Try: Mend it."]
    assert code == 78


@pytest.mark.parametrize(
    "error", [SecretsLocked("x"), StorageError("x"), Unreachable("x"), AccountLocked(), HeliographError("x")]
)
def test_every_error_of_ours_says_what_to_do(error: HeliographError) -> None:
    lines, code = explain(error)
    assert [line.split(":")[0] for line in lines] == ["Error", "Try"]
    assert code == 1


def test_a_locked_account_is_no_network_that_is_down() -> None:
    lines, _ = explain(AccountLocked())
    assert "locked" in lines[0]
    assert "unlock" in lines[1]


def test_a_fresh_token_that_is_refused_is_told_with_both_of_its_causes() -> None:
    lines, _ = explain(TokenRefused(61))
    assert "a fresh access token is refused: the account may be locked, or this device removed" in lines[0]
    assert "unlock" in lines[1]
    assert "sign in again: heliograph login" in lines[1]


def test_a_failure_cannot_command_the_terminal_nor_tell_a_token() -> None:
    lines, _ = explain(UserError("\x1b[31mred\nError: fake", "with syt_YWxpY2U_abcdefgh access"))
    assert lines[0] == "Error: [31mred Error: fake."
    assert lines[1] == "Try: with [secret] access"


def test_running_without_an_account_says_how_to_sign_in(shell: Shell) -> None:
    result = shell.run("run")
    assert result.exit_code == 78
    assert result.stderr.splitlines() == [
        "Error: No account has signed in on this machine.",
        "Try: heliograph login @you:example.org",
    ]


def test_a_wrong_configuration_is_named_before_anything_runs(shell: Shell, home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text('[desktop]\nbackand = "auto"\n')
    result = shell.run("run")
    assert result.exit_code == 78
    assert "[desktop] backand: there is no such key" in result.stderr
    assert "Did you mean backend?" in result.stderr


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    """Against a homeserver that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = ["login", "@me:example.org", "--homeserver", url, "--secrets", "file", "--sso"]
        with subprocess.Popen(
            [sys.executable, "-m", "heliograph", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip() == ""
