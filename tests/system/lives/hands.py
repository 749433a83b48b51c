"""What the user does at the desktop: popups, commands, the session; and what becomes of the programs there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace

from fakes.notification_server import Shown
from heliograph.accounts import config_file
from heliograph.control.client import ask
from heliograph.errors import UserError
from system.daemon import sign_in
from system.lives import talk
from system.lives.expectation import why_gone, word_summary
from system.lives.people import User
from system.lives.step import Kind, Step
from system.lives.world import Act, World, choose
from waiting import until

NO_CLIENT = "No Matrix client could be opened"
_KILLED_S = 0.15
"""In which a message comes to the daemon and goes to the screen, mostly."""
_PHONE_S = 20.0
"""The relay holds a push for three seconds, and Synapse needs a while after it lost its gateway."""
_LABELS = {Kind.PRESS_READ: "Mark as read", Kind.PRESS_ACCEPT: "Accept", Kind.PRESS_DECLINE: "Decline"}


def _popup(world: World, step: Step, label: str = "") -> tuple[User, str, Shown] | None:
    """A room's popup that has this button."""
    user = world.user(step)
    found = [(room, popup) for room, popup in world.desk.room_popups(user) if not label or label in popup.actions]
    chosen = choose([each for each in found if each[0].startswith("!")], step)
    return None if chosen is None or not world.desk.is_running else (user, *chosen)


def _clear(world: World, user: User, room: str) -> None:
    """The popup of this room goes, and with it all that it showed."""
    user.cleared.update(user.truth.rooms[room].events)
    user.cleared.update(each.event_id for each in world.desk.deliveries(user) if each.room_id == room)


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
    _clear(world, user, room)
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
    _clear(world, user, room)
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
    _clear(world, user, room)
    world.desk.screen.reply(popup.id, "typed into the popup")


async def _close(world: World, step: Step) -> None:
    """Also while the daemon is gone."""
    user = world.user(step)
    found = choose([each for each in world.desk.room_popups(user) if each[0].startswith("!")], step)
    if found is None:
        return
    room, popup = found
    _clear(world, user, room)
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
    if world.desk.is_running:
        world.desk.is_paused = step.kind is Kind.PAUSE
        await (ask("Pause", "s", "") if world.desk.is_paused else ask("Resume"))


async def _configure(world: World, step: Step) -> None:
    """A running daemon is started anew, since only then does it read its configuration."""
    world.desk.has_quiet_hours = step.kind is Kind.QUIET_HOURS
    write_config(has_quiet_hours=world.desk.has_quiet_hours)
    if world.desk.is_running:
        await _end(world, Step(Kind.STOP))
        await _start(world, step)


def write_config(*, has_quiet_hours: bool = False) -> None:
    """What a life's daemon is told: to show each room by itself, so that a popup says what it shows."""
    hours = '["00:00-24:00"]' if has_quiet_hours else "[]"
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(f"[notifications]\nmax_rooms = 50\n[quiet]\nhours = {hours}\n")


async def _lock(world: World, step: Step) -> None:
    await asyncio.sleep(0)
    world.desk.is_locked = step.kind is Kind.LOCK
    if world.desk.is_locked:
        world.desk.logind.lock()
    else:
        world.desk.logind.unlock()


async def _start(world: World, step: Step) -> None:
    del step
    if world.desk.is_running:
        return
    people = world.people
    first = people.users[0]
    if first.account is None:
        await sign_in_user(world, first)
    for user in people.users:
        user.end_absence()
    await world.desk.start(len(people.users))
    if people.is_encrypted:
        await world.desk.wait_for_keys(len(people.users))
        for user in people.users:
            await people.meet(user, world.folder)
    if world.mode.is_direct:
        await world.desk.wait_for_pushers()


async def sign_in_user(world: World, user: User) -> None:
    """Heliograph on a device of its own. What is unread by now is one summary."""
    user.account = await sign_in(replace(user.me, base_url=world.hand_url))
    await user.truth.look()
    user.first_look = user.truth.looks
    if (summary := word_summary(user)) is not None:
        world.summaries.append(summary)


async def _end(world: World, step: Step) -> None:
    if world.desk.is_running:
        await (world.desk.stop() if step.kind is Kind.STOP else world.desk.kill())
        for user in world.people.users:
            user.begin_absence()


async def _say_and_kill(world: World, step: Step) -> None:
    """Some moments after the message the daemon is killed, whatever it is doing by then."""
    if not world.desk.is_running:
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.say(world, step))
        await asyncio.sleep(_KILLED_S * step.pick)
        world.desk.kills_in_talk += 1
        await _end(world, step)


async def _wait_for_phone(world: World, step: Step) -> None:
    """With the desktop gone, all that the homeserver lets ring and that is unread is the phone's."""
    del step
    if not world.mode.is_direct or world.desk.is_running:
        return

    async def is_all_rung() -> bool:
        for user in world.people.users:
            await user.truth.look()
        return not owed_to_phone(world)

    with contextlib.suppress(AssertionError):
        await until(is_all_rung, "the phone", _PHONE_S)
    world.unrung = owed_to_phone(world)


def owed_to_phone(world: World) -> list[tuple[str, str]]:
    """Accounts and events that came while the daemon was gone, and rang nowhere."""
    owed = []
    for user in world.people.users:
        if user.account is None or not user.absences:
            continue
        begun = user.absences[-1][0]
        for room in user.truth.rooms.values():
            for event in room.events.values():
                is_due = event.look > begun and event.listed and event.state_key is None
                if is_due and not why_gone(user, room, event) and event.event_id not in world.desk.phone.rung:
                    owed.append((user.user_id, event.event_id))
    return owed


async def _sign_second_in(world: World, step: Step) -> None:
    """A running daemon knows only the accounts that it was started with."""
    people = world.people
    if len(people.users) > 1:
        return
    user = await people.add_user(world.hand_url)
    was_running = world.desk.is_running
    if was_running:
        await world.desk.stop()
    await sign_in_user(world, user)
    if was_running:
        await _start(world, step)


async def _restart_screen(world: World, step: Step) -> None:
    del step
    for user in world.people.users:
        for room in user.truth.rooms:
            _clear(world, user, room)
    world.notices.clear()
    await world.desk.screen.restart_in_order()


async def _restart_relay(world: World, step: Step) -> None:
    del step
    if world.desk.relay is not None:
        world.desk.has_relay_restarted = True
        await world.desk.relay.stop()
        await world.desk.relay.start()


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
    Kind.RESUME: _pause,
    Kind.QUIET_HOURS: _configure,
    Kind.NO_QUIET_HOURS: _configure,
    Kind.LOCK: _lock,
    Kind.UNLOCK: _lock,
    Kind.START: _start,
    Kind.STOP: _end,
    Kind.KILL: _end,
    Kind.SAY_AND_KILL: _say_and_kill,
    Kind.WAIT_FOR_PHONE: _wait_for_phone,
    Kind.SECOND_ACCOUNT: _sign_second_in,
    Kind.SCREEN_RESTARTS: _restart_screen,
    Kind.RELAY_RESTARTS: _restart_relay,
}
