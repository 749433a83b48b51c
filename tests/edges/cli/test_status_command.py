from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.accounts import Account, config_file, save_account, state_folder, write_private_file
from heliograph.cli.output.times import local_time
from heliograph.core.connection import Connection, ConnectionState, ended_by
from heliograph.core.ids import UserId
from heliograph.core.record import Plan
from heliograph.core.status import AccountStatus, DaemonStatus, HandoffStatus, SignInStatus
from heliograph.errors import StateError, UserError
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import AccountLock
from heliograph.system.tasks import LongTask
from support.builders import ALICE, ME, make_delivery
from support.buses import PrivateBus

NOON_MS = 1_700_000_000_000
FINE = LongTask("pushers")


def sign_in(user_id: str = ME) -> None:
    save_account(
        Account(user_id=UserId(user_id), device_id="D", homeserver="https://example.org", secrets="file", pushkey="k")
    )


def make_status(**account: Any) -> DaemonStatus:
    defaults: dict[str, Any] = {
        "connection": ConnectionState(Connection.CONNECTED, since_ms=NOON_MS),
        "last_sync_ms": NOON_MS,
        "mode": "local",
        "mode_reason": "the server does not offer MSC3361",
        "software": "Synapse 1.163.2",
        "versions": ("v1.1", "v1.11"),
        "is_pusher_registered": True,
        "pending": 3,
        "shown": 2,
    }
    told = AccountStatus(ME, "https://example.org", **(defaults | account))
    return DaemonStatus("0.1.0", 4711, NOON_MS, "freedesktop", "dunst 1.9.0", (told,))


def daemon_says(bus: PrivateBus, answer: Callable[[], Any]) -> AbstractContextManager[FakeDaemon]:
    """A daemon on the bus whose status is this."""
    return FakeDaemon(bus, FakeAnswers(answer))


def report(shell: Shell, bus: PrivateBus, status: DaemonStatus) -> str:
    with daemon_says(bus, status.as_json):
        result = shell.run("status")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_account_of_oauth_is_told_with_its_issuer_its_token_and_its_page(
    shell: Shell, private_bus: PrivateBus
) -> None:
    sign_in()
    where = SignInStatus("https://auth.example.org/", "https://auth.example.org/?device_id=D", NOON_MS)
    text = report(shell, private_bus, make_status(sign_in=where))
    assert "by OAuth 2.0 at https://auth.example.org/, with an access token until 2023-11-1" in text
    assert "https://auth.example.org/?device_id=D" in text
    assert "OAuth" not in report(shell, private_bus, make_status())


