"""`tests/workers/run`: the recipe for workers of docs/relay.md before a Synapse that has them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from edges.relay.running import Device, GatewayServer, RunningRelay, http_body
from heliograph.demo.user import DemoUser
from heliograph.relay.config import RelayConfig
from support.ports import reserve_port
from support.recipes import CLIENT_WORKER, HOMESERVER, INNER, RELAY, SYNC_WORKER, recipe_with_workers
from support.reverse_proxy import ReverseProxy
from support.waiting import until
from system.relay_bypass import Place, findings, pass_the_relay_by
from workers.replication import Replication
from workers.services import Redis, a_postgresql
from workers.synapse import CLIENT, PATIENCE_S, SYNC, SplitSynapse, Worker, a_split_synapse

LAG_S, LAGS_FOR_S = 0.1, 5.0


@dataclass(frozen=True)
class Stage:
    """What runs."""

    place: Place
    main: SplitSynapse
    workers: list[Worker]
    redis: Redis
    replication: Replication

    async def user(self, name: str) -> DemoUser:
        return await self.main.register(name)


@contextlib.asynccontextmanager
async def a_stage() -> AsyncIterator[Stage]:
    class Ports: ...

    holder = Ports()
    postgresql, redis, way, inner = (reserve_port(holder) for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="heliograph-workers-") as name:
        folder = Path(name)
        with a_postgresql(postgresql), Redis(redis, folder) as redis_server:
            async with Replication(way, redis) as replication, a_split_synapse(postgresql, way) as (main, workers):
                homeserver = f"http://127.0.0.1:{inner}"
                relay = RunningRelay(homeserver, folder / "relay")
                synapse = {HOMESERVER: main.port, SYNC_WORKER: main.ports[SYNC], CLIENT_WORKER: main.ports[CLIENT]}
                ports = {RELAY: relay.port, INNER: inner, **synapse}
                async with relay, ReverseProxy("nginx", recipe_with_workers(), ports, folder / "proxy") as front:
                    config = RelayConfig(homeserver=homeserver, listen=f"127.0.0.1:{relay.port}")
                    yield Stage(Place(front, relay, config), main, workers, redis_server, replication)


async def play(stage: Stage, messages: int) -> list[str]:
    """Prints what came of each part, and returns what is wrong."""
    wrong = [each.text for each in await findings(stage.place, await stage.user("operator")) if not each.is_good]
    print(f"relay check: {wrong or 'all is good'}", flush=True)
    await pass_the_relay_by(stage.place, await stage.user("me"), await stage.user("alice"))
    print("past the relay and back: all as before", flush=True)
    scenes: dict[str, Callable[[], Awaitable[None]]] = {"nothing": _nothing}
    scenes |= {f"{worker.name} restarts": worker.restart for worker in stage.workers}
    scenes["main process restarts"] = stage.main.restart
    scenes["Redis restarts"] = lambda: asyncio.to_thread(stage.redis.restart)
    scenes[f"replication lags {1000 * LAG_S:.0f} ms"] = lambda: stage.replication.lag(LAG_S, LAGS_FOR_S)
    for number, (what, disturb) in enumerate(scenes.items()):
        me, alice = await stage.user(f"me{number}"), await stage.user(f"alice{number}")
        wrong += [f"{what}: {each}" for each in await _stream(stage, what, me, alice, messages, disturb)]
    return wrong


async def _nothing() -> None:
    """An undisturbed stream."""


async def _stream(
    stage: Stage, what: str, me: DemoUser, alice: DemoUser, messages: int, disturb: Callable[[], Awaitable[None]]
) -> list[str]:
    """Messages in a row, in the middle of which something happens: none may be lost, or ring twice at one device."""
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    async with GatewayServer() as gateway:
        desktop = await Device.begin(me, stage.place.front)
        phone = await Device.begin(await me.login_again("Phone"), stage.place.front)
        await desktop.become_direct(delay_ms=3_000, active_ms=5_000)
        await phone.set_pusher(http_body(gateway))
        sent: list[str] = []
        took: list[float] = []
        nudges = _nudges(stage)
        async with _syncing(desktop, took, begun := {}):
            for number in range(messages):
                if number == messages // 2:
                    disturbing = asyncio.ensure_future(disturb())
                begun_at = time.monotonic()
                sent.append(event_id := await _send(alice, room, f"message {number}"))
                begun[event_id] = begun_at
                await asyncio.sleep(0.1)
            await disturbing
            await until(lambda: set(sent) <= {*desktop.notified, *gateway.events}, "the rings", PATIENCE_S)
            await until(stage.place.is_settled, "the end of the queue", PATIENCE_S)
        both = set(sent) & set(desktop.notified) & set(gateway.events)
        doubled = [each for rung in (desktop.notified, gateway.events) for each in set(rung) if rung.count(each) > 1]
        print(
            f"{what}: {messages} sent, {len(set(desktop.notified) & set(sent))} told"
            f" ({len(set(desktop.together) & set(sent))} with their events), {len(set(gateway.events) & set(sent))} on"
            f" the phone, {len(both)} on both, {_nudges(stage) - nudges} nudges; from sending to told"
            f" p50 {1000 * statistics.median(took):.0f} ms",
            flush=True,
        )
        return [f"{len(doubled)} rang twice at one device"] if doubled else []


async def _send(alice: DemoUser, room: str, text: str) -> str:
    """Again and again, since the process that takes it may be the one that restarts."""
    sent: list[str] = []

    async def is_sent() -> bool:
        with contextlib.suppress(Exception):
            sent.append(await alice.send_text(room, text))
        return bool(sent)

    await until(is_sent, "the sending", PATIENCE_S)
    return sent[0]


@contextlib.asynccontextmanager
async def _syncing(desktop: Device, took: list[float], begun: dict[str, float]) -> AsyncIterator[None]:
    """Meanwhile the desktop syncs on and on, whatever its requests end with."""

    async def go_on() -> None:
        while True:
            with contextlib.suppress(Exception):
                listed = await desktop.sync(10_000)
                took.extend(time.monotonic() - begun[each] for each in listed if each in begun)
                continue
            await asyncio.sleep(0.2)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _nudges(stage: Stage) -> int:
    """How often the relay had to move a token, by the access log that all processes of Synapse share."""
    return stage.main.access_log.read_text(errors="replace").count("/sendToDevice/io.github.heliograph.nudge/")


async def _run(messages: int) -> int:
    async with a_stage() as stage:
        wrong = await play(stage, messages)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return 1 if wrong else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/workers/run", description="The relay before workers of Synapse.")
    parser.add_argument("--messages", type=int, default=50, help="how many in each part")
    raise SystemExit(asyncio.run(_run(parser.parse_args().messages)))


if __name__ == "__main__":
    main()
