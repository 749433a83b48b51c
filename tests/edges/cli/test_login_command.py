from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import LOGIN_TOKEN, PASSWORD, LoginServer, auth_metadata
from edges.private_keyring import private_keyring
from heliograph.cli.login import older_ways
from support.builders import ALICE, ME
from support.buses import PrivateBus

pytestmark = pytest.mark.usefixtures("home")


def log_in(shell: Shell, server: LoginServer, *options: str, stdin: str | bytes = f"{PASSWORD}\n") -> Result:
    how = () if {"--sso", "--access-token-stdin", "--password-stdin"} & set(options) else ("--password-stdin",)
    return shell.run("login", ME, "--homeserver", server.url, "--secrets", "file", *how, *options, stdin=stdin)


def account(home: Home, user_id: str = ME) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((home.state / "heliograph" / user_id / "account.json").read_text())
    return answer


def secret(home: Home) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((home.state / "heliograph" / ME / "secret.json").read_text())
    return answer


def test_a_password_signs_in(shell: Shell, server: LoginServer, home: Home) -> None:
    result = log_in(shell, server)
    assert result.exit_code == 0, result.output
    assert f"Signed in as {ME}, device DEVICE1." in result.stdout
    assert account(home) | {"pushkey": ""} == {
        "user_id": ME,
        "device_id": "DEVICE1",
        "homeserver": server.url,
        "secrets": "file",
        "pushkey": "",
    }
    assert secret(home)["access_token"] == "syt_token1"
    assert server.logins[0]["initial_device_display_name"].startswith("Heliograph on ")


def test_what_is_kept_is_for_the_users_eyes_only(shell: Shell, server: LoginServer, home: Home) -> None:
    log_in(shell, server)
    folder = home.state / "heliograph" / ME
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {ME: 0o700, "account.json": 0o600, "secret.json": 0o600}


def test_pushkeys_and_pickle_keys_are_random(shell: Shell, server: LoginServer, home: Home) -> None:
    seen = set()
    for _ in range(2):
        log_in(shell, server)
        seen |= {account(home)["pushkey"], secret(home)["pickle_key"]}
        shell.run("logout", ME)
    assert len(seen) == 4
    assert min(map(len, seen)) >= 32


def test_the_password_is_taken_as_it_is(shell: Shell, server: LoginServer) -> None:
    log_in(shell, server, stdin="  spaces and ünïcode \r\nsecond line")
    assert server.logins[0]["password"] == "  spaces and ünïcode "


@pytest.mark.parametrize("stdin", ["", "\n", b"\xff\xfe\n"])
def test_no_password_is_a_usage_error(shell: Shell, server: LoginServer, stdin: str | bytes) -> None:
    result = log_in(shell, server, stdin=stdin)
    assert result.exit_code == 2
    assert "holds no password" in result.stderr
    assert server.requests == []


def test_a_wrong_password_leaves_nothing_behind(shell: Shell, server: LoginServer, home: Home) -> None:
    result = log_in(shell, server, stdin="wrong\n")
    assert result.exit_code == 1
    assert "Wrong user id or password" in result.stderr
    assert "wrong\n" not in result.stdout
    assert not (home.state / "heliograph" / ME).exists()


def test_without_a_terminal_no_password_is_asked(shell: Shell, server: LoginServer) -> None:
    result = shell.run("login", ME, "--homeserver", server.url, "--secrets", "file")
    assert result.exit_code == 2
    assert "--password-stdin" in result.stderr


def test_a_second_login_is_refused(shell: Shell, server: LoginServer) -> None:
    log_in(shell, server)
    result = log_in(shell, server)
    assert result.exit_code == 1
    assert "signed in already, as device DEVICE1" in result.stderr
    assert len(server.logins) == 1


def test_a_soft_logout_is_mended_with_the_same_device_and_keys(shell: Shell, server: LoginServer, home: Home) -> None:
    log_in(shell, server)
    before, key = account(home), secret(home)["pickle_key"]
    server.soft_logouts.add("syt_token1")
    del server.devices["syt_token1"]
    assert log_in(shell, server).exit_code == 0
    assert server.logins[1]["device_id"] == "DEVICE1"
    assert account(home) == before
    assert secret(home) == {"access_token": "syt_token2", "pickle_key": key}


