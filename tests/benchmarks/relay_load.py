"""The relay under load beside its own former ways, which are kept here to be measured in the same minutes."""

# ruff: noqa: ASYNC240  nobody waits while a folder is made

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import aiohttp
from aiohttp import web

from benchmarks.phases import Figures
from benchmarks.processes import start
from benchmarks.relay_users import make_users
from heliograph.demo.homeserver import free_port
from heliograph.relay.gateway.tokens import digest_of
from heliograph.relay.model.hold import REMEMBERED_MS
from heliograph.relay.model.pushes import Push
from heliograph.relay.ports import PushStore
from heliograph.relay.queue.pruning import PAUSE_MS
from heliograph.relay.store.sqlite.group_commit import GroupCommit
from heliograph.relay.store.sqlite.pushes import SqlitePushStore
from heliograph.relay.store.sqlite.store import MIGRATIONS
from heliograph.system.clock import now_ms
from heliograph.system.sqlite import Database

OWN, FORMER = "heliograph", "former"
AT_ONCE = 10
PHONES = 40
ROUNDS = 3
MOST_MISSED_S = 60
FORGET_S = 30.0
"""For so long it is watched how parts are forgotten: a million rows take minutes, of which each is like the first."""
_HERE = Path(__file__).parent
_NOTIFY = "/_matrix/push/v1/notify"


async def measure_load(folder: Path, pushes: int, rows: int, users: int) -> dict[str, Figures]:
    """Both ways in turn: `pushes` to phones, `rows` that are old and forgotten, a start with `users`."""
    folder.mkdir(exist_ok=True)
    table: dict[str, Figures] = {OWN: {}, FORMER: {}}
    for number in range(ROUNDS):
        for way, figures in table.items():
            took = await _push(folder / f"{way}{number}", way, pushes)
            figures["push_each_ms"] = min(took, figures.get("push_each_ms", took))
    database = folder / "old.db"
    await _make_old(database, rows)
    for way, figures in table.items():
        figures.update(await _forget(database, folder / f"{way}.db", way))
    await make_users(folder / "users", users)
    for way, figures in table.items():
        program = [sys.executable, str(_HERE / "relay_users.py"), str(folder / "users"), way]
        told = await asyncio.to_thread(subprocess.check_output, program, timeout=300)
        figures.update(json.loads(told))
    return table


class _Phones:
    """Their push gateway, and the relay that they are behind."""

    def __init__(self, relay: str, token: str) -> None:
        self.port = free_port()
        self.came: set[str] = set()
        self.done = asyncio.Event()
        self.expected = 0
        self._relay = relay
        self._headers = {"Authorization": f"Bearer {token}"}
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=0.1)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def register(self, client: aiohttp.ClientSession) -> list[str]:
        """The pushkeys by which the homeserver would push to them."""
        pushkeys = []
        for number in range(PHONES):
            body = {
                "app_id": "org.example.phone",
                "pushkey": f"phone-{number}",
                "data": {"url": f"http://127.0.0.1:{self.port}{_NOTIFY}", "format": "event_id_only"},
            }
            async with client.post(f"{self._relay}/_heliograph/v1/pushers", json=body, headers=self._headers) as answer:
                answer.raise_for_status()
                pushkeys.append((await answer.json())["pushkey"])
        return pushkeys

    async def push(self, client: aiohttp.ClientSession, pushkey: str) -> None:
        device = {"app_id": "org.example.phone", "pushkey": pushkey, "data": {"format": "event_id_only"}}
        event_id = f"${secrets.token_urlsafe(32)}"
        body = {"event_id": event_id, "room_id": "!room:example.org", "counts": {"unread": 1}, "devices": [device]}
        async with client.post(f"{self._relay}{_NOTIFY}", json={"notification": body}) as answer:
            answer.raise_for_status()
            await answer.read()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        self.came.add((await request.json())["notification"]["event_id"])
        if len(self.came) >= self.expected:
            self.done.set()
        return web.json_response({"rejected": []})


