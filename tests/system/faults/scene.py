"""The programs of a run, what can be done to them, and what is seen of them from outside."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web

from fakes.login1 import FakeLogind
from fakes.notification_server import Misbehaviour
from heliograph.accounts import Account, state_folder
from heliograph.control.client import ask_status
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.errors import EXIT_CONFIG
from heliograph.relay.config import NOTIFY_PATH
from support.waiting import until
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S
from system.faults import schedule as plot
from system.faults.cast import Cast, patient
from system.faults.disk import SmallDisks
from system.faults.oracle import Evidence, owed_to_phone
from system.faults.program import SetClock
from system.faults.record import Sent
from system.faults.schedule import ON_WIRES, Fault, Schedule, Step
from system.faults.screen import Screen
from system.faults.wire import Wire
from system.relay_faults import FaultyGateway
from system.relay_process import RelayProcess

_PROGRAM = Path(__file__).with_name("program.py")
_LETS_SLEEP_S = 4.5
_PUSHED_S = 40.0
"""In which Synapse tries again what failed for some seconds."""


class Phone(FaultyGateway):
    """The user's phone, and when it was rung for what."""

    def __init__(self) -> None:
        super().__init__()
        self.is_failing = False
        self.rung: dict[str, list[float]] = defaultdict(list)

    async def _take(self, request: web.BaseRequest) -> web.Response:
        if self.is_failing:
            return web.json_response({}, status=503)
        now, before = time.monotonic(), len(self.events)
        response = await super()._take(request)
        for event in self.events[before:]:
            self.rung[event].append(now)
        return response


