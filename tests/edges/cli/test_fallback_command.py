from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from edges.scripted_gateway import RELAY_TOKEN, ScriptedGateway
from heliograph.accounts import state_folder
from heliograph.config.reading import load_config
from heliograph.core.pushers.fallback import NOTIFY_PATH
from heliograph.store.lock import AccountLock
from support.builders import ALICE, ME

TOPIC = "upAbCdEf123456"


def config_text(home: Home) -> str:
    return (home.config / "heliograph/config.toml").read_text()


def set_ntfy(shell: Shell, gateway: ScriptedGateway, *options: str) -> None:
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}", *options)
    assert result.exit_code == 0, result.output


def test_ntfy_is_found_tested_written_down_and_registered(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway, home: Home
) -> None:
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 0, result.output
    assert "The push arrived in the topic." in result.stdout
    assert f"{gateway.url}/{TOPIC}\n" in result.stdout
    fallback = load_config().fallback
    assert (fallback.gateway, fallback.pushkey) == (f"{gateway.url}{NOTIFY_PATH}", f"{gateway.url}/{TOPIC}?up=1")
    [pusher] = signed_in.pushers
    assert (pusher["kind"], pusher["append"]) == ("http", True)
    assert pusher["data"] == {"url": f"{gateway.url}{NOTIFY_PATH}", "format": "event_id_only"}
    assert (home.config / "heliograph/config.toml").stat().st_mode & 0o777 == 0o600


