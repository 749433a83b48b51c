"""What the user does at the desktop: popups, commands, the session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fakes.notification_banners import Shown
from heliograph.control.client import ask
from heliograph.errors import UserError
from support.waiting import until
from system.lives.oracle import SUMMARY_KEY
from system.lives.people import User
from system.lives.step import Kind, Step
from system.lives.world import Act, World, choose

NO_CLIENT = "No Matrix client could be opened"
_EVERYWHERE = 0.3
"""The share of pauses that are for all devices."""
_POPS_UP_S = 10.0
"""In which what was held back pops up. What waits for its key does so for three seconds."""
_LABELS = {Kind.PRESS_READ: "Mark as read", Kind.PRESS_ACCEPT: "Accept", Kind.PRESS_DECLINE: "Decline"}


def _popup(world: World, step: Step, label: str = "") -> tuple[User, str, Shown] | None:
    """A room's popup that has this button."""
    user = world.user(step)
    found = [(room, popup) for room, popup in world.desk.room_popups(user) if not label or label in popup.actions]
    chosen = choose([each for each in found if each[0].startswith("!")], step)
    return None if chosen is None or not world.desk.is_running else (user, *chosen)


def clear_popup(world: World, user: User, key: str) -> None:
    """The popup of this room, or this summary, goes, and with it all that it showed."""
    if key in user.truth.rooms:
        user.cleared.update(user.truth.rooms[key].events)
    user.cleared.update(each.event_id for each in world.desk.deliveries(user) if key in (each.room_id, each.popup_key))


async def _click(world: World, step: Step) -> None:
    """The room is opened, which reads all that its popup shows."""
    if (found := _popup(world, step)) is None:
        return
    user, room, popup = found
    shown = [each.event_id for each in world.desk.deliveries(user) if each.popup_key == room and each.state == "shown"]
    user.opened.update(shown)
    world.notices.add(NO_CLIENT)
    world.desk.screen.act(popup.id)


async def _press(world: World, step: Step) -> None:
    label = _LABELS[step.kind]
    if (found := _popup(world, step, label)) is None:
        return
    user, room, popup = found
    clear_popup(world, user, room)
    is_member = user.truth.rooms[room].membership == "join"
    world.desk.screen.press(popup, label)
    if step.kind is Kind.PRESS_ACCEPT and not is_member:
        await until(lambda: _is_in(user, room), "the user in the room")
        user.enter(room)


async def _is_in(user: User, room: str) -> bool:
    return room in (await user.hand.call("GET", "/joined_rooms"))["joined_rooms"]


async def _press_mute(world: World, step: Step) -> None:
    if (found := _popup(world, step, "Mute…")) is None:
        return
    user, room, popup = found
    clear_popup(world, user, room)
    before = set(world.desk.screen.on_screen)
    world.desk.screen.press(popup, "Mute…")

    def question() -> Shown | None:
        new = (each for each in world.desk.screen.on_screen.values() if each.id not in before)
        return next((each for each in new if "For an hour" in each.actions), None)

    world.desk.screen.press(await until(question, "the question for how long"), "For an hour")

    async def is_mute() -> bool:
        rules = (await user.hand.call("GET", "/pushrules/"))["global"]["override"]
        return any(rule["rule_id"] == room for rule in rules)

    await until(is_mute, "the rule that mutes")


async def _type_reply(world: World, step: Step) -> None:
    if (found := _popup(world, step, "inline-reply")) is None:
        return
    user, room, popup = found
    clear_popup(world, user, room)
    world.desk.screen.reply(popup.id, "typed into the popup")


async def _close(world: World, step: Step) -> None:
    """Also while the daemon is gone, and also a summary."""
    user = world.user(step)
    found = choose([each for each in world.desk.room_popups(user) if each[0].startswith(("!", SUMMARY_KEY))], step)
    if found is None:
        return
    key, popup = found
    clear_popup(world, user, key)
    if step.kind is Kind.DISMISS:
        world.desk.screen.dismiss(popup.id)
    else:
        world.desk.screen.expire(popup.id)


async def _use_inbox(world: World, step: Step) -> None:
    """What `heliograph inbox read` and `reply` ask of the daemon."""
    if not world.desk.is_running:
        return
    user = world.user(step)
    rooms = (await world.desk.inbox()).get(user.user_id, {})
    room = choose(sorted(room for room in rooms if user.truth.rooms[room].membership == "join"), step)
    if room is None:
        return
    words = ("typed into the terminal",) if step.kind is Kind.INBOX_REPLY else ()
    try:
        await ask("Reply" if words else "MarkRead", "ss" + "s" * len(words), user.user_id, room, *words)
    except UserError as error:
        world.refusals.append(f"{step}: {error}")


async def _pause(world: World, step: Step) -> None:
    """Mostly for this desktop alone, so that the phone rings instead."""
    desk = world.desk
    if desk.is_running:
        desk.is_paused, desk.is_paused_everywhere = True, step.pick < _EVERYWHERE
        await ask("PauseEverywhere" if desk.is_paused_everywhere else "Pause", "s", "")


async def _resume(world: World, step: Step) -> None:
    """What was held back pops up by itself, before anything new comes."""
    del step
    desk = world.desk
    if not desk.is_running:
        return
    was_paused, desk.is_paused = desk.is_paused, False
    await ask("Resume")
    if was_paused and not desk.is_quiet:
        await until(lambda: not desk.is_anything_held_back(world.people.users), "what was held back", _POPS_UP_S)


async def _lock(world: World, step: Step) -> None:
    await asyncio.sleep(0)
    world.desk.is_locked = step.kind is Kind.LOCK
    if world.desk.is_locked:
        world.desk.logind.lock()
    else:
        world.desk.logind.unlock()


ACTS: Mapping[Kind, Act] = {
    Kind.OPEN: _click,
    Kind.PRESS_READ: _press,
    Kind.PRESS_ACCEPT: _press,
    Kind.PRESS_DECLINE: _press,
    Kind.PRESS_MUTE: _press_mute,
    Kind.TYPE_REPLY: _type_reply,
    Kind.DISMISS: _close,
    Kind.EXPIRE: _close,
    Kind.INBOX_READ: _use_inbox,
    Kind.INBOX_REPLY: _use_inbox,
    Kind.PAUSE: _pause,
    Kind.RESUME: _resume,
    Kind.LOCK: _lock,
    Kind.UNLOCK: _lock,
}