def test_a_running_daemon_is_told_of_in_full(shell: Shell, private_bus: PrivateBus) -> None:
    sign_in()
    text = report(shell, private_bus, make_status())
    for part in (
        "Heliograph 0.1.0 runs since 2023-11-1",
        "4711",
        "freedesktop (dunst 1.9.0)",
        f"{ME} at https://example.org",
        "connected since 2023-11-1",
        "3, on screen 2",
        "local (the server does not offer MSC3361)",
        "Synapse 1.163.2, Matrix 1.11, direct push (MSC3361): no, switching pushers (MSC3881): no",
        "registered, enabled",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("account", "told"),
    [
        ({"connection": ConnectionState(Connection.OFFLINE, "no answer in time")}, "offline (no answer in time)"),
        (
            {"connection": ConnectionState(Connection.WAITING_FOR_KEYRING, "it is locked")},
            "waiting for keyring (it is locked)",
        ),
        ({"connection": ConnectionState(Connection.SIGNED_OUT)}, "signed out"),
        (
            {"connection": ended_by(UserError("No token.", f"Log in again: heliograph login {ME}", exit_code=77))},
            f"signed out (No token)\n  to do       Log in again: heliograph login {ME}\n",
        ),
        (
            {"connection": ended_by(StateError("The disk is full", "Make room on it."))},
            "cannot run (The disk is full)\n  to do       Make room on it; then: ",
        ),
        ({"last_sync_ms": None}, "never"),
        ({"last_sync_ms": 10**18}, "at an unknown time"),
        ({"is_pusher_registered": False}, "not registered yet"),
        ({"is_pusher_enabled": False}, "switched off by another of your clients"),
        ({"is_silenced": True}, "silenced by another of your clients"),
        ({"software": None, "versions": ()}, "not asked yet"),
        ({"has_direct_push": True, "mode": "direct", "mode_reason": ""}, "direct push (MSC3361): yes"),
        ({"handoff": HandoffStatus()}, "everything: this desktop and your other devices (you are here)"),
        ({"handoff": HandoffStatus(set_up="relay")}, "either this desktop or another device (relay)"),
        ({"handoff": HandoffStatus(relay="told")}, "either this desktop or another device (relay)"),
        ({"handoff": HandoffStatus(relay="told")}, "told what rings here"),
        ({"handoff": HandoffStatus(relay="not told: no answer")}, "not told: no answer"),
        ({"handoff": HandoffStatus(quiet=("Pixel\x1b",))}, "this desktop; silent meanwhile: Pixel (you are here)"),
        (
            {"handoff": HandoffStatus(why_away="the session is locked", is_hushed=True)},
            "other devices; silent here (you count as away: the session is locked)",
        ),
        ({"handoff": HandoffStatus(fallback="registered")}, "fallback    registered\n"),
        ({"handoff": HandoffStatus(fallback="switched off by another client")}, "see: heliograph fallback test"),
        ({"rules_problem": "rule x is no object"}, "rule x is no object"),
    ],
)
def test_each_trouble_is_told(shell: Shell, private_bus: PrivateBus, account: dict[str, Any], told: str) -> None:
    assert told in report(shell, private_bus, make_status(**account))


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({"unread": 0, "quiet": {"why": "", "until_ms": 0}}, ["unread      0\n"]),
        ({"unread": 3, "highlights": 1}, ["unread      3, 1 of them highlights\n"]),
        ({"quiet": {"why": "paused", "until_ms": -1}}, ["quiet       paused, until: heliograph resume\n"]),
        ({"quiet": {"why": "quiet hours", "until_ms": NOON_MS}}, ["quiet       quiet hours until 2023-11-1"]),
        (
            {"quiet": {"why": "paused", "until_ms": -1, "everywhere": True}},
            ["quiet       paused, until: heliograph resume; your other devices are not to ring either\n"],
        ),
        ({"quiet": {"why": "do not disturb", "until_ms": 0}}, ["quiet       do not disturb\n"]),
    ],
)
def test_what_is_unread_and_why_it_is_quiet_are_told(
    shell: Shell, private_bus: PrivateBus, told: dict[str, Any], lines: list[str]
) -> None:
    with daemon_says(private_bus, lambda: {**make_status().as_json(), **told}):
        text = shell.run("status").stdout
    for line in lines:
        assert line in text
    assert ("  quiet " in text) == bool(told.get("quiet", {}).get("why"))


def test_without_a_notification_server_it_says_so(shell: Shell, private_bus: PrivateBus) -> None:
    status = replace(make_status(), notification_server=None)
    assert "none found" in report(shell, private_bus, status)


def test_what_a_server_says_of_itself_cannot_command_the_terminal(shell: Shell, private_bus: PrivateBus) -> None:
    text = report(
        shell, private_bus, make_status(software="\x1b]0;evil\x07Syn\napse", connection=ConnectionState(why="\u202e"))
    )
    assert "\x1b" not in text
    assert "Syn apse" in text


def test_an_account_that_came_after_the_start_is_pointed_out(shell: Shell, private_bus: PrivateBus) -> None:
    sign_in()
    sign_in(ALICE)
    text = report(shell, private_bus, make_status())
    assert ALICE in text
    assert "end it where it runs, then: heliograph run" in text


@pytest.mark.parametrize("answer", [{}, {"accounts": [None, 3, {}]}, {"accounts": [{"server": 3, "pusher": []}]}])
def test_an_answer_of_another_version_is_no_traceback(shell: Shell, private_bus: PrivateBus, answer: Any) -> None:
    with daemon_says(private_bus, lambda: answer):
        assert shell.run("status").exit_code == 0


def test_scripts_get_the_daemons_answer(shell: Shell, private_bus: PrivateBus) -> None:
    status = make_status()
    with daemon_says(private_bus, status.as_json):
        result = shell.run("status", "--json")
    assert json.loads(result.stdout) == {"running": True, "next_start_fails": None, **status.as_json()}


def test_without_a_daemon_and_an_account_it_says_how_to_begin(shell: Shell) -> None:
    result = shell.run("status")
    assert result.exit_code == 78
    assert "heliograph login" in result.stderr


async def fill_ledger() -> None:
    ledger = await SqliteLedger.open(state_folder(ME))
    await ledger.commit(Plan(next_batch="s2", deliveries=(make_delivery(), make_delivery())), NOON_MS)
    await ledger.close()


