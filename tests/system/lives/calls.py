"""Calls: who calls, and how the caller or the user ends that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from system.lives.step import Kind, Step
from system.lives.truth import CALLS, DECLINE, MEMBER, RING, Event
from system.lives.world import Act, World

_LIFETIME_MS = 600_000
_BRIEF_MS = 2000


async def _call(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    caller = None if room is None else world.speaker(step, room)
    if room is None or caller is None:
        return
    lifetime = _BRIEF_MS if step.kind is Kind.CALL_BRIEFLY else _LIFETIME_MS
    if step.kind is Kind.RING:
        content: dict[str, Any] = {
            "m.mentions": {"user_ids": [user.user_id]},
            "notification_type": "ring",
            "sender_ts": time.time_ns() // 1_000_000,
            "lifetime": lifetime,
        }
        await world.people.say(user, caller, room, RING, content)
        return
    content = {
        "call_id": f"c{world.people.next_number()}",
        "version": "1",
        "party_id": "a",
        "lifetime": lifetime,
        "offer": {"type": "offer", "sdp": ""},
    }
    if step.kind is Kind.CALL_ANOTHER:
        content["invitee"] = world.people.herald.user_id
    await world.people.say(user, caller, room, "m.call.invite", content)
    if step.kind is Kind.CALL_BRIEFLY and world.desk.is_running:
        # It ends while it rings.
        await asyncio.sleep(_BRIEF_MS / 1000)


async def _hang_up(world: World, step: Step) -> None:
    """A caller of two says so; one of a room's call leaves it."""
    user, room = world.user(step), world.room(step)
    call = None if room is None else user.truth.rooms[room].newest(*CALLS)
    caller = (
        None if call is None else next((each for each in world.people.senders if each.user_id == call.sender), None)
    )
    if room is None or call is None or caller is None:
        return
    if call.type == RING:
        if world.is_member(user, room, caller):
            await caller.send_state(room, MEMBER, {}, caller.user_id)
        return
    await world.people.say(user, caller, room, "m.call.hangup", {**_about(call), "party_id": "a"})


async def _answer(world: World, step: Step) -> None:
    """On the other device. What that encrypts the daemon can't read here, so it speaks in clear."""
    user, room = world.user(step), world.room(step)
    if room is None:
        return
    hand, truth = user.hand, user.truth.rooms[room]
    if step.kind is Kind.JOIN_CALL and truth.newest(*CALLS) is not None:
        place = {"application": "m.call", "call_id": f"c{world.people.next_number()}", "device_id": hand.device_id}
        await hand.send_state(room, MEMBER, place, hand.user_id)
    elif step.kind is Kind.DECLINE_CALL and (ring := truth.newest(RING)) is not None:
        await hand.send_event(room, DECLINE, {"m.relates_to": {"rel_type": "m.reference", "event_id": ring.event_id}})
    elif step.kind is Kind.TAKE_CALL and (call := truth.newest("m.call.invite")) is not None:
        await hand.send_event(room, "m.call.answer", {**_about(call), "party_id": "b"})


def _about(call: Event) -> dict[str, Any]:
    return {"call_id": call.content["call_id"], "version": "1"}


ACTS: Mapping[Kind, Act] = {
    **dict.fromkeys((Kind.CALL, Kind.CALL_BRIEFLY, Kind.CALL_ANOTHER, Kind.RING), _call),
    Kind.HANG_UP: _hang_up,
    **dict.fromkeys((Kind.TAKE_CALL, Kind.JOIN_CALL, Kind.DECLINE_CALL), _answer),
}