async def _push(folder: Path, way: str, count: int) -> float:
    """ms for each push, from the first that the homeserver sends to the last that arrives, AT_ONCE at a time."""
    folder.mkdir()
    token = secrets.token_urlsafe(16)
    settings = folder / "relay.toml"
    settings.write_text(f'gateway_only = true\n[users]\nme = "{digest_of(token)}"\n')
    port = free_port()
    program = [str(_HERE / "former_relay.py")] if way == FORMER else ["-m", "heliograph"]
    words = ["relay", "--config", str(settings), "--listen", f"127.0.0.1:{port}", "--allow-http-loopback"]
    command = [sys.executable, *program, *words, "--state", str(folder / "state")]
    process = start(command, {**os.environ, "HOME": str(folder)}, folder)
    phones = _Phones(f"http://127.0.0.1:{port}", token)
    await phones.start()
    try:
        await process.wait_told("READY=1")
        async with aiohttp.ClientSession() as client:
            pushkeys = await phones.register(client)
            phones.expected = count
            numbers = iter(range(count))

            async def push_on() -> None:
                for number in numbers:
                    await phones.push(client, pushkeys[number % PHONES])

            begun = time.monotonic()
            await asyncio.gather(*(push_on() for _ in range(AT_ONCE)))
            async with asyncio.timeout(MOST_MISSED_S):
                await phones.done.wait()
            return (time.monotonic() - begun) * 1000 / count
    finally:
        await phones.stop()
        await process.stop()


async def _make_old(file: Path, rows: int) -> None:
    """A database with so many old pushes, and as many events that were acknowledged."""
    database = await Database.open(file, MIGRATIONS)
    await database.close()
    await asyncio.to_thread(_fill, file, rows)


def _fill(file: Path, rows: int) -> None:
    random, old_ms = Random(1), now_ms() - REMEMBERED_MS - 3_600_000
    with closing(sqlite3.connect(file)) as db, db:
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%pushes%'"
        ).fetchall()
        # Made at the end: event ids are in no order, as hashes are, and a row at a time would take minutes.
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.executemany("INSERT INTO phones (hidden_pushkey) VALUES (?)", ((f"hidden{n}",) for n in range(3_000)))
        events = [(f"${random.getrandbits(256):x}", number) for number in range(rows)]
        db.executemany(
            "INSERT INTO pushes (hidden_pushkey, user_id, event_id, room_id, received_ms, due_ms, size, outcome)"
            " VALUES (?, ?, ?, ?, ?, ?, 500, 'sent')",
            (
                (f"hidden{n % 3_000}", f"@user{n % 1_000}:x", event, f"!room{n % 999}:x", old_ms, 0)
                for event, n in events
            ),
        )
        db.executemany(
            "INSERT INTO settled VALUES (?, ?, 'acknowledged', 'DESK', '', ?)",
            ((event, f"@user{n % 1_000}:x", old_ms) for event, n in sorted(events)),
        )
        for _, sql in indexes:
            db.execute(sql)


async def _forget(old: Path, file: Path, way: str) -> Figures:
    """How long pushes wait for their answers while what is old is forgotten, and before."""
    await asyncio.to_thread(shutil.copy, old, file)
    # The copy itself would hold up the disk for seconds.
    await asyncio.to_thread(os.sync)
    database = await Database.open(file, MIGRATIONS)
    commits = GroupCommit(database)
    store = SqlitePushStore(commits)
    quiet = await _longest_wait(store, asyncio.create_task(asyncio.sleep(FORGET_S / 3)))
    forgetting = _forget_at_once(database) if way == FORMER else _forget_in_parts(store)
    longest = await _longest_wait(store, asyncio.create_task(forgetting))
    await commits.close()
    await database.close()
    return {"quiet_wait_ms": quiet, "forget_wait_ms": longest}


async def _longest_wait(store: PushStore, beside: asyncio.Task[None]) -> float:
    """The longest (ms) that a push waits for its answer until `beside` is done."""
    waits: list[float] = []
    while not beside.done():
        begun = time.monotonic()
        now = now_ms()
        push = Push("hidden1", "@me:x", f"${secrets.token_hex(16)}", "!room:x", None, 1, now, now, "{}")
        await store.take(push, (), 10**6, now)
        waits.append((time.monotonic() - begun) * 1000)
        await asyncio.sleep(0.005)
    await beside
    return max(waits)


async def _forget_in_parts(store: PushStore) -> None:
    end = time.monotonic() + FORGET_S
    has_more = True
    while has_more and time.monotonic() < end:
        has_more = await store.prune(now_ms())
        await asyncio.sleep(PAUSE_MS / 1000)


async def _forget_at_once(database: Database) -> None:
    def work(db: sqlite3.Connection) -> None:
        oldest_ms = now_ms() - REMEMBERED_MS
        db.execute("DELETE FROM pushes WHERE received_ms < ? AND outcome IS NOT NULL", (oldest_ms,))
        db.execute("DELETE FROM settled WHERE settled_ms < ?", (oldest_ms,))

    await database.transaction(work)
