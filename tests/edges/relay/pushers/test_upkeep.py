"""Beside a real Synapse: what clients did while they were led past the relay is put right when they are back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.running import Device, RunningRelay, direct_body, http_body, pushed
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.waiting import until

Json = dict[str, Any]


class Homeserver:
    """Clients as they are while the reverse proxy leads them past the relay."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def past(self, device: Device) -> Device:
        return replace(device, user=self.user(device.user))

    def user(self, user: DemoUser) -> DemoUser:
        return replace(user, base_url=self._base_url)

    async def pushers(self, device: Device) -> list[Json]:
        return await self.past(device).pushers()


@pytest.fixture
def homeserver(synapse: ThrowawaySynapse) -> Homeserver:
    return Homeserver(synapse.base_url)


def of_phone(pushers: list[Json]) -> list[Json]:
    return [each for each in pushers if each["app_id"] == "org.example.phone"]


def lead_to(relay: RunningRelay, pushers: list[Json]) -> bool:
    return bool(pushers) and all(each["data"].get("url", "").startswith(relay.url) for each in pushers)


@pytest.mark.parametrize("path", ["/account/whoami", "/capabilities", "/joined_rooms"])
async def test_a_pusher_set_past_the_relay_is_adopted_at_the_next_request_of_its_user(
    scene: Scene, homeserver: Homeserver, path: str
) -> None:
    await scene.relay.stop()
    await homeserver.past(scene.phone).set_pusher(http_body(scene.gateway, "new-phone", append=True))
    await scene.relay.start()
    await scene.phone.user.call("GET", path)

    async def is_adopted() -> bool:
        return lead_to(scene.relay, await homeserver.pushers(scene.phone))

    await until(is_adopted, "the adoption")
    assert {each["pushkey"] for each in of_phone(await scene.phone.pushers())} == {"phone-pushkey", "new-phone"}


async def test_a_phone_that_set_its_pusher_past_the_relay_is_adopted_and_rings_once(
    scene: Scene, homeserver: Homeserver
) -> None:
    await scene.relay.stop()
    await homeserver.past(scene.phone).set_pusher(http_body(scene.gateway))
    assert len(of_phone(await homeserver.pushers(scene.phone))) == 2
    await scene.relay.start()
    await scene.phone.user.call("GET", "/account/whoami")

    async def is_one() -> bool:
        return len(of_phone(await homeserver.pushers(scene.phone))) == 1

    await until(is_one, "the end of the second pusher")
    shown = of_phone(await scene.phone.pushers())
    assert [(each["pushkey"], each["data"]) for each in shown] == [("phone-pushkey", http_body(scene.gateway)["data"])]
    await scene.desktop.become_direct(delay_ms=30_000, active_ms=30_000)
    async with scene.desktop.syncing():
        silent = await scene.send()
        await until(lambda: silent in scene.desktop.notified, "the notification")
        await until(scene.is_settled, "the acknowledgement")
    await scene.desktop.become_direct(active_ms=0)
    last = await scene.send()
    await pushed(scene.gateway, last)
    await until(scene.is_settled, "the end of the queue")
    assert scene.gateway.events == [last]


async def test_pushes_that_wait_go_on_waiting_for_a_phone_that_is_adopted_again(
    scene: Scene, homeserver: Homeserver
) -> None:
    await scene.desktop.become_direct(delay_ms=60_000, active_ms=60_000)
    for _ in range(2):
        event_id = await scene.send()

        async def is_held() -> bool:
            return (await scene.relay.relay.outbox.counts()).waiting.held > 0

        await until(is_held, "the hold")
        await scene.relay.stop()
        # The first time over a twin with a hidden pushkey, the second time over one with the phone's own.
        await homeserver.past(scene.phone).set_pusher(http_body(scene.gateway))
        await scene.relay.start()
        assert len(of_phone(await scene.phone.pushers())) == 1
        assert lead_to(scene.relay, await homeserver.pushers(scene.phone))
        await until(is_held, "the hold")
        await scene.desktop.sync_until(event_id)
        await until(scene.is_settled, "the acknowledgement")
    assert scene.gateway.events == []


