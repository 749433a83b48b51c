"""The relay is taken out of service in the order that docs/relay.md gives."""

from __future__ import annotations

from dataclasses import replace

from edges.relay.conftest import Scene
from edges.relay.running import http_body, pushed
from heliograph.demo.homeserver import ThrowawaySynapse
from support.waiting import until


async def test_a_phone_rings_at_each_step_and_what_is_left_can_be_removed(
    scene: Scene, synapse: ThrowawaySynapse
) -> None:
    phone = replace(scene.phone.user, base_url=synapse.base_url)

    # Clients go past the relay, which still runs: it sends on what the homeserver pushes to it.
    await pushed(scene.gateway, await scene.send("through the relay"))

    # The phone's app registers anew, with the homeserver itself.
    await phone.call("POST", "/pushers/set", http_body(scene.gateway))
    await pushed(scene.gateway, await scene.send("registered anew"))

    await scene.relay.stop()
    last = await scene.send("without the relay")
    await pushed(scene.gateway, last)
    assert scene.gateway.events.count(last) == 1
    (push,) = [push for push in scene.gateway.pushes if push.get("event_id") == last]
    assert [device["pushkey"] for device in push["devices"]] == ["phone-pushkey"]

    listed = (await phone.call("GET", "/pushers"))["pushers"]
    left = [pusher for pusher in listed if scene.relay.url in pusher["data"]["url"]]
    assert left
    for pusher in left:
        removal = {"kind": None, "app_id": pusher["app_id"], "pushkey": pusher["pushkey"]}
        await phone.call("POST", "/pushers/set", removal)
    kept = (await phone.call("GET", "/pushers"))["pushers"]
    assert [pusher["pushkey"] for pusher in kept] == ["phone-pushkey"]


async def test_a_phone_that_does_not_register_anew_stays_silent_without_the_relay(
    scene: Scene, synapse: ThrowawaySynapse
) -> None:
    await scene.relay.stop()
    event_id = await scene.send("to nobody")
    me = replace(scene.desktop.user, base_url=synapse.base_url)

    async def is_listed() -> bool:
        told = await me.call("GET", "/notifications", limit="3")
        return event_id in [each["event"]["event_id"] for each in told["notifications"]]

    await until(is_listed, "the homeserver to have judged it")
    listed = (await me.call("GET", "/pushers"))["pushers"]
    assert {pusher["data"]["url"] for pusher in listed} == {f"{scene.relay.url}/_matrix/push/v1/notify"}
    assert scene.gateway.events == []
