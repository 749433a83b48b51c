"""Real Synapse, relay and daemon, and a push gateway: who rings, whatever fails in between."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path

import pytest

from conftest import NewUser
from edges.relay.running import Device, GatewayServer, http_body
from fakes.notification_server import NotificationServer
from heliograph.errors import Refused, Unreachable
from support.guarded_synapse import GuardedSynapse
from support.waiting import until
from system.daemon import Daemon
from system.evidence import PATIENCE_S
from system.relay_faults import Cable, FaultyGateway
from system.relay_launcher import STEPS
from system.relay_process import RelayProcess
from system.relay_scene import Scene, set_up

_PATIENCE_OF_SYNAPSE_S = 90.0
_NEXT_MESSAGE_S = 5.0
"""Synapse waits twice as long after each push that its gateway did not take, and each killed relay is one of those."""


@pytest.mark.expected_log(r"^daemon warning: @\S+: the connection was closed without an answer$", times=(1, None))
async def test_wherever_the_cable_is_cut_each_message_rings_at_the_phone_if_the_desktop_has_not_acknowledged_it(
    scene: Scene, seed: int, is_long: bool
) -> None:
    rng = random.Random(seed)
    everything: list[str] = []
    async with Daemon():
        await scene.ready()
        await scene.become_hasty()
        for _ in range(50 if is_long else 6):
            await until(lambda: scene.cable.is_polling, "a poll", PATIENCE_S)
            sending = asyncio.gather(*(scene.send(room=number) for number in range(4)))
            await asyncio.sleep(rng.uniform(0, 0.25))
            scene.cable.cut()
            sent = await sending
            everything += sent
            await scene.told(sent)
            await scene.relay.settled()
            # One side, and neither both nor none.
            assert set(scene.gateway.events) & set(sent) == set(sent) - scene.cable.acknowledged
            scene.cable.mend()
            # What rang at the phone is still listed: the desktop has it for whoever comes back.
            await scene.acknowledged(sent)
        await scene.arrived(everything)
    assert len(scene.gateway.events) == len(set(scene.gateway.events))


async def test_wherever_the_relay_is_killed_nothing_is_lost(relay: RelayProcess, new_user: NewUser) -> None:
    async with GatewayServer() as gateway:
        me, alice = await new_user("me"), await new_user("alice")
        room = await alice.create_room("Lunch", invite=[me])
        await me.join(room)
        desktop = await Device.begin(me, relay)
        await desktop.become_direct(delay_ms=600, active_ms=30_000)
        await desktop.set_pusher(http_body(gateway))
        sent: list[str] = []
        polling = asyncio.create_task(_poll_on(desktop))
        for step in STEPS:
            await relay.kill()
            if "sent" in step:
                # Nobody acknowledges.
                await _end(polling)
            await relay.start(step)
            # A relay that finds pushers behind an outage sets them anew: Synapse then pushes what comes after that, and
            # what came before is told from its list. So there may have to be another message.
            deadline = time.monotonic() + _PATIENCE_OF_SYNAPSE_S
            while not relay.has_died:
                assert time.monotonic() < deadline, f"the death at {step} did not come"
                sent.append(await alice.send_text(room, step))
                with contextlib.suppress(AssertionError):
                    await until(lambda: relay.has_died, "a death", _NEXT_MESSAGE_S)
        await relay.kill()
        await relay.start()
        polling = asyncio.create_task(_poll_on(desktop))
        await until(lambda: set(sent) <= {*desktop.notified, *gateway.events}, "the rings")
        await _end(polling)
        await relay.settled()
        await desktop.sync_until(sent[-1])
    assert set(desktop.notified) >= set(sent)
    assert set(gateway.events) < set(sent)


async def _poll_on(desktop: Device) -> None:
    while True:
        try:
            await desktop.sync()
        except (Unreachable, Refused):
            await asyncio.sleep(0.05)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.expected_log(r"^daemon warning: @\S+: answered HTTP 502 without a word$", times=(0, None))
async def test_a_relay_that_is_killed_again_and_again_loses_nothing(scene: Scene, seed: int, is_long: bool) -> None:
    rng = random.Random(seed)
    sent: list[str] = []
    async with Daemon():
        await scene.ready()
        for _ in range(30 if is_long else 2):

            async def write(room: int) -> None:
                for number in range(4):
                    sent.append(await scene.send(f"message {number}", room))

            writing = asyncio.gather(*(write(room) for room in range(2)))
            await asyncio.sleep(rng.uniform(0, 0.3))
            await scene.relay.kill()
            await writing
            await scene.relay.start()
            await until(lambda: set(sent) <= scene.shown() | set(scene.gateway.events), "a ring of each", PATIENCE_S)
        await scene.arrived(sent)
        await scene.relay.settled()
    assert scene.shown() == set(sent)


async def test_a_gateway_that_is_slow_limits_fails_and_goes_away_gets_everything_in_order(
    scene: Scene, is_long: bool
) -> None:
    await scene.have_direct_pusher()
    scene.gateway.faults = [429, 0.5, 503, 0.3]
    sent = [await scene.send(f"message {number}") for number in range(3)]
    await scene.pushed(sent)
    await scene.gateway.stop()
    sent += [await scene.send(f"while it was down {number}") for number in range(3)]
    await until(lambda: scene.relay.waiting() == 3, "the queue")
    await asyncio.sleep(60 if is_long else 0)
    await scene.gateway.start()
    await until(lambda: set(sent) <= set(scene.gateway.events), "the pushes", 120)
    assert scene.gateway.events == sent


async def test_a_push_that_is_too_large_for_the_gateway_goes_without_its_content(scene: Scene) -> None:
    await scene.have_direct_pusher()
    scene.gateway.limit = 2048
    sent = [await scene.send("x" * 4000), await scene.send("short")]
    await scene.pushed(sent)
    assert scene.gateway.events == sent


@pytest.mark.expected_log(
    r"^daemon warning: @\S+: answered HTTP 502: M_UNKNOWN The homeserver does not answer. Try again later$",
    times=(0, None),
)
async def test_a_homeserver_that_restarts_leaves_nothing_unrung(screen: NotificationServer, tmp_path: Path) -> None:
    async with (
        GuardedSynapse() as server,
        RelayProcess(server.base_url, tmp_path / "relay") as relay,
        Cable(relay.url) as cable,
        FaultyGateway() as gateway,
    ):
        scene = await set_up(server, relay, cable, gateway, await server.register("me"), await server.register("alice"))
        async with Daemon():
            await scene.ready()
            sent = [await scene.send("before")]
            await server.restart()
            sent += [await scene.send("just after")]
            await until(lambda: set(sent) <= scene.shown() | set(gateway.events), "a ring of each", PATIENCE_S)
            await scene.arrived(sent)
            await relay.settled()
            before = list(gateway.events)
            sent += [await scene.send("much later")]
            await scene.arrived(sent)
            await relay.settled()
            assert gateway.events == before
