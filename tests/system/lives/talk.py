"""What people say, edit, take back and react to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heliograph.errors import Refused
from system.faults.screen import write_token
from system.lives.names import CYRILLIC_ADA, NOTHING
from system.lives.people import User, text
from system.lives.step import Kind, Step
from system.lives.truth import Event
from system.lives.world import Act, World, choose, recent

KEYWORD = "ketchup"
_MANY = 22
"""More than a sync brings of one room."""
_SENT_MS = {Kind.SAY_LONG_AGO: 33_000_000_000, Kind.SAY_IN_FUTURE: 20_000_000_000_000}
"""Impossible times, in ms since 1970."""


def _content(kind: Kind, number: int, user: User) -> dict[str, Any]:
    """As today's clients write it: with m.mentions, so that nothing is found by its body alone."""
    body = text(number, "something")
    said: dict[str, Any] = {"msgtype": "m.text", "body": body, "m.mentions": {}}
    match kind:
        case Kind.SAY_MENTION:
            said["m.mentions"] = {"user_ids": [user.user_id]}
        case Kind.SAY_BEFORE_KEY if number % 2:
            said["m.mentions"] = {"user_ids": [user.user_id]}
        case Kind.SAY_ROOM:
            said |= {"body": f"@room {body}", "m.mentions": {"room": True}}
        case Kind.SAY_NOTICE:
            said["msgtype"] = "m.notice"
        case Kind.SAY_EMOTE:
            said["msgtype"] = "m.emote"
        case Kind.SAY_HTML:
            said |= {"format": "org.matrix.custom.html", "formatted_body": f"<b>{body}</b> &amp; <i>more</i>"}
        case Kind.SAY_IMAGE:
            said |= {"msgtype": "m.image", "filename": "lake.png", "url": "mxc://localhost/none", "info": {}}
        case Kind.SAY_KEYWORD:
            said["body"] = f"{body} {KEYWORD}"
    return said


async def say(world: World, step: Step) -> None:
    """What the step's kind says; a text if it says nothing."""
    user, room = world.user(step), world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return
    number = world.people.next_number()
    content = _content(step.kind, number, user)
    if step.kind is Kind.SAY_REPLY:
        event = choose(world.people.messages(user, room)[-8:], step)
        if event is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": event.event_id}}
    if step.kind is Kind.SAY_IN_THREAD:
        root = _thread_root(world, user, room, step)
        if root is not None:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": root}
    if step.kind is Kind.SAY_BEFORE_KEY:
        await world.people.say_before_key(user, sender, room, "m.room.message", content, number)
        return
    sent_ms = _SENT_MS.get(step.kind)
    await world.people.say(user, sender, room, "m.room.message", content, number, sent_ms=sent_ms)


async def _say_everywhere(world: World, step: Step) -> None:
    """In the first room what highlights."""
    for place in range(len(world.user(step).joined_rooms())):
        kind = Kind.SAY if place else Kind.SAY_MENTION
        await say(world, replace(step, kind=kind, room=place))


async def _bring_keys(world: World, step: Step) -> None:
    del step
    await world.people.bring_keys()


def _thread_root(world: World, user: User, room: str, step: Step) -> str | None:
    """A thread that there is, or a message that can begin one."""
    messages = [each for each in world.people.messages(user, room) if not _is_reply(each)]
    threads = [each.thread_root for each in messages if each.thread_root is not None]
    if threads and step.pick < 0.7:
        return threads[-1]
    root = choose([each for each in messages if each.thread_root is None][-8:], step)
    return None if root is None else root.event_id


def _is_reply(event: Event) -> bool:
    return "m.in_reply_to" in event.relation


async def _send_sticker(world: World, step: Step) -> None:
    number = world.people.next_number()
    content = {"body": text(number), "url": "mxc://localhost/none", "info": {}, "m.mentions": {}}
    await _send(world, step, "m.sticker", content, number)


async def _start_poll(world: World, step: Step) -> None:
    number = world.people.next_number()
    answers = [{"id": each, "org.matrix.msc1767.text": each} for each in ("yes", "no")]
    poll = {"question": {"org.matrix.msc1767.text": text(number)}, "answers": answers, "max_selections": 1}
    content = {"org.matrix.msc3381.poll.start": poll, "org.matrix.msc1767.text": "a poll"}
    await _send(world, step, "org.matrix.msc3381.poll.start", content, number)


async def _send_odd(world: World, step: Step) -> None:
    await _send(world, step, "org.example.odd", {"body": 7, "m.relates_to": "nothing"})


async def _send(
    world: World, step: Step, type_: str, content: Mapping[str, Any], number: int | None = None
) -> str | None:
    user, room = world.user(step), world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return None
    return await world.people.say(user, sender, room, type_, content, number)


