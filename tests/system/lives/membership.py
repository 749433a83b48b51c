"""Who is in which room, and who wants whom in."""

from __future__ import annotations

from collections.abc import Mapping

from system.lives.expectation import WITH_ALL
from system.lives.people import Said, User, text
from system.lives.step import Kind, Step
from system.lives.world import Act, World, choose


async def _invite(world: World, step: Step) -> None:
    user = world.user(step)
    is_direct = step.kind is Kind.INVITE_DIRECT
    number = world.people.next_number()
    name = None if is_direct else text(number)
    room = await world.people.new_room(name, [user.me], is_direct=is_direct)
    # Their popup has the room's name, which is the number.
    if not is_direct:
        world.people.note(Said(number, "", room))


def _pending(user: User) -> list[str]:
    return [room.room_id for room in user.truth.rooms.values() if room.membership == "invite"]


async def _answer(world: World, step: Step) -> None:
    user = world.user(step)
    room = choose(_pending(user), step)
    if room is None or user.truth.rooms[room].invites[-1].sender in user.truth.ignored:
        return
    if step.kind is Kind.ACCEPT:
        await user.hand.join(room)
        user.enter(room)
    elif step.kind is Kind.DECLINE:
        await user.hand.leave(room)
    else:
        await world.people.senders[0].kick(room, user.me)


async def _leave(world: World, step: Step) -> None:
    user, room = world.user(step), world.room(step)
    if room is None:
        return
    alice = world.people.senders[0]
    match step.kind:
        case Kind.LEAVE:
            await user.hand.leave(room)
        case Kind.KICK:
            await alice.kick(room, user.me)
        case Kind.BAN:
            await alice.call("POST", f"/rooms/{room}/ban", {"user_id": user.user_id, "reason": "for a while"})


async def _ban_sender(world: World, step: Step) -> None:
    """The homeserver takes nothing back by itself: that is for clients."""
    user, room = world.user(step), world.room(step)
    alice, bob = world.people.senders
    if room is None or not world.is_member(user, room, bob):
        return
    await alice.send_state(room, "m.room.member", {"membership": "ban", WITH_ALL: True}, bob.user_id)
    await alice.call("POST", f"/rooms/{room}/unban", {"user_id": bob.user_id})
    await alice.invite(room, bob)
    await bob.join(room)


async def _come_back(world: World, step: Step) -> None:
    user = world.user(step)
    rooms = [each for each in user.rooms if user.truth.rooms[each].membership in ("leave", "ban")]
    room = choose(rooms, step)
    if room is None:
        return
    alice = world.people.senders[0]
    member = await alice.call("GET", f"/rooms/{room}/state/m.room.member/{user.user_id}")
    if member["membership"] == "ban":
        await alice.call("POST", f"/rooms/{room}/unban", {"user_id": user.user_id})
    await alice.invite(room, user.me)
    await user.hand.join(room)
    user.enter(room)


async def _upgrade(world: World, step: Step) -> None:
    """As /upgrade does it, which needs more power than Synapse gives a room's creator here."""
    user, room = world.user(step), world.room(step)
    if room is None or ("m.room.tombstone", "") in user.truth.rooms[room].state:
        return
    alice = world.people.senders[0]
    new = await world.people.new_room("Harbour, anew", [user.me])
    await alice.send_state(room, "m.room.tombstone", {"body": "moved", "replacement_room": new})


ACTS: Mapping[Kind, Act] = {
    Kind.INVITE: _invite,
    Kind.INVITE_DIRECT: _invite,
    Kind.ACCEPT: _answer,
    Kind.DECLINE: _answer,
    Kind.RETRACT: _answer,
    Kind.LEAVE: _leave,
    Kind.KICK: _leave,
    Kind.BAN: _leave,
    Kind.BAN_SENDER: _ban_sender,
    Kind.COME_BACK: _come_back,
    Kind.UPGRADE: _upgrade,
}