def test_a_device_that_is_gone_is_not_asked_for_again(shell: Shell, server: LoginServer, home: Home) -> None:
    log_in(shell, server)
    server.devices.clear()
    assert log_in(shell, server).exit_code == 0
    assert "device_id" not in server.logins[1]
    assert account(home)["device_id"] == "DEVICE2"


def pushers_of(home: Home) -> list[dict[str, Any]]:
    """Our pusher at the homeserver, and a phone's."""
    return [
        {"app_id": "io.github.heliograph", "pushkey": account(home)["pushkey"], "kind": "direct"},
        {"app_id": "org.example.phone", "pushkey": "phone", "kind": "http"},
    ]


def test_a_new_device_takes_a_new_pushkey_and_the_old_pusher_goes(
    shell: Shell, server: LoginServer, home: Home
) -> None:
    log_in(shell, server)
    before, server.pushers = account(home)["pushkey"], pushers_of(home)
    server.devices.clear()
    assert log_in(shell, server).exit_code == 0
    assert account(home)["pushkey"] != before
    assert [pusher["pushkey"] for pusher in server.pushers] == ["phone"]


def test_an_old_pusher_that_cannot_be_removed_is_told_and_the_sign_in_stands(
    shell: Shell, server: LoginServer, home: Home
) -> None:
    log_in(shell, server)
    server.pushers = pushers_of(home)
    server.devices.clear()
    server.answers["POST /pushers/set"] = 502, "bad gateway"
    result = log_in(shell, server)
    assert result.exit_code == 0, result.output
    assert "Warning: the pusher of the earlier device DEVICE1 may still be there (answered HTTP 502" in result.stderr
    assert account(home)["device_id"] == "DEVICE2"


def test_a_given_token_of_the_same_device_keeps_its_pushkey_and_pusher(
    shell: Shell, server: LoginServer, home: Home
) -> None:
    log_in(shell, server)
    before, server.pushers = account(home), pushers_of(home)
    server.devices = {"syt_mine": (ME, "DEVICE1")}
    assert log_in(shell, server, "--access-token-stdin", stdin="syt_mine\n").exit_code == 0
    assert account(home) == before
    assert len(server.pushers) == 2


def test_a_lost_secret_is_mended_by_a_login(shell: Shell, server: LoginServer, home: Home) -> None:
    log_in(shell, server)
    (home.state / "heliograph" / ME / "secret.json").unlink()
    assert log_in(shell, server).exit_code == 0


def test_an_access_token_signs_in(shell: Shell, server: LoginServer, home: Home) -> None:
    server.devices["syt_mine"] = (ME, "TOKENDEVICE")
    result = log_in(shell, server, "--access-token-stdin", stdin="syt_mine\n")
    assert result.exit_code == 0, result.output
    assert account(home)["device_id"] == "TOKENDEVICE"
    assert server.logins == []


def test_an_access_token_that_is_not_ours_stays_alive_and_is_refused(shell: Shell, server: LoginServer) -> None:
    server.devices["syt_hers"] = (ALICE, "D")
    result = log_in(shell, server, "--access-token-stdin", stdin="syt_hers\n")
    assert result.exit_code == 1
    assert f"signs in {ALICE}, not {ME}" in result.stderr
    assert "syt_hers" in server.devices


def test_a_dead_access_token_is_refused(shell: Shell, server: LoginServer) -> None:
    result = log_in(shell, server, "--access-token-stdin", stdin="syt_dead\n")
    assert result.exit_code == 1
    assert "does not know this access token" in result.stderr


METADATA = 200, auth_metadata("https://auth.example.org")


