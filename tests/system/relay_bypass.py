"""A reverse proxy leads clients through the relay, past it while it is down, and through it again."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from edges.relay.running import Device, GatewayServer, RunningRelay, http_body, pushed
from heliograph.core.finding import Finding
from heliograph.demo.user import DemoUser
from heliograph.relay.check.check import check_relay
from heliograph.relay.check.signing_in import Credentials
from heliograph.relay.config import RelayConfig
from support.reverse_proxy import ReverseProxy
from support.waiting import until

LONG = "x" * 60_000


@dataclass(frozen=True)
class Place:
    """A running homeserver and relay, and the public address that leads to both."""

    front: ReverseProxy
    relay: RunningRelay
    config: RelayConfig

    async def is_settled(self) -> bool:
        """No push waits or is on its way."""
        counts = await self.relay.relay.outbox.counts()
        return counts.waiting.pushes + counts.in_flight == 0


async def findings(place: Place, user: DemoUser) -> list[Finding]:
    """Those of `heliograph relay check`."""
    credentials = Credentials(token=user.access_token)
    return [each async for each in check_relay(place.config, credentials, place.front.url)]


async def pass_the_relay_by(place: Place, me: DemoUser, alice: DemoUser) -> None:
    """A phone and a desktop set their pushers anew while the relay is down, and all is as before when it is back."""
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    async with GatewayServer() as gateway:
        desktop = await Device.begin(me, place.front)
        phone = await Device.begin(await me.login_again("Phone"), place.front)
        await desktop.become_direct(delay_ms=20_000, active_ms=20_000)
        await phone.set_pusher(http_body(gateway))
        await _ring_at_each(place, alice, room, desktop, gateway)

        await place.relay.stop()
        assert "org.matrix.msc3361" not in await _features(desktop.user)
        # Nothing that a client sends is lost, however long it is.
        await phone.user.send_text(room, LONG)
        await phone.set_pusher(http_body(gateway))
        await desktop.become_direct(delay_ms=20_000, active_ms=20_000)
        missed = await alice.send_text(room, "while the relay is down")
        await place.relay.start()

        async def is_led_through() -> bool:
            # Caddy looks only now and then whether the first address answers again.
            return "org.matrix.msc3361" in await _features(desktop.user)

        await until(is_led_through, "the way through the relay")
        await phone.user.call("GET", "/account/whoami")
        await desktop.sync_until(missed)
        await _ring_at_each(place, alice, room, desktop, gateway)
        shown = {(each["kind"], each["pushkey"]) for each in await phone.pushers()}
        assert shown == {("http", "phone-pushkey"), ("direct", desktop.user.device_id)}


async def _features(user: DemoUser) -> set[str]:
    """The unstable features that the public address tells of."""
    async with aiohttp.request("GET", f"{user.base_url}/_matrix/client/versions") as response:
        told = (await response.json())["unstable_features"]
    return {name for name, value in told.items() if value}


async def _ring_at_each(place: Place, alice: DemoUser, room: str, desktop: Device, gateway: GatewayServer) -> None:
    """A message that the desktop alone is told of, and one that the phone alone rings for."""
    before = len(gateway.events)
    async with desktop.syncing():
        event_id = await alice.send_text(room, "to the desktop")
        await until(lambda: event_id in desktop.notified, "the notification")
        await until(place.is_settled, "the acknowledgement")
    assert event_id not in gateway.events
    (body,) = (each for each in await desktop.pushers() if each["kind"] == "direct")
    await desktop.set_pusher({**body, "data": {**body["data"], "org.matrix.msc3361.active_ms": 0}})
    away = await alice.send_text(room, "to the phone")
    await pushed(gateway, away)
    await desktop.set_pusher(body)
    await until(place.is_settled, "the end of the queue")
    assert gateway.events[before:] == [away]
    await desktop.sync_until(away)