async def _say_ourselves(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    if room is not None:
        content = {"msgtype": "m.text", "body": "my own words", "m.mentions": {}}
        await world.people.say(user, user.hand, room, "m.room.message", content)


async def _edit(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return
    known = [each for each in world.people.messages(user, room, sender=sender.user_id) if _is_text(world, each)]
    target = choose(known[-8:], step)
    said = None if target is None else world.people.said_as(target.event_id)
    if target is None or said is None:
        return
    is_mention = step.kind is Kind.EDIT_TO_MENTION
    latest = world.people.latest_version(said)
    number = world.people.next_number() if is_mention else latest.number
    body = write_token(number, 0 if is_mention else latest.version + 1)
    mentions = {"m.mentions": {"user_ids": [user.user_id]} if is_mention else {}}
    new = {"msgtype": "m.text", "body": body, **mentions}
    relation = {"rel_type": "m.replace", "event_id": target.event_id}
    content = {**new, "body": f"* {body}", "m.new_content": new, "m.relates_to": relation}
    await world.people.say(user, sender, room, "m.room.message", content, number if is_mention else None)
    if is_mention:
        latest.is_quoted, said.edited_as = False, number
    else:
        latest.version += 1


def _is_text(world: World, event: Event) -> bool:
    return event.type == "m.room.message" and world.people.said_as(event.event_id) is not None


async def _redact(world: World, step: Step) -> None:
    """By who wrote it, or by Alice, who may take back everybody's."""
    alice, bob = world.people.senders
    moderator = step.kind is Kind.MODERATE
    room = world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return
    author = bob if moderator else sender
    found = recent(world, step, sender=author.user_id)
    who = alice if moderator else author
    # Of what an ignored user takes back no device is told.
    if found is not None and who.user_id not in found[0].truth.ignored:
        await who.redact(room, found[2].event_id)


async def _react(world: World, step: Step) -> None:
    found = recent(world, step)
    sender = None if found is None else world.speaker(step, found[1])
    if found is not None and sender is not None:
        try:
            await sender.react(found[1], found[2].event_id)
        except Refused as refusal:
            # The same twice.
            assert "already" in str(refusal).lower() or refusal.errcode == "M_DUPLICATE_ANNOTATION"  # noqa: PT017


async def _react_in_thread(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return
    answers = [each for each in world.people.messages(user, room) if each.thread_root is not None]
    if answers:
        await sender.react(room, answers[-1].event_id, f"{world.people.next_number()}")


async def _unreact(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    if room is None:
        return
    reactions = [
        each
        for each in user.truth.rooms[room].events.values()
        if each.type == "m.reaction" and each.redacted_look is None and each.sender != user.user_id
    ]
    if (reaction := choose(reactions, step)) is not None:
        author = next(each for each in world.people.senders if each.user_id == reaction.sender)
        await author.redact(room, reaction.event_id)


async def _say_many(world: World, step: Step) -> None:
    """One after the other, so that their order is known."""
    user, room = world.user(step), world.room(step)
    sender = None if room is None else world.speaker(step, room)
    if room is None or sender is None:
        return
    kind = Kind.SAY_NOTICE if step.kind is Kind.FLOOD else Kind.SAY
    for _ in range(_MANY):
        number = world.people.next_number()
        await world.people.say(user, sender, room, "m.room.message", _content(kind, number, user), number)


async def _rename(world: World, step: Step) -> None:
    room = world.room(step)
    if room is not None:
        await world.people.senders[0].rename(room, choose(("Kitchen", "Cellar", "", "Deck <b>4</b>"), step) or "")


async def _rename_person(world: World, step: Step) -> None:
    user = world.user(step)
    who = user.hand if step.kind is Kind.RENAME_OURSELVES else world.sender(step)
    await who.set_display_name(choose(("Ada", "Grace", "Linus <i>", "Me"), step) or "Ada")


async def _rename_alike(world: World, step: Step) -> None:
    """Everybody of whom there may be two, so that they have to be told apart."""
    alice, bob = world.people.senders
    await alice.set_display_name("Ada")
    await bob.set_display_name(choose(("Ada", CYRILLIC_ADA), step) or "Ada")


async def _rename_misleadingly(world: World, step: Step) -> None:
    alice, bob = world.people.senders
    who, other = (bob, alice) if step.sender else (alice, bob)
    name = other.user_id if step.kind is Kind.RENAME_TO_ID else choose(NOTHING, step)
    await who.set_display_name(name or "")


ACTS: Mapping[Kind, Act] = {
    **dict.fromkeys(
        (
            *(Kind.SAY, Kind.SAY_MENTION, Kind.SAY_ROOM, Kind.SAY_NOTICE, Kind.SAY_EMOTE, Kind.SAY_HTML),
            *(Kind.SAY_IMAGE, Kind.SAY_REPLY, Kind.SAY_IN_THREAD, Kind.SAY_KEYWORD, Kind.SAY_BEFORE_KEY),
            *(Kind.SAY_LONG_AGO, Kind.SAY_IN_FUTURE),
        ),
        say,
    ),
    Kind.SAY_STICKER: _send_sticker,
    Kind.SAY_POLL: _start_poll,
    Kind.SAY_ODD: _send_odd,
    Kind.SAY_OURSELVES: _say_ourselves,
    Kind.SAY_EVERYWHERE: _say_everywhere,
    Kind.BRING_KEYS: _bring_keys,
    Kind.EDIT: _edit,
    Kind.EDIT_TO_MENTION: _edit,
    Kind.REDACT: _redact,
    Kind.MODERATE: _redact,
    Kind.REACT: _react,
    Kind.REACT_IN_THREAD: _react_in_thread,
    Kind.UNREACT: _unreact,
    Kind.FLOOD: _say_many,
    Kind.CHATTER: _say_many,
    Kind.RENAME: _rename,
    Kind.RENAME_SENDER: _rename_person,
    Kind.RENAME_OURSELVES: _rename_person,
    Kind.RENAME_ALIKE: _rename_alike,
    Kind.RENAME_TO_ID: _rename_misleadingly,
    Kind.RENAME_TO_NOTHING: _rename_misleadingly,
}
