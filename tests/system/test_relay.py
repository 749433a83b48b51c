"""Real Synapse, relay, daemon and a push gateway on one machine: either the desktop rings or the phone does."""

from __future__ import annotations

import asyncio

import pytest

from support.waiting import until
from system.daemon import Daemon
from system.evidence import decisions
from system.relay_process import RelayProcess
from system.relay_scene import Scene


async def test_of_many_messages_all_ring_at_the_desktop_with_their_events_and_none_at_the_phone(
    scene: Scene, is_long: bool
) -> None:
    async def write(room: int) -> list[str]:
        return [await scene.send(f"message {number}", room) for number in range(125 if is_long else 25)]

    async with Daemon():
        await scene.ready()
        sent = [each for part in await asyncio.gather(*map(write, range(4))) for each in part]
        await scene.arrived(sent)
        await scene.relay.settled()
    assert scene.gateway.events == []
    assert sorted(scene.cable.brought) == sorted(sent)
    assert scene.cable.apart == []
    assert scene.shown() == set(sent)


async def test_a_message_that_stays_alone_does_not_ring_twice(scene: Scene) -> None:
    async with Daemon():
        await scene.ready()
        for number in range(3):
            sent = await scene.send(f"message {number}")
            await scene.arrived([sent])
            await scene.relay.settled()
    assert scene.gateway.events == []


async def test_while_the_desktop_is_away_all_ring_at_the_phone_in_their_order(scene: Scene, is_long: bool) -> None:
    async with Daemon() as daemon:
        await scene.ready()
        await daemon.stop()
        sent = [await scene.send(f"message {number}") for number in range(500 if is_long else 40)]
        await scene.pushed(sent)
        await scene.relay.settled()
    assert scene.gateway.events == sent
    assert scene.shown() == set()


@pytest.mark.expected_log(r"^daemon warning: @\S+: the connection was closed without an answer$", times=(0, 2))
async def test_what_is_read_on_the_phone_during_the_hold_rings_nowhere(scene: Scene) -> None:
    async with Daemon():
        await scene.ready()
        scene.cable.cut()
        read = await scene.send("read on the phone")
        await until(lambda: scene.relay.waiting() == 1, "the hold")
        await scene.phone.read(scene.rooms[0], read)
        await scene.relay.settled()
        probe = await scene.send("probe")
        await scene.pushed([probe])
        scene.cable.mend()
        await scene.arrived([probe])
        # Here, so that the daemon's log is shown with a failure.
        assert scene.gateway.events == [probe]
        assert read not in scene.shown()


@pytest.mark.expected_log(r"^daemon warning: @\S+: the connection was closed without an answer$", times=(0, 2))
async def test_what_is_read_while_an_answer_is_lost_stays_silent_once_the_homeserver_lists_it_no_more(
    scene: Scene,
) -> None:
    """Synapse clears its list of what was read twice a minute, and keeps the answer to a poll for two minutes."""
    async with Daemon():
        await scene.ready()
        scene.cable.cut()
        read = await scene.send("read on the phone")
        await until(lambda: scene.cable.lost, "the answer that is lost")
        await scene.phone.read(scene.rooms[0], read)

        async def is_cleared() -> bool:
            listed = (await scene.phone.call("GET", "/notifications"))["notifications"]
            return all(each["event"]["event_id"] != read for each in listed)

        await until(is_cleared, "the clearing of the list", 60)
        scene.cable.mend()
        probe = await scene.send("probe")
        await scene.arrived([probe])
        # Not what is on the screen by now, but whether it ever rang.
        assert decisions(scene.account)[read] == "silent"


async def test_it_ends_when_asked_to(relay: RelayProcess) -> None:
    assert await relay.stop() == 0
    await relay.start()
