"""Pushers through the relay, beside a real Synapse: what clients see, and what stands at the homeserver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.running import Device, GatewayServer, RunningRelay, direct_body, http_body, pushed, through
from heliograph.core.ids import UserId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import Refused
from heliograph.relay.pushers import twins
from support.waiting import until

Json = dict[str, Any]
MARK = "io.github.heliograph.relay"


async def upstream(user: DemoUser) -> list[Json]:
    """What the homeserver itself lists."""
    return list((await around(user).call("GET", "/pushers"))["pushers"])


def around(user: DemoUser) -> DemoUser:
    """The same device, past the relay."""
    return replace(user, base_url=_homeserver[0])


_homeserver = [""]


@pytest.fixture(autouse=True)
def homeserver(synapse: ThrowawaySynapse) -> None:
    _homeserver[0] = synapse.base_url


def named(pushers: list[Json], pushkey: str) -> Json:
    (found,) = (each for each in pushers if each["pushkey"] == pushkey)
    return found


def of_phone(pushers: list[Json]) -> list[Json]:
    return [each for each in pushers if each["app_id"] == "org.example.phone"]


async def test_an_http_pusher_is_shown_as_it_was_set_and_its_twin_is_hidden(scene: Scene) -> None:
    shown = await scene.phone.pushers()
    assert {each["pushkey"] for each in shown} == {"phone-pushkey", scene.desktop.user.device_id}
    phone = named(shown, "phone-pushkey")
    assert phone["data"] == http_body(scene.gateway)["data"]
    assert (phone["enabled"], phone["device_id"]) == (True, scene.phone.user.device_id)
    (twin,) = of_phone(await upstream(scene.phone.user))
    assert twin["pushkey"] != "phone-pushkey"
    original = twin["data"].pop("io.github.heliograph.relay.original")
    assert twin["data"] == {**phone["data"], "url": f"{scene.relay.url}/_matrix/push/v1/notify"}
    assert (original["pushkey"], original["url"]) == ("phone-pushkey", scene.gateway.url)


async def test_a_direct_pusher_is_shown_with_its_device_and_kept_from_the_homeserver(scene: Scene) -> None:
    desktop = scene.desktop.user
    shown = named(await scene.phone.pushers(), desktop.device_id)
    assert shown["kind"] == "direct"
    assert shown["data"] == {"org.matrix.msc3361.delay_ms": 1000, "org.matrix.msc3361.active_ms": 2000}
    assert shown["org.matrix.msc3881.enabled"] is True
    assert shown["org.matrix.msc3881.device_id"] == desktop.device_id
    assert {each["kind"] for each in await upstream(desktop)} == {"http"}


async def test_an_unchanged_pusher_is_not_sent_to_the_homeserver(scene: Scene) -> None:
    before = of_phone(await upstream(scene.phone.user))
    # Synapse would skip what is pending, and list the pusher with a new time.
    await scene.phone.set_pusher(http_body(scene.gateway))
    assert of_phone(await upstream(scene.phone.user)) == before


async def test_a_changed_gateway_is_obeyed(scene: Scene) -> None:
    async with GatewayServer() as other:
        await scene.phone.set_pusher(http_body(other))
        event_id = await scene.send()
        await pushed(other, event_id)
    assert scene.gateway.events == []


async def test_a_push_reaches_the_gateway_as_if_the_original_stood_at_the_homeserver(scene: Scene) -> None:
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)
    (push,) = (each for each in scene.gateway.pushes if each.get("event_id") == event_id)
    (device,) = push["devices"]
    assert (device["app_id"], device["pushkey"]) == ("org.example.phone", "phone-pushkey")
    assert device["data"] == {"format": "event_id_only", "org.example.custom": 7}


async def test_a_removed_http_pusher_leaves_no_twin(scene: Scene) -> None:
    await scene.phone.set_pusher({"app_id": "org.example.phone", "pushkey": "phone-pushkey", "kind": None})
    assert of_phone(await scene.phone.pushers()) == []
    assert of_phone(await upstream(scene.phone.user)) == []


async def test_a_removed_direct_pusher_leaves_nothing_at_the_homeserver(scene: Scene) -> None:
    desktop = scene.desktop
    await desktop.set_pusher({"app_id": "org.example.desktop", "pushkey": desktop.user.device_id, "kind": None})
    assert [each["app_id"] for each in await desktop.pushers()] == ["org.example.phone"]
    assert [each["app_id"] for each in await upstream(desktop.user)] == ["org.example.phone"]
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)
    assert await desktop.sync() == []


@pytest.mark.expected_log(r"homeserver 404 GET .*/devices/")
async def test_a_direct_pusher_whose_device_is_gone_passes_to_the_one_that_sets_it(scene: Scene) -> None:
    name = scene.desktop.user.device_id
    anew = await Device.begin(await scene.phone.user.login_again("Anew"), scene.relay)
    # As long as its device is there, another one only switches it.
    await anew.set_pusher(direct_body(name))
    assert named(await anew.pushers(), name)["device_id"] == name
    await around(scene.desktop.user).logout()
    await anew.set_pusher(direct_body(name))
    assert named(await anew.pushers(), name)["device_id"] == anew.user.device_id
    await anew.sync_until(await scene.send())


async def test_a_pusher_that_changes_its_kind_is_one_pusher(scene: Scene) -> None:
    key = {"app_id": "org.example.phone", "pushkey": "phone-pushkey"}
    await scene.phone.set_pusher({**direct_body(), **key})
    assert named(await scene.phone.pushers(), "phone-pushkey")["kind"] == "direct"
    assert of_phone(await upstream(scene.phone.user)) == []
    await scene.phone.set_pusher(http_body(scene.gateway))
    assert named(await scene.phone.pushers(), "phone-pushkey")["kind"] == "http"


async def test_pushers_that_were_there_before_stay_those_of_their_devices(
    relay: RunningRelay, new_user: NewUser
) -> None:
    async with GatewayServer() as gateway:
        user = await new_user()
        phone = await user.login_again("Phone")
        await phone.call("POST", "/pushers/set", http_body(gateway))
        desktop = await Device.begin(user, relay)
        await desktop.become_direct()
        assert named(await desktop.pushers(), "phone-pushkey")["data"] == http_body(gateway)["data"]
        (adopted,) = of_phone(await upstream(user))
        assert adopted["pushkey"] == "phone-pushkey"
        assert adopted["data"]["url"] == f"{relay.url}/_matrix/push/v1/notify"
        assert adopted["org.matrix.msc3881.device_id"] == phone.device_id
        alice = await new_user("alice")
        room = await alice.create_room("Lunch", invite=[user])
        await until(lambda: gateway.pushes, "the push of the invite")
        (device,) = gateway.pushes[0]["devices"]
        assert device["pushkey"] == "phone-pushkey"
        assert MARK not in device["data"]
        assert gateway.pushes[0]["room_id"] == room
        await desktop.user.logout()
        assert [each["pushkey"] for each in await Device(through(phone, relay)).pushers()] == ["phone-pushkey"]


async def test_who_has_no_direct_pusher_passes_untouched(relay: RunningRelay, new_user: NewUser) -> None:
    async with GatewayServer() as gateway:
        user = await new_user()
        phone = Device(through(user, relay))
        await phone.set_pusher(http_body(gateway))
        assert await phone.pushers() == await upstream(user)
        assert named(await upstream(user), "phone-pushkey")["data"]["url"] == gateway.url


async def test_logging_out_ends_the_pushers_of_the_device(scene: Scene) -> None:
    await scene.desktop.user.logout()
    shown = await scene.phone.pushers()
    assert [each["pushkey"] for each in shown] == ["phone-pushkey"]
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)


async def test_logging_out_around_the_relay_is_noticed(scene: Scene) -> None:
    await around(scene.desktop.user).logout()
    assert [each["pushkey"] for each in await scene.phone.pushers()] == ["phone-pushkey"]


async def test_a_password_change_ends_the_pushers_of_other_devices(scene: Scene) -> None:
    desktop = scene.desktop.user
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": desktop.user_id},
        "password": desktop.password,
    }
    body = {"new_password": "another-password", "auth": auth}
    await desktop.call("POST", "/account/password", body)
    assert scene.relay.relay.state.registry.twin_for(desktop.user_id, "org.example.phone", "phone-pushkey") is None
    assert [each["pushkey"] for each in await scene.desktop.pushers()] == [desktop.device_id]


async def test_a_rejected_pushkey_is_gone(scene: Scene) -> None:
    scene.gateway.rejects = True
    first = await scene.send()
    await pushed(scene.gateway, first)
    await until(scene.is_settled, "the outcome")
    # The homeserver is told at its next push.
    await scene.send()

    async def is_gone() -> bool:
        return not of_phone(await scene.phone.pushers())

    await until(is_gone, "the end of the pusher")
    assert of_phone(await upstream(scene.phone.user)) == []


async def test_a_switched_off_http_pusher_is_silent(scene: Scene) -> None:
    await scene.desktop.set_pusher({**http_body(scene.gateway), "org.matrix.msc3881.enabled": False})
    assert named(await scene.phone.pushers(), "phone-pushkey")["enabled"] is False
    silent = await scene.send()
    await scene.probe()
    await scene.desktop.set_pusher(http_body(scene.gateway))
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)
    assert silent not in scene.gateway.events


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"lang": None}, "M_MISSING_PARAM"),
        ({"app_id": "a" * 65}, "M_INVALID_PARAM"),
        ({"pushkey": "k" * 513}, "M_INVALID_PARAM"),
        ({"data": "text"}, "M_INVALID_PARAM"),
        ({"data": {"org.matrix.msc3361.delay_ms": "soon"}}, "M_INVALID_PARAM"),
        ({"data": {"org.matrix.msc3361.fallback": [1]}}, "M_INVALID_PARAM"),
    ],
)
async def test_a_wrong_direct_pusher_is_refused(scene: Scene, change: Json, errcode: str) -> None:
    with pytest.raises(Refused) as refused:
        await scene.desktop.set_pusher({**direct_body(), **change})
    assert (refused.value.status, refused.value.errcode) == (400, errcode)


async def test_a_gateway_that_the_relay_may_not_send_to_is_refused_with_a_sentence(scene: Scene) -> None:
    body = {**http_body(scene.gateway), "data": {"url": "http://10.1.1.1:9/_matrix/push/v1/notify"}}
    with pytest.raises(Refused, match="allow_networks") as refused:
        await scene.phone.set_pusher(body)
    assert (refused.value.status, refused.value.errcode) == (400, "M_INVALID_PARAM")
    # What was there before is there still.
    assert named(await scene.phone.pushers(), "phone-pushkey")["data"]["url"] == scene.gateway.url


async def test_times_out_of_bounds_are_clamped(scene: Scene) -> None:
    await scene.desktop.become_direct(delay_ms=1, active_ms=10**9)
    (pusher,) = scene.relay.relay.state.registry.direct_of(scene.desktop.user.user_id)
    assert (pusher.delay_ms, pusher.active_ms) == (200, 300_000)


@pytest.mark.expected_log("homeserver 401 GET .*/account/whoami", times=3)
async def test_a_wrong_token_gets_the_homeservers_own_answer(scene: Scene) -> None:
    stranger = DemoUser(scene.relay.url, UserId("@x:localhost"), "X", "wrong", "")
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            await stranger.call("POST", "/pushers/set", direct_body())
        assert refused.value.errcode == "M_UNKNOWN_TOKEN"


async def test_a_pusher_beyond_what_is_kept_of_a_user_stays_with_the_homeserver(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = scene.phone.user.user_id
    large = http_body(scene.gateway, "large", append=True)
    large["data"]["org.example.custom"] = "x" * 4096
    monkeypatch.setattr(twins, "MAX_TWINS", len(scene.relay.relay.state.registry.twins_of(user_id)))
    for body in (large, http_body(scene.gateway, "one-more", append=True)):
        await scene.phone.set_pusher(body)
        assert scene.relay.relay.state.registry.twin_for(user_id, body["app_id"], body["pushkey"]) is None
        assert named(await scene.phone.pushers(), body["pushkey"])["data"] == body["data"]
        assert named(await upstream(scene.phone.user), body["pushkey"])["data"] == body["data"]
    # What is there already may change.
    await scene.phone.set_pusher(http_body(scene.gateway, lang="de"))
    assert scene.relay.relay.state.registry.twin_for(user_id, "org.example.phone", "phone-pushkey") is not None


async def test_a_direct_pusher_beyond_what_is_kept_is_refused(scene: Scene) -> None:
    with pytest.raises(Refused) as refused:
        await scene.desktop.set_pusher({**direct_body(), "profile_tag": "x" * 4096})
    assert (refused.value.status, refused.value.errcode) == (400, "M_TOO_LARGE")
