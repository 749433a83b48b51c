from __future__ import annotations

import json
import os

from builders import ALICE, ME
from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from heliograph.accounts import list_accounts, state_folder
from heliograph.store.lock import AccountLock


def test_logout_removes_pusher_device_and_everything_here(shell: Shell, signed_in: LoginServer, home: Home) -> None:
    pushkey = list_accounts()[0].pushkey
    signed_in.pushers = [
        {"app_id": "io.github.heliograph", "pushkey": pushkey, "kind": "direct"},
        {"app_id": "org.example.phone", "pushkey": "phone", "kind": "http"},
    ]
    (state_folder(ME) / "ledger.db").write_text("x")
    result = shell.run("logout", ME)
    assert result.exit_code == 0, result.output
    assert [pusher["pushkey"] for pusher in signed_in.pushers] == ["phone"]
    assert signed_in.devices == {}
    assert os.listdir(home.state / "heliograph") == []


def test_other_accounts_stay(shell: Shell, signed_in: LoginServer) -> None:
    options = ("--homeserver", signed_in.url, "--secrets", "file", "--password-stdin")
    shell.run("login", ALICE, *options, stdin=f"{PASSWORD}\n")
    shell.run("logout", ME)
    assert [account.user_id for account in list_accounts()] == [ALICE]


def test_a_device_that_is_gone_is_logged_out_of_just_the_same(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.devices.clear()
    assert shell.run("logout", ME).exit_code == 0
    assert list_accounts() == []


def test_a_server_that_fails_keeps_everything_and_names_force(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["POST /logout"] = 502, "bad gateway"
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert f"heliograph logout {ME} --force" in result.stderr
    assert len(list_accounts()) == 1
    assert (state_folder(ME) / "secret.json").exists()


def test_force_removes_what_is_here_and_warns_of_what_is_not(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["POST /logout"] = 502, "bad gateway"
    result = shell.run("logout", ME, "--force")
    assert result.exit_code == 0
    assert "Warning: the device DEVICE1 was not ended" in result.stderr
    assert list_accounts() == []


def test_force_gets_over_a_damaged_secret(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "secret.json").write_text("{")
    assert shell.run("logout", ME).exit_code == 1
    assert shell.run("logout", ME, "--force").exit_code == 0
    assert not state_folder(ME).exists()


def test_an_account_in_use_is_not_pulled_from_under_the_daemon(shell: Shell, signed_in: LoginServer) -> None:
    lock = AccountLock.take(state_folder(ME))
    result = shell.run("logout", ME, "--force")
    lock.release()
    assert result.exit_code == 1
    assert f"is running for {ME} (process {os.getpid()})" in result.stderr
    assert f"kill {os.getpid()}" in result.stderr
    assert len(signed_in.devices) == 1


def test_who_is_not_signed_in_cannot_sign_out(shell: Shell) -> None:
    result = shell.run("logout", ME)
    assert result.exit_code == 78
    assert "not signed in on this machine" in result.stderr


def test_accounts_are_listed_without_their_tokens(shell: Shell, signed_in: LoginServer) -> None:
    result = shell.run("accounts")
    assert ME in result.stdout
    assert "device DEVICE1" in result.stdout
    assert "access token in a file" in result.stdout
    (account,) = json.loads(shell.run("accounts", "--json").stdout)
    assert account == {
        "user_id": ME,
        "device_id": "DEVICE1",
        "homeserver": signed_in.url,
        "secrets": "file",
        "signed_out": None,
        "folder": str(state_folder(ME)),
    }


def test_without_accounts_the_list_is_empty_and_says_how_to_begin(shell: Shell) -> None:
    result = shell.run("accounts")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "heliograph login" in result.stderr
    assert json.loads(shell.run("accounts", "--json").stdout) == []
