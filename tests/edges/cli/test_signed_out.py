"""An account whose device the homeserver ended: what commands make of it, with and without a daemon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edges.cli.conftest import Shell
from edges.cli.test_inbox_command import sign_in
from edges.login_server import PASSWORD, LoginServer
from heliograph.accounts import Account, find_account, state_folder
from heliograph.store.sign_out_file import SignOut, forget_sign_out, note_sign_out, sign_out_of
from support.builders import ALICE, BOB, ME


def account_of(user_id: str) -> Account:
    account = find_account(user_id)
    assert account is not None
    return account


def end(user_id: str, how: SignOut = SignOut.FOR_GOOD) -> None:
    sign_in(user_id)
    note_sign_out(account_of(user_id), how)


@pytest.mark.parametrize("how", SignOut)
def test_it_is_remembered_until_it_is_forgotten(how: SignOut) -> None:
    end(ME, how)
    assert sign_out_of(account_of(ME)) is how
    forget_sign_out(ME)
    forget_sign_out(ME)
    assert sign_out_of(account_of(ME)) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"device_id": "D", "how": "?"}', b'{"device_id": "O", "how": "for good"}'],
)
def test_what_says_nothing_of_this_device_counts_as_nothing(content: bytes) -> None:
    end(ME)
    (state_folder(ME) / "signed_out.json").write_bytes(content)
    assert sign_out_of(account_of(ME)) is None


def test_accounts_tells_which_is_signed_out(shell: Shell) -> None:
    sign_in(ALICE)
    end(ME, SignOut.SOFTLY)
    text = shell.run("accounts").stdout
    assert text.count("signed out by the homeserver; to sign in again: heliograph login") == 1
    assert f"heliograph login {ME}" in text
    told = {each["user_id"]: each["signed_out"] for each in json.loads(shell.run("accounts", "--json").stdout)}
    assert told == {ALICE: None, ME: "softly"}


def test_status_tells_it_without_a_daemon(shell: Shell) -> None:
    end(ME)
    assert f"signed out; to sign in again: heliograph login {ME}" in shell.run("status").stdout
    (told,) = json.loads(shell.run("status", "--json").stdout)["accounts"]
    assert told["signed_out"] == "for good"


COMMANDS = [("pushers", "list"), ("rules", "list"), ("rules", "mute", "!room:example.org"), ("verify",)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_among_several_accounts_the_only_one_that_lives_is_meant(shell: Shell, words: tuple[str, ...]) -> None:
    sign_in(BOB)
    end(ME)
    end(ALICE)
    result = shell.run(*words)
    assert result.stderr.splitlines()[0] == f"This is about {BOB}: signed out is {ALICE}, {ME}."
    assert "Several accounts" not in result.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_of_several_that_live_one_has_to_be_named(shell: Shell, words: tuple[str, ...]) -> None:
    sign_in(BOB)
    sign_in(ALICE)
    end(ME)
    result = shell.run(*words)
    assert result.exit_code == 2
    problem, hint = result.stderr.splitlines()
    assert problem == f"Error: Several accounts have signed in: {ALICE}, {BOB}."
    assert hint == f"Try: Say which one: {'heliograph verify' if words == ('verify',) else '--account'} {ALICE}"


def test_who_is_named_is_meant_even_if_signed_out(shell: Shell) -> None:
    sign_in(BOB)
    end(ME)
    assert "This is about" not in shell.run("rules", "list", "--account", ME).stderr


def end_at_server(server: LoginServer) -> None:
    server.devices.clear()


@pytest.mark.parametrize(
    ("is_soft", "code", "why"),
    [(False, 78, "the homeserver no longer knows this device"), (True, 77, "its device waits for a new login")],
)
def test_a_command_that_is_told_of_a_sign_out_leaves_it_to_the_daemon_to_note_that(
    shell: Shell, signed_in: LoginServer, is_soft: bool, code: int, why: str
) -> None:
    if is_soft:
        signed_in.soft_logouts |= set(signed_in.devices)
    end_at_server(signed_in)
    for _ in range(2):
        result = shell.run("pushers", "list")
        assert result.exit_code == code
        assert result.stderr == f"Error: {ME} is signed out: {why}.\nTry: Log in again: heliograph login {ME}\n"
    assert sign_out_of(account_of(ME)) is None


@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
@pytest.mark.parametrize(
    ("whoami", "said"),
    [
        (None, "and knows it all the same"),
        ((401, {"errcode": "M_USER_LOCKED", "error": "locked"}), "and knows it all the same"),
        ((502, "<html>"), "and did not confirm that when it was asked: it answered HTTP 502"),
    ],
)
def test_one_refusal_of_the_access_token_is_not_called_a_sign_out(
    shell: Shell, signed_in: LoginServer, words: tuple[str, ...], whoami: tuple[int, Any] | None, said: str
) -> None:
    refusal = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "a proxy's"})
    signed_in.answers |= {"GET /pushers": refusal, "GET /pushrules/": refusal}
    if whoami is not None:
        signed_in.answers["GET /account/whoami"] = whoami
    result = shell.run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: The homeserver refused the access token of {ME}")
    assert said in result.stderr
    assert "Try: Run this again later" in result.stderr
    assert "is signed out" not in result.stderr


def test_signing_in_again_ends_it(shell: Shell, signed_in: LoginServer) -> None:
    end_at_server(signed_in)
    note_sign_out(account_of(ME), SignOut.FOR_GOOD)
    options = ("--homeserver", signed_in.url, "--secrets", "file", "--password-stdin")
    assert shell.run("login", ME, *options, stdin=f"{PASSWORD}\n").exit_code == 0
    assert sign_out_of(account_of(ME)) is None
    assert not (state_folder(ME) / "signed_out.json").exists()


@pytest.mark.parametrize("checks_versions", [False, True])
def test_the_doctors_cure_is_to_sign_in_again(shell: Shell, signed_in: LoginServer, checks_versions: bool) -> None:
    end_at_server(signed_in)
    if checks_versions:
        # As Synapse does it.
        signed_in.answers["GET /versions"] = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown"})
    found = {each["subject"]: each for each in json.loads(shell.run("doctor", "--json").stdout)}
    assert found[f"{ME} device"]["verdict"] == "bad"
    assert found[f"{ME} device"]["cure"] == f"heliograph login {ME}"
    assert not any("network" in each["cure"] for each in found.values())