@pytest.mark.parametrize(("token", "metadata"), [("mat_short", None), ("mat_short", METADATA), ("other", METADATA)])
def test_an_oauth_token_is_refused_before_it_is_sent_anywhere(
    shell: Shell, server: LoginServer, home: Home, token: str, metadata: tuple[int, Any] | None
) -> None:
    server.devices[token] = (ME, "TOKENDEVICE")
    if metadata is not None:
        server.answers["GET /v1/auth_metadata"] = metadata
    result = log_in(shell, server, "--access-token-stdin", stdin=f"{token}\n")
    assert result.exit_code == 1
    assert "an access token of OAuth 2.0, which expires within minutes" in result.stderr
    assert f"Sign in without one: heliograph login {ME}" in result.stderr
    assert "GET /account/whoami" not in server.requests
    assert not (home.state / "heliograph" / ME).exists()


@pytest.mark.parametrize("token", ["mct_compatibility", "mpt_personal"])
def test_a_token_that_lasts_signs_in_at_a_server_with_oauth(
    shell: Shell, server: LoginServer, home: Home, token: str
) -> None:
    server.devices[token] = (ME, "TOKENDEVICE")
    server.answers["GET /v1/auth_metadata"] = METADATA
    result = log_in(shell, server, "--access-token-stdin", stdin=f"{token}\n")
    assert result.exit_code == 0, result.output
    assert account(home)["device_id"] == "TOKENDEVICE"


