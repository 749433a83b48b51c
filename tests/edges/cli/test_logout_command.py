from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from edges.private_keyring import PrivateKeyring, private_keyring
from heliograph.accounts import cache_root, list_accounts, state_folder
from heliograph.cli import logout
from heliograph.cli.inbox import numbering
from heliograph.cli.inbox.numbering import find_number, number_rooms
from heliograph.cli.output import patience
from heliograph.homeserver import logout as ending
from heliograph.homeserver.session import Session
from heliograph.secrets.secret_service import SecretService
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import AccountLock
from support.builders import ALICE, ME
from support.buses import PrivateBus


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


class Once(dict[str, tuple[int, object]]):
    """Answers that are given once each."""

    def __getitem__(self, call: str) -> tuple[int, object]:
        return self.pop(call)


@pytest.mark.parametrize("answer", [{}, "<html>Welcome to this train"])
def test_a_logout_that_ends_nothing_is_not_believed(
    shell: Shell, signed_in: LoginServer, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(ending, "_LOOKS_S", (0, 0))
    signed_in.answers["POST /logout"] = 200, answer
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert "says that the device has ended, and still knows its access token" in result.stderr
    assert "Signed out" not in result.output
    assert (state_folder(ME) / "secret.json").exists()
    assert "Signed out" not in shell.run("logout", ME, "--force").output


def test_a_device_that_ends_a_moment_later_is_signed_out(
    shell: Shell, signed_in: LoginServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_LOOKS_S", (0, 0))
    signed_in.answers = Once({"GET /account/whoami": (200, {"user_id": ME, "device_id": "DEVICE1"})})
    result = shell.run("logout", ME)
    assert result.exit_code == 0
    assert result.stdout == f"Signed out of {ME}. Nothing of it is left on this machine.\n"
    assert signed_in.requests.count("GET /account/whoami") == 2


def test_a_sign_out_whose_answer_is_lost_is_found_out_by_the_next(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /account/whoami"] = 502, "bad gateway"
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert "did not confirm that the device has ended, so all is kept here: answered HTTP 502" in result.stderr
    assert signed_in.devices == {}
    del signed_in.answers["GET /account/whoami"]
    assert shell.run("logout", ME).exit_code == 0
    assert list_accounts() == []


def test_an_expired_token_still_ends_its_device(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.expire(*signed_in.devices)
    result = shell.run("logout", ME)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Signed out of {ME}. Nothing of it is left on this machine.\n"
    assert signed_in.soft_logouts == set()


def test_a_device_that_outlives_its_token_is_not_called_ended(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.expire(*signed_in.devices)
    signed_in.answers["POST /logout"] = 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Expired", "soft_logout": True}
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert "its access token has expired, and the device lives on at the homeserver" in result.stderr
    assert f"Sign in again first (heliograph login {ME})" in result.stderr
    assert len(list_accounts()) == 1


def test_the_rooms_of_the_inbox_are_forgotten_and_their_numbers_stay_used_up(
    shell: Shell, signed_in: LoginServer
) -> None:
    number_rooms([(ALICE, "!hers:example.org"), (ME, "!mine:example.org")])
    shell.run("logout", ME)
    assert ME not in (cache_root() / "inbox.json").read_text()
    assert find_number(1) == (ALICE, "!hers:example.org")
    assert find_number(2) is None
    assert number_rooms([(ALICE, "!hers:example.org"), (ALICE, "!new:example.org")]).numbers == (1, 3)


def test_rooms_that_the_disk_does_not_forget_are_told_of(
    shell: Shell, signed_in: LoginServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    number_rooms([(ME, "!mine:example.org")])
    monkeypatch.setattr(numbering, "replace_file", refuse)
    result = shell.run("logout", ME)
    assert result.exit_code == 0
    assert "Warning: the ids of rooms stay in the cache folder" in result.stderr
    assert result.stdout == f"Signed out of {ME}.\n"


@pytest.mark.parametrize("is_token_lost", [False, True])
def test_phones_that_nobody_can_switch_on_again_are_told_of(
    shell: Shell, signed_in: LoginServer, is_token_lost: bool
) -> None:
    async def switch_off() -> None:
        ledger = await SqliteLedger.open(state_folder(ME))
        await ledger.set_switched_off([("org.example.phone", "phone")])
        await ledger.close()

    asyncio.run(switch_off())
    if is_token_lost:
        (state_folder(ME) / "secret.json").unlink()
    else:
        signed_in.devices.clear()
    result = shell.run("logout", ME)
    assert result.exit_code == 0
    assert "Warning: what was switched off on your other devices stays off (" in result.stderr
    assert list_accounts() == []


def test_a_device_whose_token_is_lost_is_not_called_ended(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "secret.json").unlink()
    result = shell.run("logout", ME)
    assert result.exit_code == 0
    assert "Warning: nobody confirmed that the device DEVICE1 has ended (its secret is gone from" in result.stderr
    assert "Signed out" not in result.output
    assert len(signed_in.devices) == 1
    assert list_accounts() == []


UNKNOWN_TOKEN = 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Dead", "soft_logout": False}


@pytest.mark.parametrize("request_", ["GET /pushers", "POST /logout"])
def test_one_refused_token_that_whoami_knows_is_no_sign_out(
    shell: Shell, signed_in: LoginServer, request_: str
) -> None:
    signed_in.answers[request_] = UNKNOWN_TOKEN
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert "did not confirm that the device has ended, so all is kept here: refuses the access token" in result.stderr
    assert len(signed_in.devices) == len(list_accounts()) == 1
    assert (state_folder(ME) / "secret.json").exists()
    del signed_in.answers[request_]
    assert shell.run("logout", ME).exit_code == 0
    assert signed_in.devices == {}


@pytest.mark.parametrize("answer", [(401, "<html>"), (401, {"errcode": "M_MISSING_TOKEN"}), (502, "bad gateway")])
def test_a_sign_out_that_whoami_does_not_confirm_keeps_everything(
    shell: Shell, signed_in: LoginServer, answer: tuple[int, object]
) -> None:
    signed_in.answers["GET /pushers"] = UNKNOWN_TOKEN
    signed_in.answers["GET /account/whoami"] = answer
    assert shell.run("logout", ME).exit_code == 1
    assert len(list_accounts()) == 1
    assert shell.run("logout", ME, "--force").exit_code == 0
    assert list_accounts() == []


@pytest.mark.parametrize("answer", [(401, "<html>"), (401, {"errcode": "M_MISSING_TOKEN"})])
def test_a_proxys_401_is_no_sign_out(shell: Shell, signed_in: LoginServer, answer: tuple[int, object]) -> None:
    signed_in.answers["POST /logout"] = answer
    assert shell.run("logout", ME).exit_code == 1
    assert len(list_accounts()) == 1


def test_one_refused_token_is_tried_again_once_whoami_knows_it(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers = Once({"GET /pushers": UNKNOWN_TOKEN})
    assert shell.run("logout", ME).exit_code == 0
    assert signed_in.devices == {}


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
    assert "Warning: nobody confirmed that the device DEVICE1 has ended (answered HTTP 502" in result.stderr
    assert result.stdout == f"Nothing of {ME} is left on this machine.\n"
    assert list_accounts() == []


def test_force_gets_over_a_damaged_secret(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "secret.json").write_text("{")
    assert shell.run("logout", ME).exit_code == 1
    assert shell.run("logout", ME, "--force").exit_code == 0
    assert not state_folder(ME).exists()


@pytest.fixture
def in_keyring(
    shell: Shell, server: LoginServer, private_bus: PrivateBus, home: Home
) -> Iterator[tuple[LoginServer, PrivateKeyring]]:
    """ME has signed in, with the token in a keyring, which is locked since."""
    with private_keyring(private_bus.address, home.path) as keyring:
        options = ("--homeserver", server.url, "--secrets", "keyring", "--password-stdin")
        assert shell.run("login", ME, *options, stdin=f"{PASSWORD}\n").exit_code == 0
        asyncio.run(keyring.lock())
        yield server, keyring


def test_a_locked_keyring_is_told_of_and_keeps_everything(
    shell: Shell, in_keyring: tuple[LoginServer, PrivateKeyring]
) -> None:
    server, keyring = in_keyring
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert "The keyring is locked. Unlock it where it asks you, within 60 s" in result.stderr
    assert "The device was not ended, and you stay signed in: the keyring was not unlocked." in result.stderr
    assert "Unlock the keyring, and run this again" in result.stderr
    assert len(server.devices) == len(list_accounts()) == 1
    asyncio.run(keyring.unlock())
    assert shell.run("logout", ME).exit_code == 0
    assert server.devices == {}


def test_force_asks_a_locked_keyring_once(shell: Shell, in_keyring: tuple[LoginServer, PrivateKeyring]) -> None:
    result = shell.run("logout", ME, "--force")
    assert result.exit_code == 0
    assert result.stderr.count("Unlock it where it asks you") == 1
    assert "Warning: the account's secret stays in the keyring (the keyring is locked)." in result.stderr
    assert result.stdout == f"Removed {ME} from this machine.\n"
    assert list_accounts() == []


def test_a_keyring_that_is_locked_after_the_device_ended_leaves_no_half_account(
    shell: Shell, in_keyring: tuple[LoginServer, PrivateKeyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, keyring = in_keyring
    asyncio.run(keyring.unlock())
    load = SecretService.load

    async def load_and_lock(self: SecretService, user_id: str) -> str | None:
        text = await load(self, user_id)
        await keyring.lock()
        return text

    monkeypatch.setattr(SecretService, "load", load_and_lock)
    result = shell.run("logout", ME)
    assert result.exit_code == 0, result.output
    assert "Warning: the account's secret stays in the keyring" in result.stderr
    assert "Nothing of it is left" not in result.stdout
    assert server.devices == {}
    assert list_accounts() == []


def test_what_takes_long_says_what_is_waited_for(
    shell: Shell, signed_in: LoginServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SILENT_S", 0)
    monkeypatch.setattr(logout, "ENDING_S", 0.3)
    monkeypatch.setattr(Session, "request_json", never_answered)
    result = shell.run("logout", ME)
    assert result.exit_code == 1
    assert f"Waiting for {signed_in.url} to end the device" in result.stderr
    assert "the homeserver did not answer in time" in result.stderr
    assert len(list_accounts()) == 1


async def never_answered(*_: object, **__: object) -> None:
    await asyncio.sleep(3600)


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
        "sign_in": None,
        "folder": str(state_folder(ME)),
    }


def test_without_accounts_the_list_is_empty_and_says_how_to_begin(shell: Shell) -> None:
    result = shell.run("accounts")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "heliograph login" in result.stderr
    assert json.loads(shell.run("accounts", "--json").stdout) == []