@dataclass
class Scene:
    """Everything of a run that is not a person."""

    server: ThrowawaySynapse
    cast: Cast
    account: Account
    daemon: Daemon
    disks: SmallDisks
    clock: SetClock
    screen: Screen
    logind: FakeLogind
    wires: dict[plot.Wire, Wire]
    phone: Phone
    relay: RelayProcess | None
    kills_s: list[float] = field(default_factory=list)
    relay_faults_s: list[tuple[float, float]] = field(default_factory=list)
    disk_faults_s: list[tuple[float, float]] = field(default_factory=list)
    relay_kills: int = 0
    unrung: list[Sent] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    daemon_logs: list[str] = field(default_factory=list)
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _began_s: float = 0.0

    async def do(self, step: Step) -> None:
        """Has something fail, and mends it."""
        assert isinstance(step.what, Fault)
        async with self._locks[_object(step)]:
            began_s = time.monotonic()
            await self._fail(step)
            if _concerns_the_relay(step):
                self.relay_faults_s.append((began_s, time.monotonic()))

    async def _fail(self, step: Step) -> None:
        fault, pause = step.what, asyncio.sleep
        assert isinstance(fault, Fault)
        if fault in ON_WIRES:
            wire = self.wires[step.wire]
            wire.begin(fault)
            await pause(step.lasts_s)
            wire.end()
            return
        match fault:
            case Fault.SCREEN_HANGS:
                self.screen.misbehaviour = Misbehaviour.HANG_ON_NOTIFY
                await pause(step.lasts_s)
                self.screen.release()
            case Fault.SCREEN_IS_DEAF:
                self.screen.misbehaviour = Misbehaviour.HANG
                await pause(step.lasts_s)
                await self.screen.restart_in_order()
            case Fault.SCREEN_RESTARTS:
                await self.screen.stop()
                await pause(step.lasts_s)
                await self.screen.restart_in_order()
            case Fault.DISK_FULL | Fault.RELAY_DISK_FULL:
                await self._fill("daemon" if fault is Fault.DISK_FULL else "relay", step.lasts_s)
            case Fault.CLOCK_STEPS:
                self.clock.offset_ms += 1000 * step.clock_s
            case Fault.SLEEP | Fault.SUDDEN_SLEEP:
                await self._sleep(step, is_told=fault is Fault.SLEEP)
            case Fault.KILL_DAEMON:
                await self._kill_daemon()
                await pause(step.lasts_s)
                await self._start_daemon()
            case Fault.DISK_READ_ONLY:
                await self._start_on_read_only_disk(step.lasts_s)
            case Fault.KILL_RELAY:
                assert self.relay is not None
                self.relay_kills += 1
                await self.relay.kill()
                await pause(step.lasts_s)
                await self.relay.start()
            case Fault.KILL_SYNAPSE:
                await self.server.kill()
                await pause(step.lasts_s)
                await self.server.start()
            case Fault.GATEWAY_FAILS:
                self.phone.is_failing = True
                await pause(step.lasts_s)
                self.phone.is_failing = False

    async def _fill(self, disk: str, seconds: float) -> None:
        began_s = time.monotonic()
        await asyncio.to_thread(self.disks.fill, disk)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.disks.empty, disk)
        if disk == "daemon":
            self.disk_faults_s.append((began_s, time.monotonic()))

    async def _sleep(self, step: Step, *, is_told: bool) -> None:
        """The machine's own clocks stand still; the connections end without a word."""
        if is_told:
            await self.logind.suspend(_LETS_SLEEP_S)
        near = self.wires[plot.Wire.NEAR]
        async with self._locks[plot.Wire.NEAR]:
            self.daemon.freeze()
            near.begin(Fault.HALF_OPEN)
            self.clock.offset_ms += 1000 * step.clock_s
            await asyncio.sleep(step.lasts_s)
            near.end()
            self.daemon.thaw()
        if is_told:
            self.logind.resume()

    async def _kill_daemon(self) -> None:
        self.note_end()
        self.kills_s.append(time.monotonic())
        await self.daemon.kill()
        self.daemon_logs.append(self.daemon.log)

    async def _start_daemon(self) -> None:
        self._began_s = time.monotonic()
        await self.daemon.start(until_connected=False)

    async def _start_on_read_only_disk(self, seconds: float) -> None:
        """It must say so and end; whoever runs it starts it again once that is mended."""
        await self._kill_daemon()
        await asyncio.to_thread(self.disks.make_read_only, "daemon")
        await self.daemon.start(until_connected=False)
        await until(lambda: self.daemon.exit_code is not None, "the end of a daemon without a disk", PATIENCE_S)
        code = self.daemon.exit_code
        if code != EXIT_CONFIG or "may write to" not in self.daemon.log:
            self.ends.append(f"on a read-only disk the daemon ended with {code}, saying {self.daemon.log[-500:]}")
        self.daemon_logs.append(self.daemon.log)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(lambda: self.disks.make_read_only("daemon", is_so=False))
        await self._start_daemon()

    def note_end(self) -> int | None:
        """The exit code of a daemon that ended by itself; but for a disk that took nothing, it must not."""
        code = self.daemon.exit_code
        if code is not None:
            was_full = any(ended > self._began_s for _, ended in self.disk_faults_s)
            if not (code == EXIT_CONFIG and was_full):
                self.ends.append(f"the daemon ended by itself, with {code}: {self.daemon.log[-1000:]}")
        return code

    async def keep_desktop_away(self) -> None:
        """With the daemon gone the phone must ring for whatever nobody rang for."""
        if self.note_end() is None:
            await self._kill_daemon()
        with contextlib.suppress(AssertionError):
            await until(self._nothing_is_owed, "the pushes", _PUSHED_S)
        self.unrung = owed_to_phone(await self.look())
        await self._start_daemon()

    async def _nothing_is_owed(self) -> bool:
        await asyncio.sleep(0.1)
        return not owed_to_phone(await self.look())

    async def mend(self) -> None:
        """Everything is in order from now on, and the daemon is told that the network is back."""
        if self.note_end() is not None:
            self.daemon_logs.append(self.daemon.log)
            await self._start_daemon()
        self.logind.resume()

    async def look(self) -> Evidence:
        """What is seen now."""
        near = self.wires[plot.Wire.NEAR]
        return Evidence(
            sent=[replace(each) for each in self.cast.record.sent],
            listed=await self._list(),
            tellings=tuple(self.screen.tellings),
            on_screen=[f"{each.summary}\n{each.body}" for each in self.screen.on_screen.values()],
            states=await asyncio.to_thread(self._states),
            syncs=near.syncs,
            kills_s=self.kills_s,
            screen_lost_s=[*self.screen.restarts_s, *self.screen.late_s],
            is_direct=self.relay is not None,
            acknowledged=near.acknowledged,
            pushed=self.phone.rung,
            relay_faults_s=self.relay_faults_s,
            relay_kills=self.relay_kills,
            unrung=self.unrung,
            logs=self._logs(),
            ends=self.ends,
        )

    def _states(self) -> dict[str, str]:
        ledger = state_folder(self.account.user_id).relative_to(self.disks.outside("daemon")) / "ledger.db"
        rows = self.disks.query("daemon", ledger, "SELECT event_id, room_id, state FROM deliveries ORDER BY position")
        # /sync tells no event ids of invites; each room invites once.
        invites = {each.room_id: each.event_id for each in self.cast.record.sent if each.is_invite}
        return {
            invites.get(room, event) if event.startswith("invite:") else event: state for event, room, state in rows
        }

    def _logs(self) -> dict[str, str]:
        logs = {"daemon": "\n".join([*self.daemon_logs, self.daemon.log])}
        return logs if self.relay is None else logs | {"relay": self.relay.log}

    async def _list(self) -> dict[str, bool]:
        listed: dict[str, bool] = {}
        token: str | None = None
        while True:
            more = {} if token is None else {"from": token}
            page = await self.cast.me.call("GET", "/notifications", limit="200", **more)
            listed |= {each["event"]["event_id"]: each["read"] for each in page["notifications"]}
            token = page.get("next_token")
            if token is None or not page["notifications"]:
                return listed