def test_a_stopped_daemon_leaves_the_ledger_to_tell(shell: Shell) -> None:
    sign_in()
    asyncio.run(fill_ledger())
    result = shell.run("status")
    assert result.exit_code == 1
    assert "Heliograph is not running" in result.stdout
    assert "2, on screen 0" in result.stdout
    assert "2023-11-1" in result.stdout
    answer = json.loads(shell.run("status", "--json").stdout)
    assert answer["running"] is False
    (account,) = answer["accounts"]
    assert (account["state"], account["pending"], account["last_sync_ms"]) == ("not running", 2, NOON_MS)


def test_looking_changes_nothing(shell: Shell) -> None:
    sign_in()
    before = sorted(os.listdir(state_folder(ME)))
    result = shell.run("status")
    assert result.exit_code == 1
    assert "ledger" in result.stdout
    assert sorted(os.listdir(state_folder(ME))) == before


def test_a_daemon_that_runs_and_does_not_answer_is_told_apart(shell: Shell) -> None:
    sign_in()
    lock = AccountLock.take(state_folder(ME))
    result = shell.run("status")
    lock.release()
    assert result.exit_code == 1
    assert "runs, but does not answer" in result.stdout
    assert str(os.getpid()) in result.stdout


def test_only_what_crashed_lately_is_told_of_the_tasks(shell: Shell, private_bus: PrivateBus) -> None:
    sign_in()
    status = make_status(tasks=(LongTask("mutes", 3, NOON_MS, "RuntimeError in loop.py, line 7", NOON_MS + 8000), FINE))
    status = replace(status, tasks=(LongTask("quiet", 1, NOON_MS, "ValueError in loop.py, line 9"),))
    told = [line.strip() for line in report(shell, private_bus, status).splitlines() if "trouble" in line]
    noon, later = local_time(NOON_MS), local_time(NOON_MS + 8000)
    assert told == [
        f"trouble     quiet: crashed once, last {noon} (ValueError in loop.py, line 9); runs again",
        f"trouble     mutes: crashed 3 times, last {noon} (RuntimeError in loop.py, line 7); next try {later}",
    ]
    with daemon_says(private_bus, status.as_json):
        (account,) = json.loads(shell.run("status", "--json").stdout)["accounts"]
    assert [(task["name"], task["crashes"]) for task in account["tasks"]] == [("mutes", 3), ("pushers", 0)]


MISTAKES = {"[quiet]\nhours = 5\n": "hours", '[privacy]\nshow = "all"\n': "show", "not TOML": "config.toml"}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_configuration_is_why_it_does_not_run(shell: Shell, text: str) -> None:
    sign_in()
    write_private_file(config_file(), text.encode())
    result = shell.run("status")
    assert "It cannot start: " in result.stdout
    assert MISTAKES[text] in result.stdout
    assert MISTAKES[text] in json.loads(shell.run("status", "--json").stdout)["next_start_fails"]


def test_a_mistake_that_was_made_while_it_runs_is_told_before_the_next_start(
    shell: Shell, private_bus: PrivateBus
) -> None:
    sign_in()
    assert "next start" not in report(shell, private_bus, make_status())
    write_private_file(config_file(), b"[quiet]\nhours = 5\n")
    assert "The next start will fail: " in report(shell, private_bus, make_status())


def test_a_running_daemons_status_is_told_without_loading_the_store_or_the_rules(private_bus: PrivateBus) -> None:
    # Bars and people ask often, and most of what is loaded costs more time than the answer.
    sign_in()
    config_file().parent.mkdir(parents=True)
    config_file().write_text('[log]\nlevel = "info"\n')
    program = (
        "import contextlib, sys, heliograph.cli\n"
        "with contextlib.suppress(SystemExit):\n"
        "    heliograph.cli.commands(['status'])\n"
        "print('loaded:', *[name for name in sys.modules if name.startswith('heliograph.')])\n"
    )
    with daemon_says(private_bus, make_status().as_json):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told, _, loaded = done.stdout.partition("loaded:")
    assert told.startswith("Heliograph 0.1.0 runs")
    needless = ("heliograph.store", "heliograph.core.record", "heliograph.core.room", "heliograph.core.push.")
    assert [name for name in loaded.split() if name.startswith(needless)] == []
    # A module more is 0.4 ms: whoever adds one looks whether the answer needs it.
    assert len(loaded.split()) <= 55
