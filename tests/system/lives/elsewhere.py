"""What the user does on the other device: reading, push rules, ignoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from heliograph.errors import Refused
from system.lives.people import User
from system.lives.step import Kind, Step
from system.lives.talk import KEYWORD
from system.lives.truth import Event
from system.lives.world import Act, World, choose

_SILENCED = "org.matrix.msc3890.local_notification_settings."


async def _read(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    if room is None:
        return
    events = _readable(user, room)
    target, thread = _target(step, events)
    if target is None:
        return
    kind: Literal["m.read", "m.read.private"] = "m.read" if int(step.pick * 100) % 2 else "m.read.private"
    match step.kind:
        case Kind.MARK_FULLY:
            await user.hand.call("POST", f"/rooms/{room}/read_markers", {"m.fully_read": target.event_id})
        case Kind.READ_AND_MARK:
            body = {"m.fully_read": target.event_id, kind: target.event_id}
            await user.hand.call("POST", f"/rooms/{room}/read_markers", body)
        case _:
            await user.hand.read(room, target.event_id, kind, thread)


def _readable(user: User, room: str) -> list[Event]:
    """What the homeserver shows the phone: nothing of who is ignored."""
    events = user.truth.rooms[room].events.values()
    return [each for each in events if each.redacted_look is None and each.sender not in user.truth.ignored]


def _target(step: Step, events: Sequence[Event]) -> tuple[Event | None, str | None]:
    """What the receipt points at, and its thread_id: half of the clients send none."""
    is_threaded = int(step.pick * 1000) % 2 == 0
    messages = [each for each in events if each.type == "m.room.message" and not each.is_relation]
    match step.kind:
        case Kind.READ_SOME:
            target = choose(messages[-10:], step)
        case Kind.READ_REACTION:
            target = next((each for each in reversed(events) if each.type == "m.reaction"), None)
        case Kind.READ_REACTION_IN_THREAD:
            return _reaction_in_thread(events)
        case Kind.READ_MAIN:
            main = [each for each in messages if each.thread_root is None]
            return (main[-1] if main else None), "main"
        case Kind.READ_THREAD:
            threads = [each for each in messages if each.thread_root is not None]
            return (threads[-1], threads[-1].thread_root) if threads else (None, None)
        case _:
            target = events[-1] if events else None
    if target is None or not is_threaded or target.is_relation:
        return target, None
    return target, target.thread_root or "main"


def _reaction_in_thread(events: Sequence[Event]) -> tuple[Event | None, str | None]:
    """A reaction in a thread belongs to the thread."""
    roots = {each.event_id: each.thread_root for each in events if each.thread_root is not None}
    for event in reversed(events):
        if event.type == "m.reaction" and (root := roots.get(str(event.relation.get("event_id")))) is not None:
            return event, root
    return None, None


async def _set_rule(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    if room is None:
        return
    hand = user.hand
    match step.kind:
        case Kind.MUTE:
            await hand.mute(room)
        case Kind.MENTIONS_ONLY:
            await hand.set_push_rule("room", room, {"actions": []})
        case Kind.LOUD:
            for kind in ("override", "room"):
                if any(rule["rule_id"] == room for rule in user.truth.rules.get(kind, [])):
                    await _drop_rule(hand, kind, room)
        case Kind.ADD_KEYWORD:
            rule: dict[str, Any] = {"pattern": KEYWORD, "actions": ["notify", {"set_tweak": "highlight"}]}
            await hand.set_push_rule("content", KEYWORD, rule)
        case Kind.DROP_KEYWORD:
            await _drop_rule(hand, "content", KEYWORD)


async def _drop_rule(hand: Any, kind: str, rule_id: str) -> None:
    try:
        await hand.call("DELETE", f"/pushrules/global/{kind}/{rule_id}")
    except Refused as refusal:
        assert refusal.status == 404  # noqa: PT017


async def _ignore(world: World, step: Step) -> None:
    """Bob, who invites nobody; Alice sometimes. Nobody is let back in while the daemon is away: the homeserver then
    hands out what it kept back, and does not say whether that rang."""
    if step.kind is Kind.UNIGNORE and not world.desk.is_running:
        return
    user = world.user(step)
    alice, bob = world.people.senders
    who = alice if step.pick < 0.2 else bob
    ignored: dict[str, Any] = {who.user_id: {}} if step.kind is Kind.IGNORE else {}
    if not world.desk.is_running:
        ignored |= {each: {} for each in user.truth.ignored}
    await user.hand.set_account_data("m.ignored_user_list", {"ignored_users": ignored})


async def _silence(world: World, step: Step) -> None:
    user = world.user(step)
    if user.account is None:
        return
    is_silent = step.kind is Kind.SILENCE
    await user.hand.set_account_data(f"{_SILENCED}{user.account.device_id}", {"is_silenced": is_silent})
    user.silenced.append((user.truth.looks, is_silent))


ACTS: Mapping[Kind, Act] = {
    **dict.fromkeys(
        (
            *(Kind.READ, Kind.READ_SOME, Kind.READ_REACTION, Kind.READ_MAIN, Kind.READ_THREAD),
            *(Kind.READ_REACTION_IN_THREAD, Kind.MARK_FULLY, Kind.READ_AND_MARK),
        ),
        _read,
    ),
    **dict.fromkeys((Kind.MUTE, Kind.MENTIONS_ONLY, Kind.LOUD, Kind.ADD_KEYWORD, Kind.DROP_KEYWORD), _set_rule),
    Kind.IGNORE: _ignore,
    Kind.UNIGNORE: _ignore,
    Kind.SILENCE: _silence,
    Kind.UNSILENCE: _silence,
}