def _object(step: Step) -> str:
    """What a fault is of: two of the same follow one another."""
    if step.what in ON_WIRES:
        return step.wire
    word = str(step.what.name)
    if word.startswith("SCREEN"):
        return "screen"
    if word in {"SLEEP", "SUDDEN_SLEEP", "KILL_DAEMON", "DISK_READ_ONLY", "DISK_FULL"}:
        return "daemon"
    return "relay" if "RELAY" in word else word


def _concerns_the_relay(step: Step) -> bool:
    return step.what in ON_WIRES or step.what in (Fault.RELAY_DISK_FULL, Fault.KILL_RELAY, Fault.KILL_SYNAPSE)


@contextlib.asynccontextmanager
async def set_up(
    server: ThrowawaySynapse, schedule: Schedule, folder: Path, bus_address: str, disks: SmallDisks
) -> AsyncIterator[Scene]:
    """Everything runs, is connected, and in order. `disks` are called "daemon", where state is kept, and "relay"."""
    dice = random.Random(schedule.seed)
    async with contextlib.AsyncExitStack() as stack:
        phone = Phone()
        await stack.enter_async_context(phone)
        relay: RelayProcess | None = None
        wires: dict[plot.Wire, Wire] = {}
        if schedule.has_relay:
            far = wires[plot.Wire.FAR] = await stack.enter_async_context(Wire(server.base_url, dice))
            relay = RelayProcess(far.url, disks.inside("relay"))
            relay.prefix = disks.enter
            push = wires[plot.Wire.PUSH] = await stack.enter_async_context(Wire(relay.url, dice))
            relay.options = ("--gateway-url", push.url + NOTIFY_PATH)
        near = Wire(server.base_url if relay is None else relay.url, dice)
        wires[plot.Wire.NEAR] = await stack.enter_async_context(near)
        starting = None if relay is None else asyncio.create_task(relay.start())
        if relay is not None:
            stack.push_async_callback(relay.kill)
        screen, logind = Screen(bus_address), FakeLogind(bus_address)
        await screen.start()
        stack.push_async_callback(screen.stop)
        await logind.start()
        stack.push_async_callback(logind.stop)
        cast = await Cast.gather(server, secrets.token_hex(4))
        stack.push_async_callback(cast.leave)
        account = await sign_in(replace(cast.me, base_url=near.url))
        if relay is not None and starting is not None:
            await starting
            handset = patient(replace(await cast.me.login_again("Phone"), base_url=relay.url))
            await handset.call("POST", "/pushers/set", _http_pusher(phone))
        clock = SetClock(folder / "clock")
        daemon = Daemon(str(folder / "clock"), str(disks.inside("daemon")), launcher=_PROGRAM, prefix=disks.enter)
        await stack.enter_async_context(daemon)
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        await cast.get_keys(account, folder / "peers")
        if relay is not None:
            await until(_is_registered, "the direct pusher", PATIENCE_S)
        yield Scene(server, cast, account, daemon, disks, clock, screen, logind, wires, phone, relay)


async def _is_registered() -> bool:
    answer = await ask_status()
    return bool(answer and answer["accounts"][0]["pusher"]["registered"] is True)


def _http_pusher(phone: Phone) -> dict[str, object]:
    return {
        "kind": "http",
        "app_id": "org.example.phone",
        "pushkey": "phone-pushkey",
        "app_display_name": "Phone",
        "device_display_name": "A phone",
        "lang": "en",
        "data": {"url": phone.url},
    }
