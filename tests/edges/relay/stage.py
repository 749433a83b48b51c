"""An outbox on a real file, with a clock that tests set and gateways that answer when tests say so."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heliograph.core.events import Json
from heliograph.relay.model.outcome import Delivered, Outcome
from heliograph.relay.model.pushers import DirectPusher, Twin
from heliograph.relay.model.pushes import MOST_WAITING, Push
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.store.sqlite.group_commit import GroupCommit
from heliograph.relay.store.sqlite.pushes import SqlitePushStore
from heliograph.relay.store.sqlite.store import DATABASE_NAME, MIGRATIONS
from heliograph.relay.wire.push import pack
from heliograph.system.sqlite import Database

ME, BOB = "@me:example.org", "@bob:example.org"
ROOM = "!room:example.org"
NOON = 1_800_000_000_000
HOUR = 3_600_000


class SetClock:
    """`relay.clock.Clock` that stands still until a test moves it."""

    def __init__(self, now_ms: int = NOON) -> None:
        self._now_ms = now_ms
        self._times_set_back = 0
        self._waiting: dict[asyncio.Future[None], tuple[asyncio.Event, int | None, int]] = {}

    def now_ms(self) -> int:
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Set back, it ends every wait, as the real one does within a minute."""
        self._times_set_back += now_ms < self._now_ms
        self._now_ms = now_ms
        for tick in self._waiting:
            if not tick.done():
                tick.set_result(None)

    @property
    def next_ms(self) -> int | None:
        """The first moment that somebody waits for."""
        return min((until_ms for _, until_ms, _ in self._waiting.values() if until_ms is not None), default=None)

    @property
    def is_at_rest(self) -> bool:
        """Somebody waits, and nobody has a reason to go on."""
        return bool(self._waiting) and not any(self._is_over(*wait) for wait in self._waiting.values())

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        times_set_back = self._times_set_back
        while not self._is_over(wake, until_ms, times_set_back):
            tick: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[tick] = (wake, until_ms, times_set_back)
            woken: asyncio.Future[Any] = asyncio.ensure_future(wake.wait())
            try:
                await asyncio.wait([tick, woken], return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
                del self._waiting[tick]

    def _is_over(self, wake: asyncio.Event, until_ms: int | None, times_set_back: int) -> bool:
        return (
            wake.is_set()
            or self._times_set_back > times_set_back
            or (until_ms is not None and self._now_ms >= until_ms)
        )


class KnownPushers:
    """`ports.PusherLookup`, as the registry would tell."""

    def __init__(self) -> None:
        self.twins: dict[str, Twin] = {}
        self.direct: list[DirectPusher] = []
        self.withdrawn: set[str] = set()

    def add(self, twin: Twin) -> Twin:
        self.twins[twin.hidden_pushkey] = twin
        return twin

    def twin_of(self, device: Json) -> Twin | None:
        return self.twins.get(device["pushkey"])

    def is_withdrawn(self, device: Json) -> bool:
        return device["pushkey"] in self.withdrawn

    def twin(self, hidden_pushkey: str) -> Twin | None:
        return self.twins.get(hidden_pushkey)

    def twins_of(self, user_id: str) -> list[Twin]:
        return [twin for twin in self.twins.values() if twin.user_id == user_id]

    def direct_of(self, user_id: str) -> list[DirectPusher]:
        return [pusher for pusher in self.direct if pusher.user_id == user_id]


@dataclass
class Request:
    """A push that reached a gateway."""

    url: str
    pushkey: str
    notification: Mapping[str, Any]
    at_ms: int
    answer: asyncio.Future[Outcome]

    @property
    def event_id(self) -> str | None:
        event_id: str | None = self.notification.get("event_id")
        return event_id


@dataclass
class ScriptedGateways:
    """`queue.dispatch.Sender`. Every push is answered by `script`, in turn; then by `always`; with neither it waits."""

    clock: SetClock
    always: Outcome | None = field(default_factory=Delivered)
    script: list[Outcome | Exception] = field(default_factory=list)
    """An exception is a fault of the relay's own, and raised."""
    requests: list[Request] = field(default_factory=list)
    waiting: list[Request] = field(default_factory=list)

    async def send(self, url: str, pushkey: str, body: bytes) -> Outcome:
        notification = json.loads(body)["notification"]
        request = Request(url, pushkey, notification, self.clock.now_ms(), asyncio.get_running_loop().create_future())
        self.requests.append(request)
        outcome = self.script.pop(0) if self.script else self.always
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            return outcome
        self.waiting.append(request)
        try:
            return await request.answer
        finally:
            self.waiting.remove(request)

    @property
    def events(self) -> list[str | None]:
        """Event ids in the order in which they arrived; None: a clearing push."""
        return [request.event_id for request in self.requests]

    @property
    def times(self) -> list[int]:
        """When they arrived, in ms since noon."""
        return [request.at_ms - NOON for request in self.requests]


class OutboxStage:
    """One outbox, and its file through all of the outbox's lives."""

    def __init__(self, folder: Path, **bounds: int) -> None:
        self.path = folder / DATABASE_NAME
        self.clock = SetClock()
        self.pushers = KnownPushers()
        self.gateways = ScriptedGateways(self.clock)
        self._bounds = bounds
        self.outbox: Outbox
        self._database: Database
        self._commits: GroupCommit
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> OutboxStage:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def open(self) -> None:
        self._database = await Database.open(self.path, MIGRATIONS)
        self._commits = GroupCommit(self._database)
        self.outbox = await Outbox.open(
            SqlitePushStore(self._commits),
            self.pushers,
            self.gateways,
            self.clock,
            **{"most_waiting": MOST_WAITING, **self._bounds},
        )
        self._running = asyncio.create_task(self.outbox.run())
        await self.rest()

    @property
    def running(self) -> asyncio.Task[None]:
        """The task of `Outbox.run`."""
        assert self._running is not None
        return self._running

    async def kill(self) -> None:
        """As far as the file can tell: what was under way never ends, what was not committed never was."""
        if self._running is None:
            return
        self._cancel_pushes()
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        # A commit that ended just now may have begun another in the same turn of the event loop.
        self._cancel_pushes()
        self._running = None
        await self._database.close()

    def _cancel_pushes(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name().startswith("push "):
                task.cancel()

    async def restart(self) -> None:
        await self.kill()
        await self.open()

    async def commit_together(self, works: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """What the works return, whose changes are committed as one group: the file is busy until all have asked."""
        begun, gate = threading.Event(), threading.Event()

        def hold(_: sqlite3.Connection) -> None:
            begun.set()
            gate.wait()

        holding = asyncio.create_task(self._commits.transaction(hold))
        await asyncio.to_thread(begun.wait)
        tasks = [asyncio.create_task(work) for work in works]
        # More steps than there are between the outbox's methods and the file.
        for _ in range(10):
            await asyncio.sleep(0)
        gate.set()
        await holding
        return list(await asyncio.gather(*tasks))

    async def rest(self) -> None:
        """Returns once nothing goes on by itself any more."""
        while not await self._is_at_rest():  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def pass_ms(self, ms: int) -> None:
        """Time passes, with a stop at every moment for which something waits."""
        end_ms = self.clock.now_ms() + ms
        while self.clock.now_ms() < end_ms:
            self.clock.set(min(self.clock.next_ms or end_ms, end_ms))
            await self.rest()

    async def answer(self, request: Request, outcome: Outcome) -> None:
        request.answer.set_result(outcome)
        while request in self.gateways.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await self.rest()

    async def _is_at_rest(self) -> bool:
        if self.running.done():
            self.running.result()
        in_flight = (await self.outbox.counts()).in_flight
        return self.clock.is_at_rest and in_flight == len(self.gateways.waiting)

    def push(self, twin: Twin, event_id: str | None = "$event", **options: Any) -> Push:
        """A push that came now. `hold_ms`: how long it waits for an acknowledgement."""
        now_ms = self.clock.now_ms()
        return make_push(twin, event_id, received_ms=now_ms, due_ms=now_ms + options.pop("hold_ms", 0), **options)


def make_twin(name: str = "phone", user_id: str = ME, **options: Any) -> Twin:
    """The twin of a phone whose pushkey is its name, at a gateway of that name."""
    url = options.pop("url", f"https://{name}.example/_matrix/push/v1/notify")
    original = {"kind": "http", "app_id": "app", "pushkey": name, "data": {"url": url, "format": "event_id_only"}}
    return Twin(f"hidden-{name}", user_id, "app", name, url, options.pop("original", original), **options)


def make_direct(device_id: str = "DESK", user_id: str = ME, **options: Any) -> DirectPusher:
    defaults: dict[str, Any] = {"is_enabled": True, "delay_ms": 3000, "active_ms": 5000, "fallback": None}
    return DirectPusher(
        user_id, device_id, "desktop", f"key-{device_id}", "direct", original={}, **(defaults | options)
    )


def make_push(twin: Twin, event_id: str | None = "$event", *, received_ms: int, due_ms: int, **options: Any) -> Push:
    unread: int | None = options.pop("unread", 1)
    room_id = options.pop("room_id", ROOM if event_id is not None else "")
    notification: dict[str, Any] = {"counts": {} if unread is None else {"unread": unread}}
    if event_id is not None:
        notification |= {"event_id": event_id, "room_id": room_id}
    return Push(
        hidden_pushkey=twin.hidden_pushkey,
        user_id=twin.user_id,
        event_id=event_id,
        room_id=room_id,
        thread_id=options.pop("thread_id", None),
        unread=unread,
        received_ms=received_ms,
        due_ms=due_ms,
        payload=pack(notification | options.pop("notification", {}), {"pushkey_ts": 7}),
    )
