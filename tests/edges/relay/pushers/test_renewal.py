"""Beside a real Synapse: what failed while the relay was down is made up for with the user's next request."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edges.relay.conftest import Scene
from edges.relay.running import pushed
from edges.relay.stage import make_twin
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.relay.pushers import renewal
from heliograph.relay.wire.missed import missed_push
from support.waiting import until

FAILURES = 5
"""After so many Synapse waits for more than half a minute."""


async def fail(scene: Scene, synapse: ThrowawaySynapse) -> list[str]:
    """Messages whose pushes the homeserver cannot deliver, and after which it tries again only much later."""
    sent = []
    for number in range(FAILURES):
        sent.append(await scene.send(f"message {number}"))
        await until_listed(scene, synapse, sent[-1])
        # As long as a push is under way, Synapse takes the next message for news, and each counts as a failure.
        await asyncio.sleep(0.1)
    return sent


async def until_listed(scene: Scene, synapse: ThrowawaySynapse, event_id: str) -> None:
    me = replace(scene.desktop.user, base_url=synapse.base_url)

    async def is_listed() -> bool:
        told = await me.call("GET", "/notifications", limit="3")
        return event_id in [each["event"]["event_id"] for each in told["notifications"]]

    await until(is_listed, "the homeserver to have judged it")


@pytest.mark.parametrize("path", ["/account/whoami", "/sync"])
async def test_after_an_outage_phones_ring_without_waiting_for_the_homeserver(
    scene: Scene, synapse: ThrowawaySynapse, path: str
) -> None:
    await scene.desktop.become_direct(active_ms=0)
    await pushed(scene.gateway, before := await scene.send("before"))
    await scene.relay.stop()
    sent = await fail(scene, synapse)
    await scene.relay.start()
    await scene.phone.user.call("GET", path)
    for event_id in sent:
        await pushed(scene.gateway, event_id)
    await until(lambda: not _is_due(scene), "the end of the renewal")
    later = await scene.send("later")
    await pushed(scene.gateway, later)
    await until(scene.is_settled, "the end of the queue")
    assert scene.gateway.events == [before, *sent, later]
    assert all("org.example.custom" in push["devices"][0]["data"] for push in scene.gateway.pushes)


async def test_after_an_outage_a_desktop_that_is_back_keeps_the_phone_silent(
    scene: Scene, synapse: ThrowawaySynapse
) -> None:
    await scene.desktop.become_direct(delay_ms=60_000, active_ms=60_000)
    await scene.relay.stop()
    sent = await fail(scene, synapse)
    await scene.relay.start()
    async with scene.desktop.syncing():
        await until(lambda: set(sent) <= set(scene.desktop.notified), "the notifications")
        await until(lambda: not _is_due(scene), "the end of the renewal")
        await until(scene.is_settled, "the acknowledgements")
    assert scene.gateway.events == []


async def test_what_was_read_in_the_outage_rings_nowhere_and_the_homeserver_begins_anew(
    scene: Scene, synapse: ThrowawaySynapse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "SHORT_MS", -1)
    await scene.desktop.become_direct(active_ms=0)
    await scene.relay.stop()
    sent = await fail(scene, synapse)
    await replace(scene.phone.user, base_url=synapse.base_url).read(scene.room, sent[-1])
    await scene.relay.start()
    await scene.phone.user.call("GET", "/account/whoami")
    await until(lambda: not _is_due(scene), "the end of the renewal")
    later = await scene.send("later")
    await pushed(scene.gateway, later)
    assert scene.gateway.events == [later]


async def test_a_short_outage_in_which_nothing_came_sets_nothing_anew(scene: Scene, synapse: ThrowawaySynapse) -> None:
    await scene.desktop.become_direct(active_ms=0)
    await pushed(scene.gateway, await scene.send("before"))
    await until(scene.is_settled, "the end of the queue")
    await scene.relay.stop()
    asked = synapse.access_log.read_text().count("/pushers/set")
    await scene.relay.start()
    await scene.phone.user.call("GET", "/account/whoami")
    await until(lambda: not _is_due(scene), "the end of the renewal")
    assert synapse.access_log.read_text().count("/pushers/set") == asked


def _is_due(scene: Scene) -> bool:
    """Whether nobody has looked yet what the user's phones missed."""
    return any(task.get_name() in ("who passes", "comparing pushers") for task in asyncio.all_tasks())


def test_an_entry_becomes_the_push_that_the_homeserver_would_have_sent() -> None:
    entry = (
        b'{"actions": ["notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"}],'
        b' "read": false, "room_id": "!r:x", "ts": 1, "event": {"event_id": "$1",'
        b' "type": "m.room.message", "sender": "@a:x", "content": {"body": "hello"}, "origin_server_ts": 1}}'
    )
    brief, full = make_twin(), make_twin(original={"data": {"url": "https://gateway.example"}})
    device = {"tweaks": {"sound": "default", "highlight": True}}
    told = {"event_id": "$1", "room_id": "!r:x", "prio": "high"}
    assert missed_push(entry, brief) == (told, device)
    whole = told | {"type": "m.room.message", "sender": "@a:x", "content": {"body": "hello"}}
    assert missed_push(entry, full) == (whole, device)
    assert missed_push(entry.replace(b'"read": false', b'"read": true'), full) is None
    assert missed_push(b"[]", full) is None
    assert missed_push(b"{", full) is None
