from __future__ import annotations

import json
from typing import Any

import pytest

from edges.cli.conftest import Shell
from edges.login_server import LoginServer
from heliograph.accounts import list_accounts
from support.builders import ME

TOGGLE = {"versions": ["v1.11"], "unstable_features": {"org.matrix.msc3881": True}}


def listed(pushkey: str, app: str, device: str, **more: Any) -> dict[str, Any]:
    return {
        "app_id": f"org.example.{app.lower()}",
        "pushkey": pushkey,
        "kind": "http",
        "app_display_name": app,
        "device_display_name": device,
        "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify", "custom": 1},
        **more,
    }


@pytest.fixture
def pushing(signed_in: LoginServer) -> LoginServer:
    """ME has a phone with two apps, and this desktop."""
    signed_in.answers["GET /versions"] = 200, TOGGLE
    signed_in.pushers = [
        listed("secret-1", "Element", "Pixel", **{"org.matrix.msc3881.device_id": "PHONE"}),
        listed("secret-2", "Fluffy", "Pixel", **{"org.matrix.msc3881.enabled": False}),
        listed(list_accounts()[0].pushkey, "Heliograph", "Heliograph on desk", kind="direct"),
    ]
    signed_in.listed_devices = [
        {"device_id": "PHONE", "display_name": "My phone \x1b[31m", "last_seen_ts": 1_700_000_000_000},
        {"device_id": "ODD", "display_name": None, "last_seen_ts": None},
        {"no": "device"},
        7,
    ]
    return signed_in


def ids(shell: Shell) -> dict[str, str]:
    return {row["app"]: row["id"] for row in json.loads(shell.run("pushers", "list", "--json").stdout)}


def enabled(server: LoginServer) -> dict[str, bool]:
    return {each["app_display_name"]: each.get("org.matrix.msc3881.enabled", True) for each in server.pushers}


def test_the_list_names_apps_devices_and_when_they_were_seen(shell: Shell, pushing: LoginServer) -> None:
    result = shell.run("pushers", "list")
    assert result.exit_code == 0, result.output
    head, element, fluffy, ours = result.stdout.splitlines()
    assert head.split() == ["ID", "STATE", "KIND", "APP", "DEVICE", "LAST", "SEEN"]
    assert "on     http    Element     My phone [31m" in element
    assert "2023-11-14" in element or "2023-11-15" in element
    assert "off    http    Fluffy      Pixel" in fluffy
    assert "Heliograph on desk (this one)" in ours


def test_pushkeys_are_told_to_nobody(shell: Shell, pushing: LoginServer) -> None:
    assert "secret" not in shell.run("pushers", "list").stdout
    rows = json.loads(shell.run("pushers", "list", "--json").stdout)
    assert "secret" not in json.dumps(rows)
    assert rows[0] == {
        "id": rows[0]["id"],
        "kind": "http",
        "enabled": True,
        "app": "Element",
        "app_id": "org.example.element",
        "device": "My phone \x1b[31m",
        "device_id": "PHONE",
        "last_seen_ms": 1_700_000_000_000,
        "ours": False,
    }


def test_a_homeserver_that_lists_no_devices_still_lists_pushers(shell: Shell, pushing: LoginServer) -> None:
    pushing.answers["GET /devices"] = 403, {"errcode": "M_FORBIDDEN", "error": "no"}
    assert "Pixel" in shell.run("pushers", "list").stdout


def test_without_pushers_the_list_says_so(shell: Shell, signed_in: LoginServer) -> None:
    assert "There are no pushers" in shell.run("pushers", "list").stdout
    assert json.loads(shell.run("pushers", "list", "--json").stdout) == []


@pytest.mark.parametrize("name", ["element", "org.example.element"])
def test_switching_leaves_all_else_as_it_is(shell: Shell, pushing: LoginServer, name: str) -> None:
    before = dict(pushing.pushers[0])
    assert "Switched Element on Pixel off." in shell.run("pushers", "disable", name).stdout
    assert enabled(pushing) == {"Element": False, "Fluffy": False, "Heliograph": True}
    after = next(each for each in pushing.pushers if each["pushkey"] == "secret-1")
    assert {key: after[key] for key in before if key in after and not key.startswith("org.")} == {
        key: value for key, value in before.items() if not key.startswith("org.")
    }
    assert after["append"] is True
    assert "on." in shell.run("pushers", "enable", name).stdout
    assert enabled(pushing)["Element"] is True


def test_what_is_so_already_is_not_sent(shell: Shell, pushing: LoginServer) -> None:
    assert "is off already" in shell.run("pushers", "disable", "Fluffy").stdout
    assert "POST /pushers/set" not in pushing.requests


def test_a_name_of_several_asks_for_an_id(shell: Shell, pushing: LoginServer) -> None:
    result = shell.run("pushers", "disable", "Pixel")
    assert result.exit_code == 2
    assert ids(shell)["Fluffy"] in result.stderr
    assert shell.run("pushers", "enable", ids(shell)["Fluffy"]).exit_code == 0
    assert enabled(pushing)["Fluffy"] is True


def test_the_devices_own_name_will_do(shell: Shell, pushing: LoginServer) -> None:
    pushing.listed_devices[0]["display_name"] = "Alices phone"
    assert shell.run("pushers", "disable", "alices phone").exit_code == 0
    assert enabled(pushing)["Element"] is False


def test_an_unknown_name_points_to_the_list(shell: Shell, pushing: LoginServer) -> None:
    result = shell.run("pushers", "remove", "Nothing")
    assert result.exit_code == 1
    assert "heliograph pushers list" in result.stderr


def test_removing_removes_that_one(shell: Shell, pushing: LoginServer) -> None:
    assert "Removed Fluffy on Pixel." in shell.run("pushers", "remove", "Fluffy").stdout
    assert [each["pushkey"] for each in pushing.pushers if each["kind"] == "http"] == ["secret-1"]


def test_a_homeserver_that_cannot_switch_says_so(shell: Shell, pushing: LoginServer) -> None:
    pushing.answers["GET /versions"] = 200, {"versions": ["v1.11"]}
    result = shell.run("pushers", "disable", "Element")
    assert result.exit_code == 1
    assert "MSC3881" in result.stderr
    assert enabled(pushing)["Element"] is True


def test_without_an_account_it_says_how_to_begin(shell: Shell) -> None:
    result = shell.run("pushers", "list", "--account", ME)
    assert result.exit_code == 78
