"""Requests that pass and speak of others, or of what is not so: the relay goes by what the homeserver shows."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from conftest import NewUser
from edges.relay.conftest import Scene
from edges.relay.running import pushed, through
from heliograph.errors import Refused
from heliograph.relay.model.pushes import Accepted
from heliograph.relay.store.sqlite.store import DATABASE_NAME
from support.waiting import until

UNKNOWN = "$" + "x" * 43
TOO_LONG = "$" + "x" * 255


def remembered(folder: Path) -> list[tuple[str, str, str]]:
    """Event, user and reason of all that is remembered as settled."""
    with sqlite3.connect(folder / "relay" / DATABASE_NAME) as db:
        return db.execute("SELECT event_id, user_id, why FROM settled").fetchall()


async def test_a_repeated_transaction_with_another_body_redacts_nothing(scene: Scene, new_user: NewUser) -> None:
    stranger = through(await new_user("stranger"), scene.relay)
    room = await scene.alice.create_room("Old", invite=[scene.desktop.user, stranger], room_version="11")
    for user in (scene.desktop.user, stranger):
        await user.join(room)
    own = await stranger.send_text(room, "my own")
    path = f"/rooms/{quote(room)}/send/m.room.redaction/once"
    first = await stranger.call("PUT", path, {"redacts": own})
    event_id = await scene.alice.send_text(room, "for everybody")
    # Synapse answers as it did the first time, whatever the body says now.
    assert await stranger.call("PUT", path, {"redacts": event_id}) == first
    await pushed(scene.gateway, event_id)


async def test_a_redaction_by_a_message_keeps_the_phone_silent(scene: Scene) -> None:
    room = await scene.alice.create_room("New", invite=[scene.desktop.user], room_version="11")
    await scene.desktop.user.join(room)
    for _ in range(3):
        await scene.desktop.sync(0)
    await scene.desktop.become_direct(delay_ms=30_000, active_ms=10_000)
    event_id = await scene.alice.send_text(room, "a slip")
    assert event_id in await scene.desktop.sync(takes=False)
    alice = through(scene.alice, scene.relay)
    await alice.call("PUT", f"/rooms/{quote(room)}/send/m.room.redaction/{secrets.token_hex(4)}", {"redacts": event_id})
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


@pytest.mark.parametrize("way", ["state", "leave"])
async def test_who_leaves_in_whichever_way_is_not_rung_for_the_room(scene: Scene, way: str) -> None:
    event_id = await scene.send_held()
    me = scene.phone.user
    if way == "state":
        await me.send_state(scene.room, "m.room.member", {"membership": "leave"}, me.user_id)
    else:
        await me.call("PUT", f"/rooms/{quote(scene.room)}/leave/once", {})
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


@pytest.mark.parametrize("way", ["state", "POST", "PUT"])
async def test_who_is_banned_in_whichever_way_is_not_rung_for_the_room(scene: Scene, way: str) -> None:
    event_id = await scene.send_held()
    alice, me = through(scene.alice, scene.relay), scene.phone.user.user_id
    path = f"/rooms/{quote(scene.room)}/ban{'/once' if way == 'PUT' else ''}"
    if way == "state":
        await alice.send_state(scene.room, "m.room.member", {"membership": "ban"}, me)
    else:
        await alice.call(way, path, {"user_id": me})
    await until(scene.is_settled, "the cancellation")
    assert event_id not in scene.gateway.events


async def push_late(scene: Scene, event_id: str) -> None:
    """The homeserver's push of this event for the phone, as if only now."""
    (twin,) = (each for each in scene.relay.relay.state.registry.twins_of(scene.phone.user.user_id) if each.url)
    device = {"app_id": twin.app_id, "pushkey": twin.upstream_pushkey, "data": {}}
    body = {"event_id": event_id, "room_id": scene.room, "counts": {"unread": 1}, "devices": [device]}
    async with aiohttp.request(
        "POST", f"{scene.relay.url}/_matrix/push/v1/notify", json={"notification": body}
    ) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("way", ["left", "banned", "told by /sync"])
async def test_a_push_that_comes_after_the_leaving_is_not_sent(scene: Scene, way: str) -> None:
    me = scene.phone.user
    # So that the homeserver pushes nothing by itself.
    await me.call("PUT", f"/pushrules/global/room/{quote(scene.room, safe='')}", {"actions": []})
    event_id = await scene.send()
    if way == "left":
        await me.call("POST", f"/rooms/{quote(scene.room)}/leave", {})
    elif way == "banned":
        alice = through(scene.alice, scene.relay)
        await alice.call("POST", f"/rooms/{quote(scene.room)}/ban", {"user_id": me.user_id})
    else:
        await scene.alice.call("POST", f"/rooms/{quote(scene.room)}/kick", {"user_id": me.user_id})
        while scene.room not in scene.desktop.last.get("rooms", {}).get("leave", {}):
            await scene.desktop.sync()
    await push_late(scene, event_id)
    assert (await scene.relay.relay.outbox.counts()).accepted == {Accepted.SETTLED: 1}
    assert scene.gateway.events == []


async def test_an_invite_right_after_a_leaving_rings(scene: Scene) -> None:
    me = scene.phone.user
    await scene.send()
    await me.call("POST", f"/rooms/{quote(scene.room)}/leave", {})
    await scene.alice.call("POST", f"/rooms/{quote(scene.room)}/invite", {"user_id": me.user_id})
    path = f"/rooms/{quote(scene.room)}/state/m.room.member/{quote(me.user_id)}"
    invite = await scene.alice.call("GET", path, format="event")
    await pushed(scene.gateway, invite["event_id"])


async def test_a_new_name_is_no_leaving(scene: Scene) -> None:
    event_id = await scene.send_held(2_000)
    me = scene.phone.user
    await me.send_state(scene.room, "m.room.member", {"membership": "join", "displayname": "New"}, me.user_id)
    await pushed(scene.gateway, event_id)


async def test_nothing_is_kept_for_users_without_pushers(scene: Scene, tmp_path: Path) -> None:
    event_id = await scene.send()
    await through(scene.alice, scene.relay).call("POST", f"/rooms/{quote(scene.room)}/receipt/m.read/{quote(event_id)}")
    assert remembered(tmp_path) == []


@pytest.mark.expected_log(r"homeserver 403 GET .*/state/m.room.member/", times=(3, 3))
async def test_a_receipt_is_kept_for_events_of_rooms_that_the_user_is_in(
    scene: Scene, new_user: NewUser, tmp_path: Path
) -> None:
    me, elsewhere = scene.phone.user, await (await new_user("other")).create_room("Elsewhere")
    for room, event_id in ((scene.room, TOO_LONG), (scene.room, "nonsense"), (elsewhere, UNKNOWN), ("!x", UNKNOWN)):
        # Some of them Synapse refuses by itself.
        with contextlib.suppress(Refused):
            await me.call("POST", f"/rooms/{quote(room)}/read_markers", {"m.read": event_id})
        with contextlib.suppress(Refused):
            await me.call("POST", f"/rooms/{quote(room)}/receipt/m.read/{quote(event_id, safe='')}")
    assert remembered(tmp_path) == []
    await me.call("POST", f"/rooms/{quote(scene.room)}/receipt/m.read/{quote(UNKNOWN)}", {})
    assert remembered(tmp_path) == [(UNKNOWN, me.user_id, "read_up_to")]
