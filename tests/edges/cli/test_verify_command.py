"""What `heliograph verify` says when it cannot even begin. How it goes otherwise: tests/system."""

from __future__ import annotations

import pytest

from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from heliograph.accounts import state_folder
from heliograph.store.lock import AccountLock
from support.builders import ALICE, ME


def test_without_an_account_it_says_how_to_get_one(shell: Shell) -> None:
    result = shell.run("verify")
    assert result.exit_code == 78
    assert "heliograph login" in result.stderr


def test_an_account_that_is_not_here_is_said(shell: Shell, signed_in: LoginServer) -> None:
    result = shell.run("verify", ALICE)
    assert result.exit_code == 78
    assert f"{ALICE} is not signed in" in result.stderr


def test_of_several_accounts_one_has_to_be_named(shell: Shell, signed_in: LoginServer) -> None:
    options = ("--homeserver", signed_in.url, "--secrets", "file", "--password-stdin")
    shell.run("login", ALICE, *options, stdin=f"{PASSWORD}\n")
    result = shell.run("verify")
    assert result.exit_code == 2
    assert ALICE in result.stderr
    assert ME in result.stderr


def test_the_recovery_key_and_the_passphrase_exclude_one_another(shell: Shell) -> None:
    assert shell.run("verify", "--recovery-key", "--passphrase").exit_code == 2


@pytest.mark.parametrize("typed", ["", "\n", " \n"])
def test_a_secret_that_is_not_there_is_said(shell: Shell, signed_in: LoginServer, typed: str) -> None:
    result = shell.run("verify", "--recovery-key", stdin=typed)
    assert result.exit_code == 2
    assert "no recovery key" in result.stderr


def test_a_token_that_is_gone_sends_one_to_log_in(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "secret.json").unlink()
    result = shell.run("verify", "--passphrase", stdin="x\n")
    assert result.exit_code == 77
    assert f"heliograph login {ME}" in result.stderr


def test_an_account_that_something_else_uses_is_left_alone(shell: Shell, signed_in: LoginServer) -> None:
    lock = AccountLock.take(state_folder(ME))
    result = shell.run("verify")
    lock.release()
    assert result.exit_code != 0
    assert len(result.stderr.splitlines()) == 2
