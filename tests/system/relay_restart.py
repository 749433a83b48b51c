"""What clients notice while the relay restarts, or is killed, under load. As a command, it prints the figures:

    PYTHONPATH=daemon:tests python tests/system/relay_restart.py --polls 1000 --rate 100

The homeserver, the clients and the phones are played here; the relay is a process whose listening socket stays open, as
systemd keeps it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web

from support.activated import activated

Json = dict[str, Any]
_API = "/_matrix/client/v3"
_NOTIFY = "/_matrix/push/v1/notify"


@dataclass
class Outcome:
    """Of one restart."""

    sent: int
    errors: Counter[str]
    """Requests of clients that failed, by how."""
    lost: int
    """Events that rang nowhere."""
    both: int
    """Events that rang at the desktop and at the phone."""
    twice: int
    """Events that rang at one phone twice."""
    silence_s: float
    """The longest that a new request went without an answer."""

    def __str__(self) -> str:
        errors = sum(self.errors.values())
        return (
            f"{self.sent} events: {self.lost} lost, {self.both} on both sides, {self.twice} twice at a phone; "
            f"{errors} client errors; answered again after {self.silence_s:.2f} s"
        )


@dataclass
class _Owner:
    """One user, with one desktop and one phone."""

    number: int
    events: list[str] = field(default_factory=list)
    pushers: dict[tuple[str, str], Json] = field(default_factory=dict)
    nudges: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def position(self) -> int:
        return len(self.events) + self.nudges

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer t{self.number}"}


class _Homeserver:
    """As much of one as the relay asks for. It pushes as Synapse does: again and again, until it is answered."""

    def __init__(self, owners: int) -> None:
        self.owners = [_Owner(number) for number in range(owners)]
        self._pushing: set[asyncio.Task[None]] = set()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = [unquote(part) for part in request.path.removeprefix(_API).split("/")[1:]]
        if request.path == "/_matrix/client/versions":
            return web.json_response({"versions": ["v1.11"], "unstable_features": {}})
        owner = self.owners[int(request.headers["Authorization"].removeprefix("Bearer t"))]
        match request.method, path:
            case "GET", ["account", "whoami"]:
                return web.json_response({"user_id": f"@u{owner.number}:x", "device_id": f"D{owner.number}"})
            case "GET", ["pushers"]:
                return web.json_response({"pushers": list(owner.pushers.values())})
            case "POST", ["pushers", "set"]:
                body = await request.json()
                key = (body["app_id"], body["pushkey"])
                owner.pushers.pop(key, None)
                if body["kind"] is not None:
                    owner.pushers[key] = body
                return web.json_response({})
            case "GET", ["notifications"]:
                listed = [_listed(event_id, place) for place, event_id in enumerate(owner.events)]
                return web.json_response({"notifications": listed[: -int(request.query.get("limit", 50)) - 1 : -1]})
            case "PUT", ["sendToDevice", *_]:
                owner.nudges += 1
                owner.news.set()
                return web.json_response({})
            case "GET", ["sync"]:
                return web.json_response(await self._sync(owner, request))
        return web.json_response({"errcode": "M_UNRECOGNIZED"}, status=404)

    async def _sync(self, owner: _Owner, request: web.BaseRequest) -> Json:
        seen, _, nudges = request.query.get("since", "0_0").partition("_")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(int(request.query.get("timeout", "0")) / 1000):
                while owner.position <= int(seen) + int(nudges):
                    owner.news.clear()
                    await owner.news.wait()
        new = [_event(event_id) for event_id in owner.events[int(seen) :]]
        rooms = {"join": {f"!r{owner.number}:x": {"timeline": {"events": new, "limited": False}}}} if new else {}
        return {"next_batch": f"{len(owner.events)}_{owner.nudges}", "rooms": rooms}

    def send(self, owner: _Owner, event_id: str, session: aiohttp.ClientSession) -> None:
        owner.events.append(event_id)
        owner.news.set()
        for pusher in list(owner.pushers.values()):
            task = asyncio.create_task(self._push(owner, event_id, pusher, session))
            self._pushing.add(task)
            task.add_done_callback(self._pushing.discard)

    async def _push(self, owner: _Owner, event_id: str, pusher: Json, session: aiohttp.ClientSession) -> None:
        data = {name: value for name, value in pusher["data"].items() if name != "url"}
        device = {"app_id": pusher["app_id"], "pushkey": pusher["pushkey"], "pushkey_ts": 0, "data": data}
        told = {"event_id": event_id, "room_id": f"!r{owner.number}:x", "counts": {"unread": 1}, "devices": [device]}
        delay_s = 1.0
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(pusher["data"]["url"], json={"notification": told}) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(delay_s)
            delay_s *= 2


def _event(event_id: str) -> Json:
    return {"event_id": event_id, "type": "m.room.message", "sender": "@a:x", "content": {"body": "x"}}


def _listed(event_id: str, place: int) -> Json:
    return {"room_id": "!r:x", "ts": place, "read": False, "actions": ["notify"], "event": _event(event_id)}


class Restart:
    """The relay with all that stands around it."""

    def __init__(self, folder: Path, polls: int) -> None:
        self._folder = folder
        self._homeserver = _Homeserver(polls)
        self._rung: dict[str, int] = defaultdict(int)
        self._notified: set[str] = set()
        self._sent: list[str] = []
        self._waiting: set[int] = set()
        """Owners whose desktop had an answer to its first sync."""
        self._errors: Counter[str] = Counter()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._homeserver_url = self._phone_url = ""

    async def measure(self, how: signal.Signals, rate: float, seconds: float = 4.0) -> Outcome:
        """Sends `rate` events a second for `seconds` before and after the relay is ended by this signal."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._socket)
            self._homeserver_url = await stack.enter_async_context(_served(self._homeserver.answer))
            self._phone_url = await stack.enter_async_context(_served(self._ring)) + _NOTIFY
            # Without connections that are kept, aiohttp does not repeat by itself what was cut off.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            stack.push_async_callback(self._end, signal.SIGKILL)
            await self._start()
            polling = [asyncio.create_task(self._poll(owner, session)) for owner in self._homeserver.owners]
            stack.push_async_callback(_cancel, polling)
            await self._first_polls(polling)
            await self._send(rate, seconds, session)
            restarting = asyncio.create_task(self._restart(how))
            await self._send(rate, seconds, session)
            silence_s = await restarting
            await self._settle()
        both = self._notified & self._rung.keys()
        lost = set(self._sent) - self._notified - self._rung.keys()
        twice = sum(times > 1 for times in self._rung.values())
        return Outcome(len(self._sent), self._errors, len(lost), len(both), twice, silence_s)

    async def _start(self) -> None:
        words = ["-m", "heliograph", "relay", "--homeserver", self._homeserver_url, "--allow-http-loopback"]
        where = ["--listen", self._url.removeprefix("http://"), "--state", str(self._folder)]
        with (self._folder / "relay.log").open("ab") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                activated(self._socket.fileno(), [sys.executable, *words, *where]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._socket.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            await asyncio.to_thread(process.wait)

    async def _restart(self, how: signal.Signals) -> float:
        asking = asyncio.create_task(self._measure_silence())
        await asyncio.sleep(0.1)
        await self._end(how)
        await self._start()
        return await asking

    async def _measure_silence(self) -> float:
        """The longest answer, in s, of requests one after the other, each on a connection of its own."""
        longest, ends = 0.0, time.monotonic() + 3
        while time.monotonic() < ends:
            begun = time.monotonic()
            while True:
                try:
                    async with aiohttp.request("GET", f"{self._url}/_matrix/client/versions") as answer:
                        await answer.read()
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - begun)
            await asyncio.sleep(0.01)
        return longest

    async def _poll(self, owner: _Owner, session: aiohttp.ClientSession) -> None:
        direct = {"kind": "direct", "app_id": "desk", "pushkey": f"D{owner.number}", "data": {}}
        phone = {"kind": "http", "app_id": "phone", "pushkey": f"P{owner.number}", "data": {"url": self._phone_url}}
        for body in (direct, phone):
            names = {"app_display_name": "x", "device_display_name": "x", "lang": "en", "append": True}
            url = f"{self._url}{_API}/pushers/set"
            async with session.post(url, json={**body, **names}, headers=owner.headers) as answer:
                answer.raise_for_status()
        since = ""
        while True:
            query = {"timeout": "30000" if since else "0"} | ({"since": since} if since else {})
            try:
                async with session.get(f"{self._url}{_API}/sync", params=query, headers=owner.headers) as answer:
                    answer.raise_for_status()
                    told = await answer.json()
            except (aiohttp.ClientError, OSError) as error:
                self._errors[type(error).__name__] += 1
                await asyncio.sleep(random.uniform(0.2, 0.4))
                continue
            self._notified.update(each["event"]["event_id"] for each in told.get("notifications", ()))
            since = told["next_batch"]
            self._waiting.add(owner.number)

    async def _first_polls(self, polling: list[asyncio.Task[None]]) -> None:
        """Returns when every desktop waits for news: what comes before its first answer is history to it."""
        while len(self._waiting) < len(polling):
            for task in polling:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)

    async def _send(self, rate: float, seconds: float, session: aiohttp.ClientSession) -> None:
        for number in range(int(rate * seconds)):
            owner = random.choice(self._homeserver.owners)
            event_id = f"${len(self._sent)}-{number}:x"
            self._sent.append(event_id)
            self._homeserver.send(owner, event_id, session)
            await asyncio.sleep(1 / rate)

    async def _settle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while not set(self._sent) <= self._notified | self._rung.keys():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        # What is held goes out if nobody has acknowledged it.
        await asyncio.sleep(4)

    async def _ring(self, request: web.BaseRequest) -> web.StreamResponse:
        notification = (await request.json())["notification"]
        self._rung[notification["event_id"]] += 1
        return web.json_response({"rejected": []})


@contextlib.asynccontextmanager
async def _served(handler: Any) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler, access_log=None, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Measures what clients notice of a restart of the relay.")
    parser.add_argument("--polls", type=int, default=1000, help="direct devices that sync")
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    wanted = parser.parse_args()
    for how in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory() as folder:
            outcome = await Restart(Path(folder), wanted.polls).measure(how, wanted.rate)
            print(f"{how.name}: {outcome} ({dict(outcome.errors)})", flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
