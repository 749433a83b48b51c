"""A start of the relay's state with many users, in a process of its own.

    relay_users.py FOLDER own|former

Prints a JSON object of figures. The former way parses what every pusher was set with, and walks over all users to find
who has a pusher of a name.
"""

# ruff: noqa: ASYNC240  nobody waits while a folder is made

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from heliograph.relay.state.state import RelayState
from heliograph.relay.store.sqlite import pushers
from heliograph.relay.store.sqlite.store import DATABASE_NAME, open_sqlite
from heliograph.system.clock import now_ms

_LOOKS = 50


async def make_users(folder: Path, users: int) -> None:
    """relay.db with users who have two phones and a desktop each."""
    folder.mkdir()
    async with open_sqlite(folder):
        pass
    await asyncio.to_thread(_fill, folder / DATABASE_NAME, users)


def _fill(file: Path, users: int) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        for number in range(users):
            user = f"@user-{number}:example.org"
            for phone in ("phone", "tablet"):
                original = _original(
                    "http", f"{phone}-{number}-{'x' * 120}", "https://matrix.org/_matrix/push/v1/notify"
                )
                row = (f"hidden-{phone}-{number}", user, original["app_id"], original["pushkey"])
                more = (original["data"]["url"], json.dumps(original), True, f"{phone}{number}", False)
                db.execute("INSERT INTO twins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, *more))
            original = _original("org.matrix.msc3361.direct", f"desktop-{number}", "")
            desktop = (user, original["app_id"], original["pushkey"], f"DESK{number}", original["kind"])
            times = (True, 3000, 5000, None, json.dumps(original), None)
            db.execute("INSERT INTO direct_pushers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*desktop, *times))
            db.execute("INSERT INTO direct_devices VALUES (?, ?, ?)", (user, f"DESK{number}", now_ms()))


def _original(kind: str, pushkey: str, url: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "app_id": f"org.example.{kind}",
        "pushkey": pushkey,
        "app_display_name": "A client of Matrix",
        "device_display_name": "Somebody's device",
        "profile_tag": "a-profile-tag",
        "lang": "en",
        "data": {"url": url, "format": "event_id_only"},
    }


async def _measure(folder: Path, *, is_former: bool) -> dict[str, float]:
    if is_former:
        vars(pushers)["KeptJson"] = json.loads
    before, begun = _rss_mb(), time.process_time()
    async with open_sqlite(folder) as store:
        state = await RelayState.load(store, now_ms)
        cpu_s = time.process_time() - begun
        gc.collect()
        rss_mb = _rss_mb() - before
        registry = state.registry
        name = ("org.example.http", "phone-7-" + "x" * 120)

        async def walk() -> set[str]:
            return {user for user in registry.user_ids() if registry.twin_for(user, *name)}

        look: Callable[[], Awaitable[set[str]]] = walk if is_former else lambda: registry.users_with(*name)
        looks: list[float] = []
        for _ in range(_LOOKS):
            begun = time.perf_counter()
            assert await look() == {"@user-7:example.org"}
            looks.append((time.perf_counter() - begun) * 1000)
    return {"users_start_s": cpu_s, "users_rss_mb": rss_mb, "users_name_ms": statistics.median(looks)}


def _rss_mb() -> float:
    """Resident set in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(Path(sys.argv[1]), is_former=sys.argv[2] == "former"))))
