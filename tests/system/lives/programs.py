"""What becomes of the programs: the daemon, its configuration and accounts, and what it talks to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from heliograph.accounts import config_file
from support.waiting import until
from system.daemon import sign_in
from system.evidence import PATIENCE_S
from system.lives import talk
from system.lives.desk import Settings
from system.lives.expectation import why_gone, word_summary
from system.lives.hands import clear_popup
from system.lives.people import User
from system.lives.step import Kind, Step
from system.lives.unknown import note_unknown
from system.lives.world import Act, World

_KILLED_S = 0.15
"""In which a message comes to the daemon and goes to the screen, mostly."""
_PHONE_S = 20.0
"""The relay holds a push for three seconds, and Synapse needs a while after it lost its gateway."""
_FEW = 2


async def _configure(world: World, step: Step) -> None:
    """A running daemon is started anew, since only then does it read its configuration."""
    settings, room = world.desk.settings, world.room(step)
    match step.kind:
        case Kind.QUIET_HOURS:
            settings = replace(settings, has_quiet_hours=True)
        case Kind.QUIET_BUT:
            settings = replace(settings, has_quiet_hours=True, loud_rooms=frozenset({room or ""} - {""}))
        case Kind.NO_QUIET_HOURS:
            settings = replace(settings, has_quiet_hours=False, loud_rooms=frozenset())
        case Kind.FEW_POPUPS:
            settings = replace(settings, max_rooms=_FEW)
        case Kind.MANY_POPUPS:
            settings = replace(settings, max_rooms=Settings().max_rooms)
    world.desk.settings = settings
    write_config(settings)
    if world.desk.is_running:
        await _end(world, Step(Kind.STOP))
        await _start(world, step)


def write_config(settings: Settings) -> None:
    """What a life's daemon is told."""
    hours = '["00:00-24:00"]' if settings.has_quiet_hours else "[]"
    rooms = ", ".join(f'"{room}"' for room in sorted(settings.loud_rooms))
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(
        f"[notifications]\nmax_rooms = {settings.max_rooms}\n[quiet]\nhours = {hours}\nrooms = [{rooms}]\n"
    )


async def _start(world: World, step: Step) -> None:
    del step
    if world.desk.is_running:
        return
    people = world.people
    first = people.users[0]
    if first.account is None:
        await _sign_user_in(world, first)
    for user in people.users:
        await _expect_first_start(world, user)
        if (absence := user.end_absence()) is not None:
            note_unknown(user, absence)
    await world.desk.start(len(people.users))
    if people.is_encrypted:
        await world.desk.wait_for_keys(people.users)
        for user in people.users:
            await people.meet(user, world.folder)
    if world.mode.is_direct:
        await world.desk.wait_for_pushers()


async def _sign_user_in(world: World, user: User) -> None:
    """Signs Heliograph in, on a device of its own."""
    user.account = await sign_in(replace(user.me, base_url=world.hand_url))


async def _expect_first_start(world: World, user: User) -> None:
    """Notes that whatever is unread when the daemon first serves this account is told in one summary. The sign-in may
    have been long before, while no daemon ran."""
    if user.first_look is not None:
        return
    await user.truth.look()
    user.first_look = user.truth.looks
    if (summary := word_summary(user)) is not None:
        world.summaries.append(summary)


async def _end(world: World, step: Step) -> None:
    if world.desk.is_running:
        await (world.desk.stop() if step.kind is Kind.STOP else world.desk.kill())
        for user in world.people.users:
            user.begin_absence(is_in_order=step.kind is Kind.STOP)


async def _say_and_kill(world: World, step: Step) -> None:
    """Some moments after the message the daemon is killed, whatever it is doing by then."""
    if not world.desk.is_running:
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.say(world, step))
        await asyncio.sleep(_KILLED_S * step.pick)
        world.desk.kills_in_talk += 1
        world.desk.killed_at.append(len(world.desk.screen.tellings))
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
        begun = user.absences[-1].begin
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
    await _sign_user_in(world, user)
    if was_running:
        await _start(world, step)


async def _restart_screen(world: World, step: Step) -> None:
    del step
    # Where the user is not disturbed by it, all of it is shown again.
    if not world.desk.screen.profile.lists_low:
        for user in world.people.users:
            for room in user.truth.rooms:
                clear_popup(world, user, room)
    world.notices.clear()
    await world.desk.screen.restart_in_order()


async def _restart_relay(world: World, step: Step) -> None:
    if world.desk.relay is not None:
        world.desk.has_relay_restarted = True
        await (world.desk.relay.kill() if step.kind is Kind.RELAY_KILLED else world.desk.relay.stop())
        await world.desk.relay.start()


async def _let_relay_leave(world: World, step: Step) -> None:
    """Afterwards the homeserver has the users' pushers as they were set, and nothing of the relay's."""
    del step
    relay, users = world.desk.relay, world.people.users
    if relay is None or world.desk.has_relay_left:
        return
    world.desk.has_relay_left = True
    await relay.say_leaving(is_leaving=True)

    async def is_over() -> bool:
        # Requests of the users' other devices, by which their pushers are put back.
        await asyncio.gather(*(user.hand.call("GET", "/joined_rooms") for user in users))
        return {user.user_id for user in users}.isdisjoint(await relay.users())

    await until(is_over, "the last pusher of the relay's", PATIENCE_S)
    for user in users:
        await until(partial(_stands_as_set, world, user), "the phone's own pusher", PATIENCE_S)


async def _stands_as_set(world: World, user: User) -> bool:
    """Whether the homeserver has the phone's pusher, and no other http pusher."""
    listed = (await user.me.call("GET", "/pushers"))["pushers"]
    return [each["data"]["url"] for each in listed if each["kind"] == "http"] == [world.desk.phone.url]


async def _put_relay_back(world: World, step: Step) -> None:
    del step
    relay, desk = world.desk.relay, world.desk
    if relay is None or not desk.has_relay_left:
        return
    await relay.say_leaving(is_leaving=False)
    await until(partial(_offers_direct_push, world), "direct push", PATIENCE_S)
    # A desktop that runs asks seldom whether a proxy has come.
    if desk.is_running:
        await _end(world, Step(Kind.STOP))
        await _start(world, Step(Kind.START))
    desk.has_relay_left = False


async def _offers_direct_push(world: World) -> bool:
    versions = await world.people.users[0].hand.call("GET", "/_matrix/client/versions")
    return bool(versions["unstable_features"].get("org.matrix.msc3361"))


async def _restart_homeserver(world: World, step: Step) -> None:
    del step
    world.desk.has_server_restarted = True
    await world.people.server.restart()


ACTS: Mapping[Kind, Act] = {
    **dict.fromkeys(
        (Kind.QUIET_HOURS, Kind.QUIET_BUT, Kind.NO_QUIET_HOURS, Kind.FEW_POPUPS, Kind.MANY_POPUPS), _configure
    ),
    Kind.START: _start,
    Kind.STOP: _end,
    Kind.KILL: _end,
    Kind.SAY_AND_KILL: _say_and_kill,
    Kind.WAIT_FOR_PHONE: _wait_for_phone,
    Kind.SECOND_ACCOUNT: _sign_second_in,
    Kind.SCREEN_RESTARTS: _restart_screen,
    Kind.RELAY_RESTARTS: _restart_relay,
    Kind.RELAY_KILLED: _restart_relay,
    Kind.RELAY_LEAVES: _let_relay_leave,
    Kind.RELAY_COMES_BACK: _put_relay_back,
    Kind.HOMESERVER_RESTARTS: _restart_homeserver,
}
