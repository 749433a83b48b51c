"""The real daemon against bad answers, strangers' texts, bad disks: each has a clear outcome, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.notification_banners import Shown
from fakes.notification_profiles import DUNST, PLAIN, Profile
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account, save_account, state_folder, state_root
from heliograph.control.client import ask_status
from heliograph.core.ids import UserId
from heliograph.core.push.predefined import predefined_rules
from heliograph.errors import EXIT_CONFIG, EXIT_OK
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from support.buses import PrivateBus
from support.hostile_homeserver import Handler, HostileHomeserver, cut_short, error, message, never, refusal
from support.waiting import until
from system.daemon import LAUNCHER, Daemon

ME = UserId("@me:example.org")
MEGABYTE = 1024 * 1024


async def keep_account(homeserver: str, user_id: str = ME) -> None:
    account = Account(user_id=UserId(user_id), device_id="D", homeserver=homeserver, secrets="file", pushkey="key")
    await asyncio.to_thread(save_account, account)
    await open_secrets("file").save(user_id, Secret(access_token="syt_secret_token", pickle_key="test").encode())


@dataclass
class Stage:
    server: HostileHomeserver
    screen: NotificationServer

    async def shown(self, text: str) -> Shown:
        found = await until(lambda: self.saying(text), f"a notification saying {text!r}", seconds=60)
        assert isinstance(found, list)
        return found[0]  # type: ignore[no-any-return]

    def saying(self, text: str) -> list[Shown]:
        return [each for each in self.screen.shown if text in each.body]


@pytest.fixture
async def stage(private_bus: PrivateBus) -> AsyncIterator[Stage]:
    server, screen = HostileHomeserver(ME), NotificationServer(private_bus.address, DUNST)
    await server.start()
    await screen.start()
    await keep_account(server.url)
    yield Stage(server, screen)
    await screen.stop()
    await server.stop()


def assert_plain(log: str) -> None:
    """No traceback, no secret, and nothing that a terminal obeys."""
    assert "Traceback" not in log
    assert "syt_secret_token" not in log
    assert all(character.isprintable() for line in log.splitlines() for character in line)


BIG = {"next_batch": "big", "padding": "x" * (20 * MEGABYTE)}
NOT_AS_SPECIFIED: list[str | bytes | dict[str, Any] | Handler] = [
    "null",
    '{"next_batch": "t", "rooms": ',
    b"\xff\xfe\x00garbage",
    "[" * 100_000,
    cut_short(b'{"next_batch": "cut", "rooms": {'),
    error(200, "<html><body>Log in to the hotel's network</body></html>"),
    error(302, Location="http://127.0.0.1:1/elsewhere"),
    error(502, "<html>Bad Gateway</html>"),
    refusal(500, "M_UNKNOWN"),
    refusal(429, "M_LIMIT_EXCEEDED", retry_after_ms=100),
    refusal(403, "M_FORBIDDEN"),
    refusal(401, "M_GUEST_ACCESS_FORBIDDEN"),
]


@pytest.mark.expected_log(
    "@me:example.org: (answered HTTP|the answer ended|redirected|rate limited|refused with HTTP)", times=12
)
async def test_no_answer_of_the_homeserver_costs_a_message_or_the_daemon(stage: Stage) -> None:
    """After each bad answer comes a good one, which rings, and which the bad one must not have acknowledged."""
    server = stage.server
    async with Daemon() as daemon:
        before = server.requests
        for number, bad in enumerate(NOT_AS_SPECIFIED):
            await until(lambda: server.waiting == 1, "a poll")
            asked = len(server.sinces)
            server.give(bad, server.sync(message(f"after number {number}.")))
            await stage.shown(f"after number {number}.")
            # The poll under way was answered badly; the next one asks for the same again.
            assert server.sinces[asked] == server.sinces[asked - 1]
        # For each: the bad answer, the good one, and the polls between, with versions and room facts.
        assert server.requests - before < 12 * len(NOT_AS_SPECIFIED)
        assert await daemon.stop() == EXIT_OK
        assert_plain(daemon.log)
    assert all(len(stage.saying(f"after number {number}.")) >= 1 for number in range(len(NOT_AS_SPECIFIED)))


WRONGLY_TYPED: list[Any] = [
    7,
    "text",
    None,
    {},
    {"event_id": 7},
    {**message("x"), "sender": ["@alice:example.org"]},
    {**message("x"), "origin_server_ts": "yesterday"},
    {**message("x"), "type": None},
    {**message("x"), "content": 7},
    {**message("x"), "content": {"msgtype": "m.text", "body": {"deep": [1]}}},
    {**message("x"), "unsigned": "none"},
    {**message("x"), "content": {"m.relates_to": {"rel_type": "m.thread", "event_id": {"no": "id"}}}},
    message("x", event_id="$" + "x" * 100_000),
    message("x", sender="@" + "x" * MEGABYTE),
]


@pytest.mark.expected_log("Unusable push rules")
@pytest.mark.expected_log("There may be more in !worse:example.org, which could not be fetched")
async def test_bad_events_among_good_ones_cost_none_of_them(stage: Stage) -> None:
    server = stage.server
    async with Daemon() as daemon:
        first = message("the first.")
        mixed = server.sync(first, *WRONGLY_TYPED, message("the last."))
        mixed["rooms"]["join"]["!bad:example.org"] = 7
        mixed["rooms"]["join"]["!worse:example.org"] = {"timeline": "none", "state": {"events": 7}, "summary": []}
        mixed["rooms"]["invite"] = {"!invite:example.org": {"invite_state": {"events": [None, 7]}}}
        mixed["rooms"]["leave"] = []
        mixed |= {"to_device": 7, "account_data": {"events": [7, {"type": "m.push_rules", "content": []}]}}
        server.give(mixed)
        await stage.shown("the last.")
        server.give(server.sync(message("the next.")))
        await stage.shown("the next.")
        server.give(json.dumps(BIG), server.sync(message("after 20 MB.")))
        await stage.shown("after 20 MB.")
        assert await daemon.stop() == EXIT_OK
        assert_plain(daemon.log)
    with contextlib.closing(sqlite3.connect(state_folder(ME) / "ledger.db")) as db:
        (state,) = db.execute("SELECT state FROM deliveries WHERE event_id = ?", (first["event_id"],)).fetchone()
        (malformed,) = db.execute("SELECT count(*) FROM judged WHERE decision = 'malformed'").fetchone()
    assert state == "shown"
    assert malformed >= 8


UNUSABLE_RULES: list[Any] = [
    7,
    {},
    {"global": []},
    {"global": {"override": {"rule_id": "x"}}},
    {"global": {"underride": [None, {"rule_id": 7}]}},
]


@pytest.mark.expected_log("Unusable push rules", times=7)
async def test_unusable_push_rules_leave_the_last_good_ones_in_force_and_status_says_so(stage: Stage) -> None:
    def give(rules: Any, *events: dict[str, Any]) -> None:
        data = {"events": [{"type": "m.push_rules", "content": rules}]}
        stage.server.give(stage.server.sync(*events, account_data=data))

    async def problem() -> str | None:
        status = await ask_status()
        assert status is not None
        [account] = status["accounts"]
        return account["rules_problem"]  # type: ignore[no-any-return]

    muted = {"rule_id": "m", "conditions": [{"kind": "event_match", "key": "content.body", "pattern": "hush"}]}
    good = predefined_rules(ME)
    good["override"].insert(1, {**muted, "enabled": True, "actions": []})
    async with Daemon() as daemon:
        give({"global": good}, message("hush, from the start"))
        for number, rules in enumerate(UNUSABLE_RULES):
            give(rules, message(f"hush {number}"), message(f"rings {number}."))
            await stage.shown(f"rings {number}.")
            assert "the last good ones stay in force" in str(await problem())
            give({"global": good}, message(f"mended {number}."))
            await stage.shown(f"mended {number}.")
            assert await problem() is None
        broken = {**good, "content": [{"rule_id": "b", "actions": []}]}
        give({"global": broken}, message("hush, still"), message("without the broken one."))
        await stage.shown("without the broken one.")
        assert await problem() == "content rule 1 is left out: it has no string pattern"
        give(UNUSABLE_RULES[0], message("before the restart."))
        await stage.shown("before the restart.")
        assert await daemon.stop() == EXIT_OK
        await daemon.start()
        stage.server.give(stage.server.sync(message("hush, after it"), message("after the restart.")))
        await stage.shown("after the restart.")
        assert "the last good ones stay in force" in str(await problem())
        assert not stage.saying("hush")
        assert await daemon.stop() == EXIT_OK
        assert_plain(daemon.log)


HOSTILE_TEXTS = {
    "markup": "<b>bold</b> <img src='file:///etc/passwd'/> &amp; <a href='x'>",
    "never closed": "<b>never closed",
    "ANSI": "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "direction": "\u202egnp.exe \u2066isolated",
    "controls": "nul \x00 bell \x07 delete \x7f",
    "lines": "line\n" * 100_000,
    "marks": "Z" + "\u0301" * 10_000,
    "half a pair": "\ud800 half",
    "a megabyte": "x" * MEGABYTE,
}


@pytest.mark.parametrize("profile", [DUNST, PLAIN], ids=lambda profile: profile.name)
async def test_texts_of_strangers_are_shown_harmlessly(stage: Stage, profile: Profile) -> None:
    """As bodies, display names and room names alike."""
    server = stage.server
    await stage.screen.restart(profile)
    async with Daemon() as daemon:
        await until(lambda: "Notifications go to" in daemon.log)
        for name, text in HOSTILE_TEXTS.items():
            body = server.sync(message(f"{text} marked {name}."), message(f"after {name}."))
            room = f"!{len(server.sinces)}:example.org"
            body["rooms"]["join"] = {room: body["rooms"]["join"].popitem()[1]}
            member = {"membership": "join", "displayname": text}
            state = [
                message("", type="m.room.member", state_key="@alice:example.org", content=member),
                message("", type="m.room.name", state_key="", content={"name": text}),
            ]
            body["rooms"]["join"][room]["state"] = {"events": state}
            server.give(json.dumps(body))
            await stage.shown(f"after {name}.")
        assert await daemon.stop() == EXIT_OK
        assert_plain(daemon.log)
    for shown in stage.screen.shown:
        for words in (shown.summary, shown.body):
            assert len(words) < 10_000
            assert all(character.isprintable() or character == "\n" for character in words)
        if "body-markup" in profile.capabilities:
            assert "<" not in re.sub("</?[biu]>", "", shown.body)
        assert "\n" not in shown.summary


@pytest.mark.expected_log("@closed:example.org: nothing answers")
@pytest.mark.expected_log("nowhere.invalid is not known")
async def test_homeservers_that_cannot_be_reached_are_waited_for_in_peace(private_bus: PrivateBus) -> None:
    """One takes requests and never answers, the name of one is not known, one refuses connections."""
    server = HostileHomeserver()
    await server.start()
    server.answers_all = never
    await keep_account(server.url, "@silent:example.org")
    await keep_account("https://nowhere.invalid", "@nowhere:example.org")
    await keep_account("http://127.0.0.1:1", "@closed:example.org")
    daemon = Daemon()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        await daemon.start(until_connected=False)
        stack.push_async_exit(daemon.__aexit__)
        await until(lambda: "nowhere.invalid is not known" in daemon.log)
        await until(lambda: "@closed:example.org: nothing answers at 127.0.0.1, port 1" in daemon.log)
        await until(lambda: server.requests)
        start = cpu_seconds(daemon.pid)
        await asyncio.sleep(3)
        assert cpu_seconds(daemon.pid) - start < 1
        assert server.requests == 1
        asked = time.monotonic()
        assert await daemon.stop() == EXIT_OK
        assert time.monotonic() - asked < 10
        assert_plain(daemon.log)
        assert len(daemon.log.splitlines()) < 30


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_homeserver_that_answers_polls_at_once_with_nothing_is_not_asked_in_a_busy_loop(stage: Stage) -> None:
    server = stage.server
    async with Daemon() as daemon:
        server.give(*(server.sync() | {"rooms": {}} for _ in range(10_000)))
        before = len(server.sinces)
        await asyncio.sleep(3)
        assert len(server.sinces) - before < 10
        assert await daemon.stop() == EXIT_OK


async def refused_start(daemon: Daemon) -> str:
    await daemon.start(until_connected=False)
    assert await daemon.ended() == EXIT_CONFIG
    assert_plain(daemon.log)
    return daemon.log


@pytest.mark.expected_log("cannot run: Heliograph already runs")
@pytest.mark.expected_log("was written by a newer Heliograph")
async def test_a_second_daemon_and_a_newer_ledger_are_refused_in_two_lines(stage: Stage) -> None:
    folder = state_folder(ME)
    async with Daemon() as first:
        second = Daemon()
        log = await refused_start(second)
        assert f"({first.pid})" in log or f"process {first.pid}" in log
        assert "Try: Stop that one first" in log
        stage.server.give(stage.server.sync(message("undisturbed.")))
        await stage.shown("undisturbed.")
        assert await first.stop() == EXIT_OK
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 999")
    log = await refused_start(Daemon())
    assert "was written by a newer Heliograph" in log
    assert "Try: Update Heliograph" in log


class DaemonOnAnotherDisk(Daemon):
    """Its state stands on a small disk of its own, which only it sees mounted. `options`: how it is mounted at last."""

    def __init__(self, options: str = "rw") -> None:
        super().__init__()
        self._options = options

    @property
    def state(self) -> Path:
        return Path(f"/proc/{self.pid}/root{state_root()}")

    def _spawn(self, words: Sequence[str]) -> None:
        root = shlex.quote(str(state_root()))
        mount = f"cp -a {root} {root}.copy && mount -t tmpfs -o size=2m,mode=700 tmpfs {root}"
        mount += f" && cp -a {root}.copy/. {root}/ && mount -o remount,{self._options} {root}"
        command = f"{mount} && exec {shlex.join([sys.executable, str(LAUNCHER)])}"
        # The disk's owner has to be known in there: mount reads that option back before it mounts anew.
        rights = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
        namespace = ["unshare", *rights, "--mount"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *namespace, "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def fill(folder: Path) -> Path:
    """Leaves no room on its disk."""
    ballast = folder / "ballast"
    for size in (4096, 1):
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as stream:
            while True:
                stream.write(b"\0" * size)
    return ballast


@pytest.mark.expected_log("cannot run: .*Read-only file system")
async def test_a_state_folder_that_cannot_be_written_is_named_at_the_start(stage: Stage) -> None:
    log = await refused_start(DaemonOnAnotherDisk("ro"))
    assert "Read-only file system" in log
    assert str(state_folder(ME)) in log


@pytest.mark.expected_log("database or disk is full", times=(1, None))
async def test_a_disk_that_is_full_is_told_of_once_and_nothing_is_lost(stage: Stage) -> None:
    server = stage.server
    async with DaemonOnAnotherDisk() as daemon:
        assert isinstance(daemon, DaemonOnAnotherDisk)
        ballast = await asyncio.to_thread(fill, daemon.state)
        token = server.sinces[-1]
        long = [message(f"{n} " + "x" * 2000, event_id=f"$long{n}") for n in range(200)]
        lost_unless_kept = server.sync(*long, message("while full."))
        for _ in range(5):
            server.give(lost_unless_kept)
        await until(lambda: [each for each in stage.screen.shown if "cannot write to disk" in each.summary])
        await until(lambda: len(server.answers) <= 2)
        assert set(server.sinces[-3:]) == {token}
        assert not stage.saying("while full.")
        await asyncio.to_thread(ballast.unlink)
        await stage.shown("while full.")
        server.answers.clear()
        server.give(server.sync(message("afterwards.")))
        await stage.shown("afterwards.")
        notices = [each for each in stage.screen.shown if "cannot write to disk" in each.summary]
        assert len(notices) == 1
        assert len(stage.saying("while full.")) >= 1
        assert await daemon.stop() == EXIT_OK
        assert_plain(daemon.log)