async def test_a_phone_that_may_not_be_pushed_to_by_the_relay_is_left_to_the_homeserver(
    scene: Scene, homeserver: Homeserver
) -> None:
    await scene.relay.stop()
    body = http_body(scene.gateway)
    elsewhere = {**body, "data": {"url": "http://push.example.org/_matrix/push/v1/notify"}}
    await homeserver.past(scene.phone).set_pusher(elsewhere)
    await scene.relay.start()
    (shown,) = of_phone(await scene.phone.pushers())
    assert shown["data"] == elsewhere["data"]
    (listed,) = of_phone(await homeserver.pushers(scene.phone))
    assert (listed["pushkey"], listed["data"]) == ("phone-pushkey", elsewhere["data"])


async def test_a_direct_pusher_that_the_homeserver_took_is_taken_back(scene: Scene, homeserver: Homeserver) -> None:
    desktop = scene.desktop
    await scene.relay.stop()
    await homeserver.past(desktop).become_direct(delay_ms=30_000)
    await scene.relay.start()
    await desktop.user.call("GET", "/account/whoami")

    async def is_taken() -> bool:
        return {each["kind"] for each in await homeserver.pushers(desktop)} == {"http"}

    await until(is_taken, "the removal at the homeserver")
    shown = [each for each in await desktop.pushers() if each["kind"] == "direct"]
    assert [(each["pushkey"], each["org.matrix.msc3881.device_id"]) for each in shown] == [
        (desktop.user.device_id, desktop.user.device_id)
    ]
    assert shown[0]["data"] == {"org.matrix.msc3361.delay_ms": 30_000}
    async with desktop.syncing():
        event_id = await scene.send()
        await until(lambda: event_id in desktop.notified, "the notification")
        await until(scene.is_settled, "the acknowledgement")
    assert scene.gateway.events == []


async def test_a_direct_pusher_of_another_device_is_taken_back_for_that_device(
    scene: Scene, homeserver: Homeserver
) -> None:
    laptop = await Device.begin(await scene.desktop.user.login_again("Laptop"), scene.relay)
    await scene.relay.stop()
    body = {**direct_body(laptop.user.device_id), "org.matrix.msc3881.enabled": False}
    await homeserver.past(laptop).set_pusher(body)
    await scene.relay.start()
    shown = [each for each in await scene.phone.pushers() if each["pushkey"] == laptop.user.device_id]
    assert [(each["kind"], each["device_id"], each["enabled"]) for each in shown] == [
        ("direct", laptop.user.device_id, False)
    ]
    assert {each["kind"] for each in await homeserver.pushers(laptop)} == {"http"}


async def test_the_first_direct_pusher_of_a_user_is_taken_from_the_homeserver(
    relay: RunningRelay, homeserver: Homeserver, new_user: NewUser
) -> None:
    desktop = await Device.begin(await new_user(), relay)
    await homeserver.past(desktop).become_direct()
    await desktop.pushers()
    shown = await desktop.pushers()
    assert [(each["kind"], each["device_id"]) for each in shown] == [("direct", desktop.user.device_id)]
    assert {each["kind"] for each in await homeserver.pushers(desktop)} == {"http"}


async def test_a_pusher_removed_past_the_relay_is_forgotten(scene: Scene, homeserver: Homeserver) -> None:
    (twin,) = of_phone(await homeserver.pushers(scene.phone))
    await scene.relay.stop()
    removal = {"kind": None, "app_id": twin["app_id"], "pushkey": twin["pushkey"]}
    await homeserver.past(scene.phone).set_pusher(removal)
    await scene.relay.start()
    await scene.phone.user.call("GET", "/account/whoami")
    registry = scene.relay.relay.state.registry
    user_id = scene.phone.user.user_id
    await until(lambda: registry.twin_for(user_id, "org.example.phone", "phone-pushkey") is None, "the end")


async def test_a_desktop_that_synced_past_a_relay_that_ran_on_has_its_pushers_compared(
    scene: Scene, homeserver: Homeserver
) -> None:
    await homeserver.past(scene.phone).set_pusher(http_body(scene.gateway, "new-phone", append=True))
    past = homeserver.past(scene.desktop)
    await scene.alice.send_text(scene.room, "moves the token")
    await past.sync()
    scene.desktop.since = past.since
    await scene.desktop.sync(0)

    async def is_adopted() -> bool:
        return lead_to(scene.relay, await homeserver.pushers(scene.phone))

    await until(is_adopted, "the adoption")
