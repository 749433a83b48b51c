"""The relay is taken out from behind nginx: first its pushers, then its lines of nginx's configuration, then itself."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import NewUser
from edges.relay.running import Device, GatewayServer, RunningRelay, http_body
from heliograph.cli import relay_leave
from heliograph.demo.homeserver import ThrowawaySynapse
from support.recipes import HOMESERVER, RELAY, recipe, recipe_without_relay
from support.reverse_proxy import ReverseProxy
from support.waiting import until

Json = dict[str, Any]


async def offers_direct_push(device: Device) -> bool:
    told = await device.user.call("GET", "/_matrix/client/versions")
    return "org.matrix.msc3361" in told["unstable_features"]


async def is_settled(relay: RunningRelay) -> bool:
    return (await relay.relay.outbox.counts()).waiting.pushes == 0


async def test_phones_ring_without_the_relay_as_before_it(
    synapse: ThrowawaySynapse,
    new_user: NewUser,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_leave, "PAUSE_S", 0.1)
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    folder = tmp_path / "relay"
    relay = RunningRelay(synapse.base_url, folder)
    ports = {RELAY: relay.port, HOMESERVER: synapse.port}
    async with (
        GatewayServer() as gateway,
        ReverseProxy("nginx", recipe_without_relay(), ports, tmp_path / "nginx") as front,
    ):
        desktop = await Device.begin(me, front)
        phone = await Device.begin(await me.login_again("Phone"), front)
        tablet = await Device.begin(await me.login_again("Tablet"), front)
        await phone.set_pusher(http_body(gateway))
        before = await phone.pushers()

        async with relay:
            await front.reload(recipe("nginx"))
            assert await offers_direct_push(desktop)
            await desktop.become_direct(delay_ms=60_000, active_ms=60_000)
            body = http_body(gateway, "tablet-pushkey", append=True)
            await tablet.set_pusher(body)
            async with desktop.syncing():
                held = await alice.send_text(room, "through the relay")
                await until(lambda: held in desktop.notified, "the notification")
                await until(partial(is_settled, relay), "the acknowledgement")

            leaving = asyncio.create_task(relay_leave.follow_leaving(folder, once=False, cancel=False))

            async def is_over() -> bool:
                for device in (desktop, phone, tablet):
                    await device.user.call("GET", "/joined_rooms")
                return leaving.done()

            await until(is_over, "the end of the command")
            assert await leaving == 0
            assert "Nothing leads through the relay any more." in capsys.readouterr().out
            await front.reload(recipe_without_relay())

        last = await alice.send_text(room, "without the relay")

        def rung() -> list[str]:
            """Pushkeys for which the last message was pushed."""
            pushes = [push for push in gateway.pushes if push.get("event_id") == last]
            return sorted(device["pushkey"] for push in pushes for device in push["devices"])

        await until(lambda: len(rung()) >= 2, "both phones")
        assert rung() == ["phone-pushkey", "tablet-pushkey"]
        assert held not in gateway.events
        listed = await phone.pushers()
        assert [each for each in listed if each["pushkey"] == "phone-pushkey"] == before
        (other,) = (each for each in listed if each["pushkey"] != "phone-pushkey")
        assert other["data"] == body["data"]
        assert other["org.matrix.msc3881.device_id"] == tablet.user.device_id
