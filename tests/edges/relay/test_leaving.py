"""The relay is taken out: pushers stand at the homeserver again as their clients set them, and nothing else does."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.pushers.test_pushers import named, of_phone
from edges.relay.running import Device, GatewayServer, RunningRelay, direct_body, http_body, pushed, through
from heliograph.cli import relay_leave
from heliograph.core.finding import good
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import UserError
from heliograph.relay.check.leaving import look_at_leaving
from heliograph.relay.departure import set_leaving
from heliograph.relay.model.leaving import ABSENT_MS
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.model.pushers import unclaimed
from heliograph.relay.store.sqlite.store import open_sqlite
from heliograph.system.clock import now_ms
from support.waiting import until

Json = dict[str, Any]
_SHOWN = ("app_id", "pushkey", "kind", "lang", "app_display_name", "device_display_name", "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "relay"


class Past:
    """What is there without the relay."""

    def __init__(self, user: DemoUser, synapse: ThrowawaySynapse) -> None:
        self.user = replace(user, base_url=synapse.base_url)

    async def pushers(self) -> list[Json]:
        return list((await self.user.call("GET", "/pushers"))["pushers"])

    async def has_only_that_of(self, device: DemoUser) -> bool:
        """One pusher, which ends with this device."""
        return [each["org.matrix.msc3881.device_id"] for each in await self.pushers()] == [device.device_id]


def as_set(pusher: Json) -> Json:
    return {name: pusher[name] for name in _SHOWN}


async def offers_direct_push(device: Device, expected: bool) -> bool:
    versions = await device.user.call("GET", "/_matrix/client/versions")
    return ("org.matrix.msc3361" in versions["unstable_features"]) is expected


async def say(folder: Path, *, is_leaving: bool) -> None:
    await asyncio.to_thread(set_leaving, folder, is_leaving=is_leaving)


async def leave(relay: RunningRelay, folder: Path, *devices: Device) -> None:
    """Returns once nothing leads through the relay any more. The devices go on as they do."""
    await say(folder, is_leaving=True)

    async def is_over() -> bool:
        for device in devices:
            await device.user.call("GET", "/joined_rooms")
        return relay.relay.state.registry.is_empty

    await until(is_over, "the last pusher")


async def test_phones_ring_without_the_relay_and_their_pushers_are_as_they_were(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    past = Past(scene.phone.user, synapse)
    await leave(scene.relay, folder, scene.phone, scene.desktop)
    await until(partial(past.has_only_that_of, scene.phone.user), "the phone's own pusher")
    (phone,) = await past.pushers()
    assert as_set(phone) == as_set(http_body(scene.gateway))
    await scene.relay.stop()
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)
    assert scene.gateway.events == [event_id]


async def test_a_pusher_of_before_the_relay_is_as_before(
    relay: RunningRelay, folder: Path, new_user: NewUser, synapse: ThrowawaySynapse
) -> None:
    async with GatewayServer() as gateway:
        user = await new_user()
        phone = await user.login_again("Phone")
        await phone.call("POST", "/pushers/set", http_body(gateway))
        past = Past(user, synapse)
        before = await past.pushers()
        desktop = await Device.begin(user, relay)
        await desktop.become_direct()
        assert await past.pushers() != before
        await leave(relay, folder, desktop)
        assert await past.pushers() == before


async def test_a_pusher_that_another_device_put_back_ends_with_its_own(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    past = Past(scene.desktop.user, synapse)
    await leave(scene.relay, folder, scene.desktop)
    (phone,) = await past.pushers()
    assert await past.has_only_that_of(scene.desktop.user)
    await scene.phone.user.call("GET", "/joined_rooms")
    await until(partial(past.has_only_that_of, scene.phone.user), "the phone's own pusher")
    await scene.desktop.user.logout()
    assert as_set((await Past(scene.phone.user, synapse).pushers())[0]) == as_set(phone)


async def test_what_waits_for_a_gateway_that_is_down_is_sent_before_its_twin_is_forgotten(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    await scene.gateway.__aexit__()
    event_id = await scene.send("while it is down")

    async def is_waiting() -> bool:
        return (await scene.relay.relay.outbox.counts()).waiting.pushes == 1

    await until(is_waiting, "the push")
    await say(folder, is_leaving=True)

    async def is_put_back() -> bool:
        await scene.phone.user.call("GET", "/joined_rooms")
        return [each["pushkey"] for each in await Past(scene.phone.user, synapse).pushers()] == ["phone-pushkey"]

    await until(is_put_back, "the original")
    await scene.gateway.__aenter__()
    await pushed(scene.gateway, event_id)
    await leave(scene.relay, folder, scene.phone)


async def test_while_it_leaves_no_pusher_is_taken_and_direct_push_is_not_offered(
    scene: Scene, folder: Path, synapse: ThrowawaySynapse
) -> None:
    await say(folder, is_leaving=True)
    await until(partial(offers_direct_push, scene.phone, False), "the look at the file")
    # As without the relay: Synapse takes whatever kind there is.
    await scene.desktop.set_pusher(direct_body())
    await scene.phone.set_pusher(http_body(scene.gateway, "new-pushkey"))
    past = await Past(scene.phone.user, synapse).pushers()
    assert named(past, "new-pushkey")["data"]["url"] == scene.gateway.url
    assert as_set(named(past, "phone-pushkey")) == as_set(http_body(scene.gateway))
    assert named(past, "direct-pushkey")["kind"] == "direct"
    assert await scene.phone.pushers() == past


async def test_the_command_says_whose_pushers_are_left_until_none_is(
    scene: Scene, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_leave, "PAUSE_S", 0.1)
    assert await relay_leave.follow_leaving(folder, once=True, cancel=False) == 1
    me = scene.phone.user.user_id
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == ["2 pushers of 1 user lead through the relay:", f"    {me}: 2"]
    following = asyncio.create_task(relay_leave.follow_leaving(folder, once=False, cancel=False))
    await leave(scene.relay, folder, scene.phone, scene.desktop)
    assert await following == 0
    assert "Nothing leads through the relay any more." in capsys.readouterr().out
    assert await relay_leave.follow_leaving(folder, once=True, cancel=False) == 0
    await relay_leave.follow_leaving(folder, once=False, cancel=True)
    await until(partial(offers_direct_push, scene.phone, True), "the look at the file")


async def test_the_check_says_what_leaving_would_do_before_it_is_done(scene: Scene, folder: Path) -> None:
    me = scene.phone.user.user_id
    look = partial(look_at_leaving, folder, is_gateway_only=False)
    assert await look(now_ms()) == good(
        "Leaving would put back 1 pusher of 1 user, each with the next request of its user: heliograph relay leave."
    )
    registry = scene.relay.relay.state.registry
    (phone,) = (twin for twin in registry.twins_of(me) if twin.url)
    stranger = replace(phone, hidden_pushkey="lost", user_id=unclaimed("lost"))
    bare = replace(phone, hidden_pushkey="bare", pushkey="bare", original={"data": {"url": phone.url}})
    for twin in (stranger, bare):
        await registry.put_twin(twin)
    found = await look(now_ms())
    assert found.text == (
        "Leaving would put back 3 pushers of 2 users, each with the next request of its user. 2 of them could not be:"
    )
    assert found.cure.splitlines() == [
        f"1 of which the relay lacks what the homeserver asks for: their apps have to register anew ({me})",
        "    1 whose user is not known until their next request, since relay.db was lost",
    ]
    await scene.relay.stop()
    async with open_sqlite(folder) as store:
        await store.presence.put({(me, scene.desktop.user.device_id): DevicePresence(ended_ms=now_ms())})
    assert "desktops were not here for 30 days" in (await look(now_ms() + 2 * ABSENT_MS)).cure
    assert "fallback set without --relay" in (await look(now_ms(), is_gateway_only=True)).text
    assert "cannot be read" in (await look_at_leaving(folder / "none", now_ms(), is_gateway_only=False)).text


async def test_the_check_tells_of_a_pusher_that_its_gateway_rejected(scene: Scene, folder: Path) -> None:
    await scene.desktop.set_pusher({**direct_body(scene.desktop.user.device_id), "enabled": False})
    scene.gateway.rejects = True
    await pushed(scene.gateway, await scene.send())
    await until(scene.is_settled, "the answer")
    found = await look_at_leaving(folder, now_ms(), is_gateway_only=False)
    assert "1 that their push gateway has rejected" in found.cure


async def test_the_command_needs_the_relays_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no relay.db in .*"):
        await relay_leave.follow_leaving(tmp_path, once=True, cancel=False)


async def test_without_its_database_it_leaves_as_well(scene: Scene, folder: Path, synapse: ThrowawaySynapse) -> None:
    await scene.relay.stop()
    shutil.rmtree(folder)
    await asyncio.to_thread(folder.mkdir)
    await say(folder, is_leaving=True)
    await scene.relay.start()

    async def is_put_back() -> bool:
        await scene.phone.user.call("GET", "/joined_rooms")
        return [as_set(each) for each in await Past(scene.phone.user, synapse).pushers()] == [
            as_set(http_body(scene.gateway))
        ]

    await until(is_put_back, "the original")


async def test_who_changes_their_mind_has_everything_lead_through_it_again(scene: Scene, folder: Path) -> None:
    await leave(scene.relay, folder, scene.phone, scene.desktop)
    await say(folder, is_leaving=False)
    await until(partial(offers_direct_push, scene.phone, True), "the look at the file")
    await scene.desktop.become_direct()
    event_id = await scene.send()
    await scene.desktop.sync_until(event_id)
    await until(scene.is_settled, "the acknowledgement")
    assert event_id not in scene.gateway.events
    assert of_phone(await Device(through(scene.phone.user, scene.relay)).pushers())
