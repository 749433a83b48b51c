"""The relay beside a real Synapse: what rings reaches a syncing desktop, and the phone only where it must."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from edges.relay.conftest import Scene
from edges.relay.running import NARROW, Device, direct_body, pushed, through
from support.waiting import until


async def test_a_syncing_desktop_is_told_with_the_event_itself_and_the_phone_stays_silent(scene: Scene) -> None:
    async with scene.desktop.syncing():
        sent = [await scene.send(f"message {number}") for number in range(20)]
        await until(lambda: set(sent) <= set(scene.desktop.notified), "the notifications")
        await until(scene.is_settled, "the acknowledgements")
    assert scene.desktop.notified == sent
    assert scene.desktop.together == sent
    assert scene.gateway.events == []


async def test_without_an_acknowledgement_the_phone_rings_after_the_delay(scene: Scene) -> None:
    event_id = await scene.send()
    assert await scene.desktop.sync(takes=False) == [event_id]
    assert scene.gateway.events == []
    await pushed(scene.gateway, event_id)


async def test_an_absent_desktop_costs_the_phone_no_time_and_is_told_later(scene: Scene) -> None:
    await scene.desktop.become_direct(delay_ms=60_000, active_ms=0)
    sent = [await scene.send(f"message {number}") for number in range(30)]
    for event_id in sent:
        await pushed(scene.gateway, event_id)
    await scene.desktop.sync_until(sent[-1])
    assert sorted(scene.desktop.notified) == sorted(sent)


async def test_what_the_filter_hides_ends_the_poll(scene: Scene) -> None:
    async with scene.desktop.syncing(NARROW):
        event_id = await scene.send()
        await until(lambda: event_id in scene.desktop.notified, "the notification")
        await until(scene.is_settled, "the acknowledgement")
    assert scene.desktop.together == []
    assert scene.gateway.events == []


async def test_a_lost_response_is_made_up_for_by_the_next(scene: Scene) -> None:
    event_id = await scene.send()
    assert await scene.desktop.sync(takes=False) == [event_id]
    assert await scene.desktop.sync() == [event_id]
    assert await scene.desktop.sync(0) == []
    await until(scene.is_settled, "the acknowledgement")
    assert scene.gateway.events == []


async def test_a_to_device_message_survives_a_poll_that_a_push_ended(scene: Scene) -> None:
    polling = asyncio.create_task(scene.desktop.sync(filter_=NARROW))
    event_id = await scene.send()
    assert await polling == [event_id]
    content = {scene.desktop.user.user_id: {scene.desktop.user.device_id: {"key": "value"}}}
    await scene.alice.call("PUT", "/sendToDevice/org.example.test/1", {"messages": content})
    await until(lambda: _has_to_device(scene.desktop), "the to-device message")


async def _has_to_device(desktop: Device) -> bool:
    await desktop.sync(1_000)
    return any(event["content"] == {"key": "value"} for event in desktop.last.get("to_device", {}).get("events", []))


async def test_every_direct_device_is_told_and_one_acknowledgement_keeps_the_phone_silent(scene: Scene) -> None:
    laptop = await Device.begin(await scene.desktop.user.login_again("Laptop"), scene.relay)
    await laptop.set_pusher(direct_body("laptop-pushkey", delay_ms=1000))
    async with scene.desktop.syncing():
        event_id = await scene.send()
        assert await laptop.sync(takes=False) == [event_id]
        await until(scene.is_settled, "the acknowledgement")
    assert scene.desktop.notified == [event_id]
    assert await laptop.sync() == [event_id]
    assert scene.gateway.events == []


async def test_what_was_not_acknowledged_before_a_restart_is_told_again(scene: Scene) -> None:
    event_id = await scene.send()
    assert await scene.desktop.sync(takes=False) == [event_id]
    await scene.relay.stop()
    await scene.relay.start()
    await pushed(scene.gateway, event_id)
    assert await scene.desktop.sync() == [event_id]
    assert await scene.desktop.sync(0) == []


async def test_what_came_while_the_relay_was_down_is_told(scene: Scene) -> None:
    await scene.relay.stop()
    hidden, shown = await scene.send("first"), await scene.send("second")
    await scene.relay.start()
    assert await scene.desktop.sync(filter_=NARROW) == [hidden, shown]


async def test_what_is_the_only_news_can_be_acknowledged_all_the_same(scene: Scene) -> None:
    past_relay = replace(scene.desktop, user=replace(scene.desktop.user, base_url=scene.alice.base_url))
    await scene.relay.stop()
    event_id = await scene.send()
    await past_relay.sync()
    scene.desktop.since = past_relay.since
    await scene.relay.start()
    assert await scene.desktop.sync() == [event_id]
    assert await scene.desktop.sync(0) == []
    await until(scene.is_settled, "the end of the queue")
    await scene.probe()
    assert event_id not in scene.gateway.events


async def test_an_acknowledgement_is_kept_over_a_restart(scene: Scene) -> None:
    event_id = await scene.send()
    assert await scene.desktop.sync() == [event_id]
    assert await scene.desktop.sync(0) == []
    await scene.relay.stop()
    await scene.relay.start()
    later = await scene.send()
    assert await scene.desktop.sync() == [later]
    assert event_id not in scene.gateway.events


async def test_a_desktop_that_is_switched_off_is_told_nothing_and_the_phone_rings_at_once(scene: Scene) -> None:
    body = direct_body(scene.desktop.user.device_id, delay_ms=60_000)
    async with scene.desktop.syncing():
        await scene.phone.set_pusher({**body, "org.matrix.msc3881.enabled": False})
        event_id = await scene.send()
        await pushed(scene.gateway, event_id)
        await scene.phone.set_pusher({**body, "enabled": True})
        later = await scene.send()
        await until(lambda: later in scene.desktop.notified, "the notification")
    assert scene.desktop.notified == [later]


async def test_reading_on_the_phone_during_the_hold_keeps_it_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    await scene.phone.user.read(scene.room, event_id, "m.read.private")
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_a_read_marker_during_the_hold_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    path = f"/rooms/{scene.room}/read_markers"
    await scene.phone.user.call("POST", path, {"m.fully_read": event_id, "m.read": event_id})
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_reading_up_to_a_reaction_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    reaction = await scene.alice.react(scene.room, event_id)
    await scene.phone.user.read(scene.room, reaction, thread_id="main")
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_an_answer_from_another_device_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    await scene.phone.user.send_text(scene.room, "on my way")
    # With the same time-out Synapse would repeat its last answer.
    await scene.desktop.sync(9_000, takes=False)
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_a_message_that_passes_through_reads_what_stands_above_it(scene: Scene) -> None:
    event_id = await scene.send_held()
    await scene.phone.user.send_text(scene.room, "on my way")
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_a_message_in_a_thread_and_one_from_the_desktop_read_nothing_else(scene: Scene) -> None:
    await scene.desktop.become_direct(delay_ms=1000, active_ms=60_000)
    root = await scene.alice.send_text(scene.room, "long ago")
    event_id = await scene.send()
    assert await scene.desktop.sync(takes=False) != []
    await scene.phone.user.send_text(scene.room, "in the thread", thread=root)
    await scene.phone.user.react(scene.room, event_id)
    await scene.desktop.user.send_text(scene.room, "answered in the notification")
    await pushed(scene.gateway, event_id)


async def test_after_a_restart_a_desktop_that_comes_back_keeps_the_phone_silent(scene: Scene) -> None:
    await scene.desktop.become_direct(delay_ms=60_000, active_ms=60_000)
    await scene.desktop.sync(0)
    await scene.relay.stop()
    await scene.relay.start()
    event_id = await scene.send()
    await scene.desktop.sync_until(event_id)
    await until(scene.is_settled, "the acknowledgement")
    assert event_id not in scene.gateway.events


async def test_after_a_restart_the_phone_rings_for_a_desktop_that_does_not_come_back(scene: Scene) -> None:
    await scene.desktop.become_direct(delay_ms=1000, active_ms=60_000)
    await scene.relay.stop()
    await scene.relay.start()
    await pushed(scene.gateway, await scene.send())


async def test_a_redaction_that_passes_through_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    await through(scene.alice, scene.relay).redact(scene.room, event_id)
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events
    assert await scene.desktop.sync(9_000) == []


async def test_a_redaction_that_the_desktop_is_told_of_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    await scene.alice.redact(scene.room, event_id)
    # With the same time-out Synapse would repeat its last answer.
    assert await scene.desktop.sync(9_000) == []
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_leaving_the_room_keeps_the_phone_silent(scene: Scene) -> None:
    event_id = await scene.send_held()
    await scene.phone.user.leave(scene.room)
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def test_an_invite_rings_once_in_the_response_that_brings_it(scene: Scene) -> None:
    async with scene.desktop.syncing():
        room = await scene.alice.create_room("Weekend", invite=[scene.desktop.user.user_id])
        await until(lambda: scene.desktop.notified, "the notification")
        await until(scene.is_settled, "the acknowledgement")
    assert len(scene.desktop.notified) == 1
    assert room is not None
    assert scene.gateway.events == []


async def test_http_pushers_that_do_not_wait_for_the_desktop_ring_at_once(scene: Scene) -> None:
    fallback = [{"app_id": "org.example.other", "pushkey": "other"}]
    await scene.desktop.set_pusher(
        {
            **direct_body(scene.desktop.user.device_id),
            "data": {"org.matrix.msc3361.delay_ms": 60_000, "org.matrix.msc3361.fallback": fallback},
        }
    )
    async with scene.desktop.syncing():
        event_id = await scene.send()
        await pushed(scene.gateway, event_id)
        await until(lambda: event_id in scene.desktop.notified, "the notification")


async def test_a_phone_rings_at_once_beside_a_device_that_asks_by_sliding_sync_alone(scene: Scene) -> None:
    tablet = await Device.begin(await scene.desktop.user.login_again("Tablet"), scene.relay)
    await scene.desktop.set_pusher({**direct_body(scene.desktop.user.device_id), "enabled": False})
    body = {"lists": {"all": {"ranges": [[0, 9]], "required_state": [], "timeline_limit": 5}}}
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    await tablet.user.call("POST", path, body)
    await tablet.become_direct(delay_ms=60_000, active_ms=60_000)
    await pushed(scene.gateway, await scene.send())
    # One request for /sync, and the device is there.
    await tablet.sync(0)
    event_id = await scene.send()

    async def is_held() -> bool:
        return (await scene.relay.relay.outbox.counts()).waiting.held == 1

    await until(is_held, "the push")
    assert event_id not in scene.gateway.events


async def test_a_cut_connection_makes_the_phone_ring(scene: Scene) -> None:
    polling = asyncio.create_task(scene.desktop.sync(30_000))
    await until(lambda: scene.relay.relay.state.connections.pending, "the poll")
    polling.cancel()
    await until(lambda: not scene.relay.relay.state.connections.pending, "the end of the poll")
    event_id = await scene.send()
    await pushed(scene.gateway, event_id)
    assert await scene.desktop.sync() == [event_id]
