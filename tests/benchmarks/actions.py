"""What the user waits for: from a click to what it does, and from reading elsewhere to the end of the popup.

Heliograph runs as a process of its own; the notification server is in this one, and sees what the user would see.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.contestants import Heliograph
from benchmarks.phases import Figures, Sender, percentile
from fakes.notification_banners import Shown
from fakes.notification_profiles import PLASMA
from fakes.notification_server import NotificationServer
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import HeliographError
from support.buses import PrivateBus

_KINDS = ("m.read", "m.read.private", "thread")


class OtherClient:
    """The user's phone: it reads, and hears of what the user reads elsewhere."""

    def __init__(self, user: DemoUser, session: aiohttp.ClientSession) -> None:
        self._user = user
        self._session = session
        self.heard: dict[str, int] = {}
        """By event id: when (CLOCK_MONOTONIC in ns) a receipt of the user's came."""
        self._news = asyncio.Event()

    async def read(self, room: str, event: str, kind: str, root: str) -> int:
        """When it was begun."""
        is_threaded = kind == "thread"
        body = {"thread_id": root} if is_threaded else {}
        begun = time.monotonic_ns()
        await self._call("POST", f"rooms/{room}/receipt/{'m.read' if is_threaded else kind}/{event}", body)
        return begun

    async def hears(self, event: str) -> int:
        """When it heard that the user has read up to this event."""
        async with asyncio.timeout(10):
            while event not in self.heard:
                self._news.clear()
                await self._news.wait()
        return self.heard[event]

    async def listen(self) -> None:
        """Polls until cancelled."""
        since = ""
        while True:
            answer = await self._call("GET", f"sync?timeout=30000{since}", None)
            now = time.monotonic_ns()
            since = f"&since={answer['next_batch']}"
            for room in answer.get("rooms", {}).get("join", {}).values():
                for event in room.get("ephemeral", {}).get("events", ()):
                    for event_id in event["content"] if event["type"] == "m.receipt" else ():
                        if self._user.user_id in json.dumps(event["content"][event_id]):
                            self.heard.setdefault(event_id, now)
                            self._news.set()

    async def _call(self, method: str, path: str, body: Any) -> Any:
        url = f"{self._user.base_url}/_matrix/client/v3/{path}"
        headers = {"Authorization": f"Bearer {self._user.access_token}"}
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.json()


class _Screen:
    """Notes when popups go."""

    def __init__(self, server: NotificationServer) -> None:
        self._server = server

    async def shown(self, text: str) -> Shown:
        await self._server.until(lambda: any(text in each.body for each in self._server.on_screen.values()))
        return next(each for each in self._server.on_screen.values() if text in each.body)

    async def gone(self, popup_id: int) -> int:
        calls = self._server.calls
        before = calls.count("CloseNotification")
        if popup_id in self._server.on_screen:
            await self._server.until(lambda: calls.count("CloseNotification") > before)
        return time.monotonic_ns()

    def press(self, shown: Shown, key: str) -> int:
        """When it was pressed. The popup stays until Heliograph closes it."""
        begun = time.monotonic_ns()
        self._server.signal("ActionInvoked", "us", [shown.id, key])
        return begun


async def measure_actions(server: ThrowawaySynapse, folder: Path, count: int) -> Figures:
    """`count` clicks on "Mark as read", and as many messages read elsewhere, in all the ways that there are."""
    user, alice = await server.register("reader"), await server.register("writer")
    room = await alice.create_room("Lunch", preset="public_chat")
    await user.join(room)
    with PrivateBus() as bus:
        screen = NotificationServer(bus.address, PLASMA)
        await screen.start()
        heliograph = Heliograph()
        await asyncio.to_thread(heliograph.sign_in, user, folder, bus.address)
        process, _ = await heliograph.start(user, folder, bus.address)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
                phone = OtherClient(await user.login_again("Phone"), session)
                listening = asyncio.create_task(phone.listen())
                try:
                    return await _measure(Sender(alice, session), alice, phone, _Screen(screen), room, count)
                except (aiohttp.ClientError, TimeoutError, HeliographError) as error:
                    raise RuntimeError(f"{error!r}: {process.last_words()}") from error
                finally:
                    listening.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await listening
        finally:
            await process.stop()
            await screen.stop()


async def _measure(
    sender: Sender, alice: DemoUser, phone: OtherClient, screen: _Screen, room: str, count: int
) -> Figures:
    closed: list[float] = []
    done: list[float] = []
    withdrawn: list[float] = []
    root = await alice.send_text(room, "the thread")
    await screen.shown("the thread")
    kinds = itertools.cycle(_KINDS)
    for number in range(count):
        text = f"click {number} end"
        event = await alice.send_text(room, text)
        begun = screen.press(shown := await screen.shown(text), "mark-read")
        closed.append(((await screen.gone(shown.id)) - begun) / 1e6)
        done.append((await phone.hears(event) - begun) / 1e6)

        kind = next(kinds)
        text = f"elsewhere {number} end"
        event = await alice.send_text(room, text, thread=root if kind == "thread" else None)
        popup = await screen.shown(text)
        begun = await phone.read(room, event, kind, root)
        withdrawn.append(((await screen.gone(popup.id)) - begun) / 1e6)
        await asyncio.sleep(0.05)
    return {
        "click_closed_p50_ms": percentile(closed, 50),
        "click_closed_p99_ms": percentile(closed, 99),
        "click_done_p50_ms": percentile(done, 50),
        "click_done_p99_ms": percentile(done, 99),
        "withdrawn_p50_ms": percentile(withdrawn, 50),
        "withdrawn_p99_ms": percentile(withdrawn, 99),
    }