def test_a_token_is_not_tried_while_the_server_does_not_tell_whether_it_has_oauth(
    shell: Shell, server: LoginServer
) -> None:
    server.devices["syt_mine"] = (ME, "TOKENDEVICE")
    server.answers["GET /v1/auth_metadata"] = 500, {"errcode": "M_UNKNOWN", "error": "Internal server error"}
    result = log_in(shell, server, "--access-token-stdin", stdin="syt_mine\n")
    assert result.exit_code == 1
    assert "Try: again in some minutes" in result.stderr
    assert "GET /account/whoami" not in server.requests


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An xdg-open that signs in at once and follows the redirect back."""
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys, urllib.request\n"
        "from urllib.parse import parse_qs, urlsplit\n"
        "back = parse_qs(urlsplit(sys.argv[1]).query)['redirectUrl'][0]\n"
        f"urllib.request.urlopen(back + '?loginToken={LOGIN_TOKEN}').read()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":99")
    return program


@pytest.mark.usefixtures("browser")
def test_the_browser_signs_in_where_the_server_takes_no_password(shell: Shell, server: LoginServer, home: Home) -> None:
    server.flows = ["m.login.sso", "m.login.token"]
    result = shell.run("login", ME, "--homeserver", server.url, "--secrets", "file")
    assert result.exit_code == 0, result.output
    assert f"{server.url}/_matrix/client/v3/login/sso/redirect?redirectUrl=http://127.0.0.1:" in result.stdout
    assert server.logins[0]["token"] == LOGIN_TOKEN
    assert account(home)["user_id"] == ME


@pytest.mark.usefixtures("browser")
def test_the_browser_can_be_asked_for(shell: Shell, server: LoginServer) -> None:
    assert log_in(shell, server, "--sso").exit_code == 0
    assert server.logins[0]["type"] == "m.login.token"


@pytest.mark.usefixtures("browser")
def test_no_password_is_asked_for_where_the_server_prefers_the_browser(shell: Shell, server: LoginServer) -> None:
    server.sso_marks = {"oauth_aware_preferred": True}
    result = shell.run("login", ME, "--homeserver", server.url, "--secrets", "file")
    assert result.exit_code == 0, result.output
    assert "password" not in result.output
    assert server.logins[0]["type"] == "m.login.token"


def test_a_password_is_taken_from_standard_input_though_the_server_prefers_the_browser(
    shell: Shell, server: LoginServer
) -> None:
    server.sso_marks = {"oauth_aware_preferred": True}
    assert log_in(shell, server).exit_code == 0
    assert server.logins[0]["type"] == "m.login.password"


def test_without_a_display_the_way_without_a_browser_is_named(
    shell: Shell, server: LoginServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_ways, "BROWSER_S", 0.1)
    server.sso_marks = {"oauth_aware_preferred": True}
    result = shell.run("login", ME, "--homeserver", server.url, "--secrets", "file")
    assert f"Without a browser: heliograph login {ME} --password-stdin" in result.stdout
    server.flows.remove("m.login.password")
    assert "--password-stdin" not in shell.run("login", ME, "--homeserver", server.url, "--secrets", "file").output


def test_a_password_where_the_server_takes_none_is_refused(shell: Shell, server: LoginServer) -> None:
    server.flows = ["m.login.sso"]
    result = log_in(shell, server)
    assert "takes no passwords" in result.stderr
    assert server.logins == []


def test_the_browser_where_the_server_has_no_page_is_refused(shell: Shell, server: LoginServer) -> None:
    server.flows = ["m.login.password"]
    assert "no sign-in in the browser" in log_in(shell, server, "--sso").stderr


@pytest.mark.parametrize("url", ["http://matrix.example.org", "http://10.0.0.1:8008"])
def test_plain_http_to_another_machine_is_refused_before_any_request(shell: Shell, url: str) -> None:
    result = shell.run("login", ME, "--homeserver", url, "--secrets", "file", "--password-stdin", stdin="x\n")
    assert result.exit_code == 2
    assert "not encrypted" in result.stderr
    assert "Use https" in result.stderr


@pytest.mark.parametrize(
    "user_id", ["me", "@me", "@:x", "@me:", "@m e:x", "@me:exa/mple.org", "@me:x\n", "@me:e?x", "@" + "m" * 300 + ":x"]
)
def test_what_is_no_user_id_is_refused(shell: Shell, user_id: str) -> None:
    result = shell.run("login", user_id)
    assert result.exit_code == 2
    assert "is not a Matrix user id" in result.stderr


def test_two_ways_at_once_are_refused(shell: Shell) -> None:
    assert shell.run("login", ME, "--sso", "--password-stdin").exit_code == 2


def test_without_a_keyring_the_file_is_offered_and_no_password_is_sent(shell: Shell, server: LoginServer) -> None:
    result = shell.run("login", ME, "--homeserver", server.url, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.exit_code == 78
    assert "--secrets file" in result.stderr
    assert server.logins == []


def test_a_device_whose_token_cannot_be_kept_is_ended_again(shell: Shell, server: LoginServer, home: Home) -> None:
    in_the_way = home.state / "heliograph" / ME / f".secret.json.{os.getpid()}.new"
    in_the_way.mkdir(parents=True)
    result = log_in(shell, server)
    assert result.exit_code == 78
    assert server.devices == {}


def test_a_server_that_is_not_there_is_a_clear_error(shell: Shell) -> None:
    result = shell.run(
        "login", ME, "--homeserver", "http://127.0.0.1:1", "--secrets", "file", "--password-stdin", stdin="x\n"
    )
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr


@pytest.mark.real
def test_another_place_for_the_secret_leaves_none_in_the_first(
    shell: Shell, server: LoginServer, home: Home, private_keyring_bus: str
) -> None:
    assert (
        shell.run(
            "login", ME, "--homeserver", server.url, "--secrets", "keyring", "--password-stdin", stdin=f"{PASSWORD}\n"
        ).exit_code
        == 0
    )
    assert account(home)["secrets"] == "keyring"
    server.soft_logouts.add("syt_token1")
    del server.devices["syt_token1"]
    assert log_in(shell, server).exit_code == 0
    assert account(home)["secrets"] == "file"
    assert secret(home)["access_token"] == "syt_token2"
    assert shell.run("logout", ME).exit_code == 0
    assert server.devices == {}


@pytest.mark.real
def test_a_keyring_that_nobody_unlocks_is_told_with_the_file_in_its_stead(
    shell: Shell, server: LoginServer, home: Home, private_bus: PrivateBus
) -> None:
    with private_keyring(private_bus.address, home.path) as keyring:
        asyncio.run(keyring.lock())
        result = shell.run("login", ME, "--homeserver", server.url, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Try: Unlock it, or keep the account's secret in a file that only you can read: "
        f"heliograph login {ME} --secrets file"
    )
    assert server.devices == {}
