"""A phone that changes hands: another user sets the same app id and pushkey, as Synapse has it without the relay."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.running import Device, GatewayServer, direct_body, http_body
from heliograph.errors import Refused
from support.waiting import until

Json = dict[str, Any]


def keys_of(gateway: GatewayServer, event_id: str) -> set[str]:
    """The pushkeys for which the event was pushed."""
    pushes = [push for push in gateway.pushes if push.get("event_id") == event_id]
    return {device["pushkey"] for push in pushes for device in push["devices"]}


async def message_at(scene: Scene, pushkey: str) -> set[str]:
    """The pushkeys for which a new message was pushed, once it was for this one."""
    event_id = await scene.send()
    await until(lambda: pushkey in keys_of(scene.gateway, event_id), f"the push for {pushkey}")
    await until(scene.is_settled, "the end of the queue")
    return keys_of(scene.gateway, event_id)


@pytest.mark.parametrize(("is_known", "change"), [(False, {}), (False, {"append": None}), (True, {})])
async def test_a_phone_that_changed_hands_rings_for_its_former_user_no_more(
    scene: Scene, new_user: NewUser, is_known: bool, change: Json
) -> None:
    await scene.phone.set_pusher(http_body(scene.gateway, "tablet-pushkey", append=True))
    other = await Device.begin(await new_user("other"), scene.relay)
    if is_known:
        await other.become_direct()
    body = {**http_body(scene.gateway), **change}
    await other.set_pusher({name: value for name, value in body.items() if value is not None})
    assert await message_at(scene, "tablet-pushkey") == {"tablet-pushkey"}
    assert [each["pushkey"] for each in await other.pushers() if each["kind"] == "http"] == ["phone-pushkey"]


async def test_a_phone_of_two_users_rings_for_both(scene: Scene, new_user: NewUser) -> None:
    other = await Device.begin(await new_user("other"), scene.relay)
    await other.set_pusher(http_body(scene.gateway, append=True))
    assert await message_at(scene, "phone-pushkey") == {"phone-pushkey"}
    # Set once more without `append` it is the other user's alone, though nothing else about it has changed.
    await scene.phone.set_pusher(http_body(scene.gateway, "tablet-pushkey", append=True))
    await other.become_direct()
    await other.set_pusher(http_body(scene.gateway))
    assert await message_at(scene, "tablet-pushkey") == {"tablet-pushkey"}


async def test_a_desktop_that_changed_hands_is_told_of_its_former_user_no_more(scene: Scene, new_user: NewUser) -> None:
    name = scene.desktop.user.device_id
    other = await Device.begin(await new_user("other"), scene.relay)
    await other.set_pusher(direct_body(name))
    assert [each["kind"] for each in await scene.phone.pushers()] == ["http"]
    assert [each["kind"] for each in await other.pushers()] == ["direct"]


async def test_who_is_refused_takes_nothing(scene: Scene, new_user: NewUser) -> None:
    other = await Device.begin(await new_user("other"), scene.relay)
    with pytest.raises(Refused):
        await other.set_pusher({**http_body(scene.gateway), "data": {"url": "https://gateway.example.org/wrong"}})
    assert await message_at(scene, "phone-pushkey") == {"phone-pushkey"}
    # Nor does who takes one's own away.
    await other.set_pusher({"kind": None, "app_id": "org.example.phone", "pushkey": "phone-pushkey"})
    assert await message_at(scene, "phone-pushkey") == {"phone-pushkey"}