def test_without_a_topic_one_is_made_up(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    assert shell.run("fallback", "set", "ntfy", gateway.url).exit_code == 0
    topic = load_config().fallback.pushkey.removeprefix(f"{gateway.url}/").removesuffix("?up=1")
    assert topic.startswith("up")
    assert len(topic) == 14
    assert topic.isalnum()


def test_setting_it_again_sends_nothing(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    set_ntfy(shell, gateway)
    sent = signed_in.requests.count("POST /pushers/set")
    set_ntfy(shell, gateway)
    assert signed_in.requests.count("POST /pushers/set") == sent


def test_another_one_takes_the_place_of_the_first_on_every_account(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    options = ("--homeserver", signed_in.url, "--secrets", "file", "--password-stdin")
    assert shell.run("login", ALICE, *options, stdin=f"{PASSWORD}\n").exit_code == 0
    set_ntfy(shell, gateway)
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/another")
    assert f"{ME}: registered" in result.stdout
    assert f"{ALICE}: registered" in result.stdout
    assert {pusher["pushkey"] for pusher in signed_in.pushers} == {f"{gateway.url}/another?up=1"}


def test_what_the_user_wrote_into_the_configuration_stays(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway, home: Home, tmp_path: Path
) -> None:
    dotfile = tmp_path / "dotfile.toml"
    dotfile.write_text("# mine\n[sync]\npoll_seconds = 20  # a slow proxy\n")
    (home.config / "heliograph").mkdir()
    os.symlink(dotfile, home.config / "heliograph/config.toml")
    set_ntfy(shell, gateway)
    assert (home.config / "heliograph/config.toml").is_symlink()
    assert config_text(home).startswith("# mine\n[sync]\npoll_seconds = 20  # a slow proxy\n")
    assert shell.run("fallback", "remove").exit_code == 0
    assert config_text(home) == "# mine\n[sync]\npoll_seconds = 20  # a slow proxy\n"


def test_a_configuration_that_cannot_be_written_says_what_to_write(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway, home: Home
) -> None:
    (home.config / "heliograph").mkdir()
    os.symlink("/proc/no-such-file.toml", home.config / "heliograph/config.toml")
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 78
    assert f'in [fallback]: gateway = "{gateway.url}{NOTIFY_PATH}"' in result.stderr
    assert signed_in.pushers == []


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (413, {}, "even the smallest push too large"),
        (429, {}, "rate limit"),
        (507, {}, "Subscribe to the topic on your phone first"),
        (200, "ok", "without JSON"),
        (500, "oops", "failed (HTTP 500)"),
    ],
)
def test_a_failed_test_is_explained_and_changes_nothing(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway, status: int, body: object, why: str
) -> None:
    gateway.status, gateway.body = status, body
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 1
    assert why in result.stdout
    assert "nothing was changed" in result.stderr
    assert load_config().fallback.fallback is None
    assert signed_in.pushers == []


def test_a_rejected_pushkey_is_explained(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    gateway.body = {"rejected": [f"{gateway.url}/{TOPIC}?up=1"]}
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 1
    assert "rejects the pushkey" in result.stdout
    assert "base-url" in result.stdout


def test_force_sets_what_fails_its_test(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    gateway.status = 507
    set_ntfy(shell, gateway, "--force")
    assert len(signed_in.pushers) == 1


def test_whole_messages_are_tried_with_a_long_one(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    gateway.limit = 4096
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}", "--full")
    assert result.exit_code == 1
    assert "long message (HTTP 413)" in result.stdout
    set_ntfy(shell, gateway)


def test_a_push_that_does_not_arrive_in_the_topic_is_no_success(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    gateway.keeps_pushes = False
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 1
    assert "not in the topic" in result.stdout


def test_a_topic_that_wants_a_sign_in_is_not_followed(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    gateway.topic_status = 403
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    assert result.exit_code == 0
    assert "did it arrive?" in result.stdout


def test_an_endpoint_of_another_server_needs_a_gateway_that_the_user_names(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    with ScriptedGateway() as endpoint:
        endpoint.is_gateway = False
        result = shell.run("fallback", "set", "unifiedpush", f"{endpoint.url}/abc/def")
        assert result.exit_code == 1
        assert "--public-gateway" in result.stderr
        options = ("--gateway", f"{gateway.url}{NOTIFY_PATH}")
        result = shell.run("fallback", "set", "unifiedpush", f"{endpoint.url}/abc/def", *options)
        assert result.exit_code == 0, result.output
    assert load_config().fallback.pushkey == f"{endpoint.url}/abc/def"
    assert "cannot be seen from here" in result.stdout


def test_an_endpoint_whose_server_is_a_gateway_needs_nothing_else(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    assert shell.run("fallback", "set", "unifiedpush", f"{gateway.url}/abc").exit_code == 0
    assert load_config().fallback.gateway == f"{gateway.url}{NOTIFY_PATH}"


def test_a_server_that_does_not_answer_is_named(shell: Shell, gateway: ScriptedGateway) -> None:
    gateway.is_silent = True
    result = shell.run("fallback", "set", "unifiedpush", f"{gateway.url}/abc")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("url", ["http://ntfy.example.org/x", "ntfy", "https://u:p@x.org/a", "https://x.org/a/b"])
def test_a_url_that_no_push_should_go_to_is_refused(shell: Shell, url: str) -> None:
    result = shell.run("fallback", "set", "ntfy", url)
    assert result.exit_code == 2
    assert "Give it like" in result.stderr


def test_showing_tells_where_it_stands(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    assert shell.run("fallback", "show").exit_code == 78
    set_ntfy(shell, gateway)
    assert f"{ME}: registered" in shell.run("fallback", "show").stdout
    signed_in.pushers[0]["org.matrix.msc3881.enabled"] = False
    assert "switched off at the moment" in shell.run("fallback", "show").stdout
    signed_in.pushers[0]["data"] = {"url": "https://elsewhere.example.org/_matrix/push/v1/notify"}
    assert "the homeserver has it otherwise" in shell.run("fallback", "show").stdout
    signed_in.pushers.clear()
    assert "no such pusher" in shell.run("fallback", "show").stdout


def test_testing_follows_a_push_and_looks_at_the_homeserver(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    set_ntfy(shell, gateway)
    assert shell.run("fallback", "test").exit_code == 0
    assert len(gateway.pushes) == 2
    gateway.status = 429
    gateway.headers = {"Retry-After": "60"}
    result = shell.run("fallback", "test")
    assert result.exit_code == 1
    assert "asks to wait for 60 s" in result.stdout


def test_removing_takes_it_from_homeserver_and_configuration(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    set_ntfy(shell, gateway)
    assert shell.run("fallback", "remove").exit_code == 0
    assert signed_in.pushers == []
    assert load_config().fallback.fallback is None


def test_a_homeserver_that_fails_is_told_of(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    set_ntfy(shell, gateway)
    signed_in.answers["POST /pushers/set"] = 502, "bad gateway"
    result = shell.run("fallback", "remove")
    assert result.exit_code == 1
    assert "heliograph pushers remove" in result.stderr


def test_a_running_daemon_that_systemd_did_not_start_is_to_be_started_again(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lock = AccountLock.take(state_folder(ME))
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}")
    lock.release()
    assert result.exit_code == 0
    assert "start it again" in result.stdout


def relay_token() -> str:
    """As it is kept with the account's secrets."""
    file = state_folder(ME) / "secret.json"
    return str(json.loads(file.read_text()).get("relay_token", ""))


def test_a_relay_is_led_through_and_left_again(shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway) -> None:
    through = ("--relay", gateway.url, "--relay-token-stdin")
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}", *through, stdin=f"{RELAY_TOKEN}\n")
    assert result.exit_code == 0, result.output
    assert f"{gateway.url}/{TOPIC}\n" in result.stdout
    assert RELAY_TOKEN not in result.output
    fallback = load_config().fallback
    assert (fallback.pushkey, fallback.relay) == ("hidden0", gateway.url)
    assert gateway.relayed["hidden0"]["pushkey"] == f"{gateway.url}/{TOPIC}?up=1"
    assert [pusher["pushkey"] for pusher in signed_in.pushers] == ["hidden0"]
    assert relay_token() == RELAY_TOKEN
    assert f"relay    {gateway.url}" in shell.run("fallback", "show").stdout
    assert shell.run("fallback", "remove").exit_code == 0
    assert gateway.relayed == {}
    assert signed_in.pushers == []
    assert relay_token() == ""


def test_without_the_relay_the_next_one_leaves_it(
    shell: Shell, signed_in: LoginServer, gateway: ScriptedGateway
) -> None:
    through = ("--relay", gateway.url, "--relay-token-stdin")
    shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}", *through, stdin=f"{RELAY_TOKEN}\n")
    set_ntfy(shell, gateway)
    assert load_config().fallback.relay == ""
    assert (gateway.relayed, relay_token()) == ({}, "")
    assert [pusher["pushkey"] for pusher in signed_in.pushers] == [f"{gateway.url}/{TOPIC}?up=1"]


@pytest.mark.parametrize(
    ("relay", "token", "exit_code", "problem"),
    [
        ("http://127.0.0.1:9", RELAY_TOKEN, 1, "does not take the fallback"),
        ("http://push.example.org", RELAY_TOKEN, 2, "is not encrypted"),
        ("gateway", "wrong", 1, "no such token"),
        ("gateway", "", 2, "no token"),
    ],
)
def test_a_relay_that_cannot_be_used_changes_nothing(
    shell: Shell,
    signed_in: LoginServer,
    gateway: ScriptedGateway,
    relay: str,
    token: str,
    exit_code: int,
    problem: str,
) -> None:
    url = gateway.url if relay == "gateway" else relay
    through = ("--relay", url, "--relay-token-stdin")
    result = shell.run("fallback", "set", "ntfy", f"{gateway.url}/{TOPIC}", *through, stdin=f"{token}\n")
    assert result.exit_code == exit_code
    assert problem in result.output
    assert load_config().fallback.fallback is None
    assert signed_in.pushers == []


def test_a_token_without_a_relay_is_a_usage_error(shell: Shell) -> None:
    assert shell.run("fallback", "set", "ntfy", "https://ntfy.example.org", "--relay-token-stdin").exit_code == 2
