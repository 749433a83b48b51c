"""`heliograph doctor`: each thing that can be wrong, found and given a cure."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import LoginServer
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from fakes.notification_server import NotificationServer
from fakes.tray_beside import TrayBeside
from heliograph import __version__
from heliograph.accounts import list_accounts, state_folder
from heliograph.cli.doctor.notifications import check_notifications
from heliograph.cli.service.unit import leave_unit_file, render_leave_unit, render_unit, unit_file
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import AccountLock
from heliograph.system.tasks import LongTask
from support.builders import ME
from support.buses import PrivateBus


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a systemctl that says this of the unit, whose file is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def say(**properties: str) -> None:
        told = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}
        lines = "\n".join(f"{name}={value}" for name, value in (told | properties).items())
        (folder / "systemctl").write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
        (folder / "systemctl").chmod(0o755)
        unit_file().parent.mkdir(parents=True, exist_ok=True)
        program = Path("/opt/heliograph/bin/heliograph")
        unit_file().write_text(render_unit(program, "default"))
        leave_unit_file().write_text(render_leave_unit(program, with_namespaces=False))

    return say


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a session bus nor where one would be."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")


@pytest.fixture
async def notifications(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    server = NotificationServer(private_bus.address)
    await server.start()
    yield server
    await server.stop()


def find(shell: Shell, subject: str) -> dict[str, str]:
    """What it finds of this subject."""
    found = {each["subject"]: each for each in json.loads(shell.run("doctor", "--json").stdout)}
    return dict(found[subject])


def status(state: str = "connected", **daemon: Any) -> FakeAnswers:
    return FakeAnswers(
        {"version": __version__, "accounts": [{"user_id": ME, "state": state, "why": "because"}], **daemon}
    )


def test_everything_that_is_wrong_is_found_and_given_a_cure(shell: Shell, no_session: None) -> None:
    result = shell.run("doctor")
    assert result.exit_code == 1
    for line in ("bad  session bus: there is none", "bad  accounts: none has signed in", "ok   configuration:"):
        assert line in result.stdout
    assert "       heliograph login @you:example.org" in result.stdout
    assert result.stdout.endswith("Something is wrong: see what is bad above.\n")


def test_what_is_not_good_has_a_cure(shell: Shell) -> None:
    for finding in json.loads(shell.run("doctor", "--json").stdout):
        assert bool(finding["cure"]) is (finding["verdict"] != "ok"), finding


async def make_ledger() -> None:
    await (await SqliteLedger.open(state_folder(ME))).close()


def test_a_machine_in_order_is_well(
    shell: Shell, signed_in: LoginServer, private_bus: PrivateBus, systemctl: Callable[..., None], home: Home
) -> None:
    asyncio.run(make_ledger())
    systemctl()
    signed_in.pushers = [{**OWN, "pushkey": list_accounts()[0].pushkey}]
    (home.data / "applications").mkdir()
    (home.data / "applications/io.github.heliograph.desktop").write_text("")
    (home.config / "heliograph").mkdir(exist_ok=True)
    (home.config / "heliograph/config.toml").write_text('[desktop]\nbackend = "terminal"\n')
    with FakeDaemon(private_bus, status()):
        result = shell.run("doctor")
    assert result.exit_code == 0, result.stdout
    assert [line for line in result.stdout.splitlines() if line.startswith(("bad", "hmm"))] == [
        "hmm  notifications: through terminal: text only, no clicks, never withdrawn"
    ]
    assert result.stdout.endswith("All is well.\n")


OWN = {
    "app_id": "io.github.heliograph",
    "kind": "direct",
    "app_display_name": "Heliograph",
    "device_display_name": "here",
    "lang": "en",
    "data": {},
}


@pytest.mark.parametrize(
    ("text", "why"),
    [("[nonsense]", "no such section"), ('[quiet]\nhours = ["soon"]', "quiet hours"), ("x", "not valid")],
)
def test_a_wrong_configuration_is_found(shell: Shell, home: Home, text: str, why: str) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text(text)
    found = find(shell, "configuration")
    assert found["verdict"] == "bad"
    assert why in found["text"]


@pytest.mark.parametrize(("program", "verdict"), [("sh", "ok"), ("~/no/such/program", "bad")])
def test_a_hook_that_is_no_program_is_found(shell: Shell, home: Home, program: str, verdict: str) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text(f'[hooks]\non_notification = ["{program}"]\n')
    found = find(shell, "hook")
    assert found["verdict"] == verdict
    assert "~" not in found["text"]


def test_a_tray_is_looked_for_if_an_item_is_wanted(shell: Shell, home: Home, private_bus: PrivateBus) -> None:
    with TrayBeside(private_bus):
        assert "tray" not in [each["subject"] for each in json.loads(shell.run("doctor", "--json").stdout)]
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[desktop]\ntray = true\n")
    assert (find(shell, "tray")["verdict"], find(shell, "tray")["cure"]) == ("hmm", "heliograph tray")
    with TrayBeside(private_bus):
        assert find(shell, "tray")["verdict"] == "ok"
    with TrayBeside(private_bus, has_host=False):
        assert "nothing shows them" in find(shell, "tray")["text"]


def test_a_bus_that_does_not_answer_is_found(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    assert "does not answer" in find(shell, "session bus")["text"]


def test_a_bus_without_a_notification_server_is_found(shell: Shell, private_bus: PrivateBus) -> None:
    assert find(shell, "session bus")["verdict"] == "ok"
    assert "no notification server" in find(shell, "notifications")["text"]


async def test_a_notification_server_is_told_with_what_it_can(notifications: NotificationServer) -> None:
    found = await check_notifications("auto")
    assert found.grade.value == "ok"
    known = "known as dunst, by its name; looked at: 1.9 to 1.13"
    assert f"dunst 1.9.0 (2022-06-27) ({known}): shows text below the title" in found.text
    notifications.inhibit(True)
    assert "holds notifications back: do not disturb" in (await check_notifications("auto")).text
    assert notifications.shown == []


async def test_a_back_end_that_cannot_work_is_found(no_session: None) -> None:
    assert (await check_notifications("freedesktop")).text == "There is no session bus."


@pytest.mark.parametrize(
    ("properties", "verdict", "text"),
    [
        ({}, "ok", "runs"),
        ({"NRestarts": "7"}, "ok", "runs, after 7 restarts"),
        ({"LoadState": "not-found"}, "bad", "not installed"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "bad", "failed (exit-code)"),
        ({"ActiveState": "inactive"}, "bad", "inactive"),
        ({"UnitFileState": "disabled"}, "hmm", "does not start with the session"),
    ],
)
def test_the_unit_is_looked_at(
    shell: Shell, systemctl: Callable[..., None], properties: dict[str, str], verdict: str, text: str
) -> None:
    systemctl(**properties)
    found = find(shell, "unit")
    assert found["verdict"] == verdict
    assert text in found["text"]


def remove_the_leave_unit() -> None:
    leave_unit_file().unlink()


def take_a_setting_out() -> None:
    unit = unit_file().read_text()
    unit_file().write_text(unit.replace("OnFailure=heliograph-leave.service\n", ""))


def change_a_setting() -> None:
    unit = unit_file().read_text()
    unit_file().write_text(unit.replace("WatchdogSec=180", "WatchdogSec=90"))


@pytest.mark.parametrize("spoil", [remove_the_leave_unit, take_a_setting_out, change_a_setting])
def test_a_unit_of_another_version_is_found_with_its_cure(
    shell: Shell, systemctl: Callable[..., None], spoil: Callable[[], None]
) -> None:
    systemctl()
    spoil()
    found = find(shell, "unit")
    assert (found["verdict"], found["cure"]) == ("hmm", "heliograph service install")
    assert "not the one that this version installs" in found["text"]


@pytest.mark.parametrize(
    ("state", "verdict", "cure"),
    [
        ("connected", "ok", ""),
        ("connecting", "hmm", "Wait a moment."),
        ("offline", "bad", "Check the network"),
        ("waiting for keyring", "bad", "Unlock your keyring."),
        ("signed out", "bad", f"heliograph login {ME}"),
        ("from the future", "bad", "heliograph status"),
    ],
)
def test_how_an_account_fares_is_told(
    shell: Shell, signed_in: LoginServer, private_bus: PrivateBus, state: str, verdict: str, cure: str
) -> None:
    with FakeDaemon(private_bus, status(state)):
        found = find(shell, f"{ME} runs")
    assert found["verdict"] == verdict
    assert cure in found["cure"]


def test_an_account_that_only_its_user_can_mend_is_found_with_its_cure(
    shell: Shell, signed_in: LoginServer, private_bus: PrivateBus
) -> None:
    account = {"user_id": ME, "state": "cannot run", "why": "The disk is full", "cure": "Make room on it."}
    with FakeDaemon(private_bus, FakeAnswers({"version": __version__, "accounts": [account]})):
        found = find(shell, f"{ME} runs")
    assert (found["verdict"], found["text"]) == ("bad", "cannot run (The disk is full)")
    assert found["cure"].startswith("Make room on it; then: ")


@pytest.mark.parametrize(
    ("standing", "verdict", "cure"),
    [
        ("verified", "ok", ""),
        ("unverified", "hmm", f"heliograph verify {ME}"),
        ("no identity", "hmm", "secure backup"),
        ("identity changed", "hmm", f"heliograph verify {ME}"),
    ],
)
def test_a_device_that_is_not_verified_is_found(
    shell: Shell, signed_in: LoginServer, private_bus: PrivateBus, standing: str, verdict: str, cure: str
) -> None:
    told = {"version": __version__, "accounts": [{"user_id": ME, "state": "connected", "device": standing}]}
    with FakeDaemon(private_bus, FakeAnswers(told)):
        found = find(shell, f"{ME} encryption")
    assert found["verdict"] == verdict
    assert cure in found["cure"]


def test_a_task_that_crashed_is_found(shell: Shell, signed_in: LoginServer, private_bus: PrivateBus) -> None:
    down = LongTask("mutes", 3, 1_700_000_000_000, "RuntimeError in loop.py, line 7", 1_700_000_008_000).as_json()
    again = LongTask("hooks", 1, 1_700_000_000_000, "ValueError in loop.py, line 9").as_json()
    account = {"user_id": ME, "state": "connected", "tasks": [down, LongTask("pushers").as_json(), "nonsense", {}]}
    told = {"version": __version__, "accounts": [account], "tasks": [again, LongTask("quiet").as_json()]}
    with FakeDaemon(private_bus, FakeAnswers(told)):
        found = {each["subject"]: each for each in json.loads(shell.run("doctor", "--json").stdout)}
    assert found[f"{ME} mutes"]["verdict"] == "bad"
    assert "crashed 3 times" in found[f"{ME} mutes"]["text"]
    assert found["daemon hooks"]["verdict"] == "hmm"
    assert "journalctl" in found["daemon hooks"]["cure"]
    assert not {f"{ME} pushers", "daemon quiet"} & found.keys()


def test_a_daemon_of_another_version_or_with_other_accounts_is_found(
    shell: Shell, signed_in: LoginServer, private_bus: PrivateBus
) -> None:
    with FakeDaemon(private_bus, FakeAnswers({"version": "0.0.1", "accounts": [None, {}]})):
        assert "this is" in find(shell, "daemon")["text"]
        assert find(shell, f"{ME} runs")["text"] == "signed in after the start"


def test_a_daemon_that_is_silent_is_told_from_none(shell: Shell, signed_in: LoginServer) -> None:
    assert find(shell, "daemon")["text"] == "does not run"
    lock = AccountLock.take(state_folder(ME))
    assert "does not answer over D-Bus" in find(shell, "daemon")["text"]
    lock.release()


def test_a_secret_that_is_gone_is_found(shell: Shell, signed_in: LoginServer) -> None:
    assert find(shell, f"{ME} secret")["verdict"] == "ok"
    (state_folder(ME) / "secret.json").unlink()
    found = find(shell, f"{ME} secret")
    assert (found["verdict"], found["cure"]) == ("bad", f"heliograph login {ME}")


def test_a_damaged_secret_is_found(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "secret.json").write_text("{}")
    assert find(shell, f"{ME} secret")["verdict"] == "bad"


def test_a_device_that_is_signed_out_is_found(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.devices.clear()
    found = find(shell, f"{ME} device")
    assert "refused, and whoami confirms that: signed out" in found["text"]
    assert found["cure"] == f"heliograph login {ME}"


@pytest.mark.parametrize("request_", ["GET /versions", "GET /pushers"])
@pytest.mark.parametrize(
    ("whoami", "text"),
    [
        (None, "refused in one place, and known to whoami: not signed out"),
        ((502, "bad gateway"), "whoami does not confirm that: it answered HTTP 502"),
        ((401, {"errcode": "M_MISSING_TOKEN"}), "whoami does not confirm that: it answered HTTP 401"),
    ],
)
def test_a_token_that_is_refused_once_is_not_signed_out_and_nothing_is_done_about_it(
    shell: Shell, signed_in: LoginServer, request_: str, whoami: tuple[int, Any] | None, text: str
) -> None:
    signed_in.answers[request_] = 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Dead", "soft_logout": False}
    if whoami is not None:
        signed_in.answers["GET /account/whoami"] = whoami
    before = sorted(path.name for path in state_folder(ME).iterdir())
    found = find(shell, f"{ME} device")
    assert found["verdict"] == "bad"
    assert text in found["text"]
    assert "login" not in found["cure"]
    assert sorted(path.name for path in state_folder(ME).iterdir()) == before


@pytest.mark.parametrize("request_", ["GET /versions", "GET /pushers"])
def test_an_account_that_is_locked_is_found(shell: Shell, signed_in: LoginServer, request_: str) -> None:
    signed_in.answers[request_] = 401, {"errcode": "M_USER_LOCKED", "error": "Locked", "soft_logout": True}
    found = find(shell, f"{ME} device")
    assert "locked" in found["text"]
    assert "unlock" in found["cure"]


def test_a_homeserver_that_is_down_is_found(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /versions"] = 502, "<html>"
    found = find(shell, f"{ME} homeserver")
    assert found["verdict"] == "bad"
    assert "HTTP 502" in found["text"]


@pytest.mark.parametrize(
    ("pusher", "verdict", "text"),
    [
        (None, "hmm", "not registered, no other of yours rings"),
        (OWN, "ok", "registered, no other of yours rings"),
        (OWN | {"org.matrix.msc3881.enabled": False}, "hmm", "switched off"),
    ],
)
def test_our_pusher_is_looked_for(
    shell: Shell, signed_in: LoginServer, pusher: dict[str, Any] | None, verdict: str, text: str
) -> None:
    if pusher is not None:
        signed_in.pushers = [{**pusher, "pushkey": list_accounts()[0].pushkey}]
    found = find(shell, f"{ME} pusher")
    assert found["verdict"] == verdict
    assert text in found["text"]


def test_a_phone_that_rings_by_a_relay_that_is_gone_is_told_of(shell: Shell, signed_in: LoginServer) -> None:
    original = {"url": "https://push.example.org/_matrix/push/v1/notify", "pushkey": "phone"}
    data = {"url": "http://127.0.0.1:9/_matrix/push/v1/notify", "io.github.heliograph.relay.original": original}
    names = {"app_display_name": "App", "device_display_name": "My phone", "lang": "en"}
    signed_in.pushers = [{"kind": "http", "app_id": "app", "pushkey": "hidden", "data": data, **names}]
    found = find(shell, f"{ME} relay")
    assert found["verdict"] == "bad"
    assert "My phone rings by the relay at 127.0.0.1:9" in found["text"]


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "text"),
    [
        (0, "ok", "as the homeserver's"),
        (100, "hmm", "s behind the homeserver's"),
        (-4000, "bad", "s ahead of the homeserver's"),
        (None, "ok", "does not tell its own"),
    ],
)
def test_the_clock_is_compared_with_the_homeservers(
    shell: Shell, signed_in: LoginServer, ahead_s: int | None, verdict: str, text: str
) -> None:
    signed_in.date = "no date" if ahead_s is None else formatdate(time.time_ns() / 1e9 + ahead_s, usegmt=True)
    found = find(shell, "clock")
    assert found["verdict"] == verdict
    assert text in found["text"]


@pytest.mark.parametrize("here", ["UTC0", "<+1345>-13:45", "<-11>11"])
def test_a_date_that_names_no_zone_is_utc_wherever_this_machine_is(
    shell: Shell, signed_in: LoginServer, here: str, set_time_zone: Callable[[str], None]
) -> None:
    set_time_zone(here)
    signed_in.date = formatdate(time.time_ns() / 1e9)
    assert signed_in.date.endswith("-0000")
    assert find(shell, "clock")["verdict"] == "ok"


@pytest.mark.expected_log("Set aside in the ledger, since it cannot be read: mutes !room:example.org")
def test_a_row_that_cannot_be_read_is_found_and_what_went_aside_is_told(shell: Shell, signed_in: LoginServer) -> None:
    asyncio.run(make_ledger())
    with sqlite3.connect(state_folder(ME) / "ledger.db") as db:
        db.execute("INSERT INTO mutes VALUES ('!room:example.org', 'rule', 'never', 0)")
    db.close()
    found = find(shell, f"{ME} ledger")
    assert found["verdict"] == "bad"
    assert "1 row cannot be read, such as mutes !room:example.org" in found["text"]
    assert "sets aside these alone" in found["cure"]
    asyncio.run(make_ledger())
    found = find(shell, f"{ME} ledger")
    assert found["verdict"] == "hmm"
    assert "1 row could not be read and went aside" in found["text"]


def test_a_damaged_ledger_is_found(shell: Shell, signed_in: LoginServer) -> None:
    (state_folder(ME) / "ledger.db").write_bytes(b"not a database, " * 1000)
    found = find(shell, f"{ME} ledger")
    assert found["verdict"] == "bad"
    assert "damaged" in found["text"]


def test_looking_changes_nothing_and_tells_no_token(shell: Shell, signed_in: LoginServer) -> None:
    before = sorted(os.listdir(state_folder(ME)))
    result = shell.run("doctor")
    assert sorted(os.listdir(state_folder(ME))) == before
    assert not [token for token in signed_in.devices if token in result.output]
    assert not [call for call in signed_in.requests if call.startswith("POST") and call != "POST /login"]
