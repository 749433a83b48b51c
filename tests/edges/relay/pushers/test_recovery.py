"""relay.db is lost, or older than the pushers at the homeserver: no pusher is lost with it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.pushers.test_pushers import named, of_phone
from edges.relay.running import Device, GatewayServer, RunningRelay, http_body, pushed, through
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.relay.store.sqlite.store import DATABASE_NAME
from support.waiting import until

Json = dict[str, Any]
ORIGINAL = "io.github.heliograph.relay.original"


async def lose_database(relay: RunningRelay, folder: Path) -> None:
    """The relay starts anew, without its file."""
    await relay.stop()
    shutil.rmtree(folder)
    await relay.start()


def restore(backup: Path, folder: Path) -> None:
    for file in folder.glob(f"{DATABASE_NAME}*"):
        file.unlink()
    shutil.copy(backup, folder / DATABASE_NAME)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "relay"


async def listed_past(user: DemoUser, synapse: ThrowawaySynapse) -> list[Json]:
    return list((await replace(user, base_url=synapse.base_url).call("GET", "/pushers"))["pushers"])


async def test_phones_ring_at_once_though_nobodys_request_has_passed_yet(scene: Scene, folder: Path) -> None:
    await lose_database(scene.relay, folder)
    await pushed(scene.gateway, await scene.send())
    (push,) = (each for each in scene.gateway.pushes if each.get("event_id"))
    assert push["devices"][0]["pushkey"] == "phone-pushkey"
    assert push["devices"][0]["data"] == {"format": "event_id_only", "org.example.custom": 7}


async def test_the_next_list_of_a_user_brings_everything_back(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    phone, before = scene.phone, await scene.phone.pushers()
    at_homeserver = await listed_past(phone.user, synapse)
    await lose_database(scene.relay, folder)
    await pushed(scene.gateway, await scene.send("while nothing is known"))
    assert await phone.pushers() == before
    assert await listed_past(phone.user, synapse) == at_homeserver
    # The desktop is direct again, and the phone waits for it.
    async with scene.desktop.syncing():
        event_id = await scene.send("once everything is known")
        await until(lambda: event_id in scene.desktop.notified, "the notification")
        await until(scene.is_settled, "the acknowledgement")
    assert event_id not in scene.gateway.events


async def test_an_older_backup_keeps_what_was_set_since(scene: Scene, folder: Path) -> None:
    backup = folder.with_name("backup.db")
    await scene.relay.stop()
    shutil.copy(folder / DATABASE_NAME, backup)
    await scene.relay.start()
    await scene.phone.set_pusher(http_body(scene.gateway, "newer-pushkey"))
    before = await scene.phone.pushers()
    await scene.relay.stop()
    restore(backup, folder)
    await scene.relay.start()
    await pushed(scene.gateway, await scene.send())
    await until(lambda: len(scene.gateway.events) == 2, "both pushers")
    assert await scene.phone.pushers() == before


async def test_a_phone_that_registers_before_its_twin_is_known_again_has_one_pusher(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    await lose_database(scene.relay, folder)
    await scene.phone.set_pusher(http_body(scene.gateway))
    assert [each["pushkey"] for each in of_phone(await scene.phone.pushers())] == ["phone-pushkey"]
    assert len(of_phone(await listed_past(scene.phone.user, synapse))) == 1


async def test_an_adopted_pusher_is_known_again(
    relay: RunningRelay, folder: Path, new_user: NewUser, synapse: ThrowawaySynapse
) -> None:
    async with GatewayServer() as gateway:
        user, alice = await new_user(), await new_user("alice")
        await user.call("POST", "/pushers/set", http_body(gateway))
        desktop = await Device.begin(user, relay)
        await desktop.become_direct()
        before = await desktop.pushers()
        await lose_database(relay, folder)
        room = await alice.create_room("Lunch", invite=[user])
        await until(lambda: gateway.pushes, "the push of the invite")
        assert gateway.pushes[0]["room_id"] == room
        assert ORIGINAL not in gateway.pushes[0]["devices"][0]["data"]
        assert await desktop.pushers() == before
        assert of_phone(await listed_past(user, synapse))[0]["pushkey"] == "phone-pushkey"


async def test_who_has_no_twin_gets_the_homeservers_own_list(
    relay: RunningRelay, new_user: NewUser, synapse: ThrowawaySynapse
) -> None:
    async with GatewayServer() as gateway:
        user = await new_user()
        device = Device(through(user, relay))
        await device.set_pusher(http_body(gateway))
        assert await device.pushers() == await listed_past(user, synapse)


async def test_what_a_push_says_of_its_pusher_touches_no_users_pushes(scene: Scene, folder: Path) -> None:
    """Anybody may set a pusher that looks like a twin, with whatever in its data."""
    async with GatewayServer() as other, aiohttp.ClientSession(scene.relay.url) as http:
        told = {"pushkey": "phone-pushkey", "url": other.url, "user_id": scene.phone.user.user_id}
        device = {"app_id": "org.example.phone", "pushkey": "made-up", "data": {ORIGINAL: told}}
        body = {"notification": {"event_id": "$1", "room_id": "!r", "devices": [device], "counts": {"unread": 0}}}
        async with http.post("/_matrix/push/v1/notify", json=body) as response:
            assert await response.json() == {"rejected": []}
        await until(lambda: other.events == ["$1"], "the push")
    phone = named(await scene.phone.pushers(), "phone-pushkey")
    assert phone["data"]["url"] == scene.gateway.url
    await pushed(scene.gateway, await scene.send())
    assert [twin.user_id for twin in scene.relay.relay.state.registry.twins_of(scene.phone.user.user_id)] == [
        scene.phone.user.user_id
    ] * 2


async def test_a_push_from_elsewhere_is_not_believed(tmp_path: Path, synapse: ThrowawaySynapse) -> None:
    async with (
        RunningRelay(synapse.base_url, tmp_path / "closed", operators=("192.0.2.0/24",)) as relay,
        GatewayServer() as gateway,
        aiohttp.ClientSession(relay.url) as http,
    ):
        told = {"pushkey": "phone", "url": gateway.url}
        device = {"app_id": "app", "pushkey": "made-up", "data": {ORIGINAL: told}}
        body = {"notification": {"event_id": "$1", "room_id": "!r", "devices": [device]}}
        async with http.post("/_matrix/push/v1/notify", json=body) as response:
            assert response.status == 503
        assert relay.relay.state.registry.is_empty
