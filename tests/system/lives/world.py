"""A life's people and machine together, and how steps choose what they are done to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from heliograph.demo.user import DemoUser
from system.lives.desk import Desk
from system.lives.people import People, User
from system.lives.step import Mode, Step
from system.lives.truth import Event

T = TypeVar("T")


@dataclass
class World:
    """`hand_url`: where phones and Heliograph find their homeserver, which is the relay in direct mode."""

    mode: Mode
    people: People
    desk: Desk
    hand_url: str
    folder: Path
    notices: set[str] = field(default_factory=set)
    """Titles of Heliograph's own words that something has given rise to."""
    summaries: list[str] = field(default_factory=list)
    """What the first start of each account has to say."""
    unrung: list[tuple[str, str]] = field(default_factory=list)
    """Accounts and events that nobody rang for."""
    had: set[str] = field(default_factory=set)
    """Events that the desktop had well before the phone would have rung."""
    refusals: list[str] = field(default_factory=list)
    """What commands of the user's were answered that could not be done."""

    def user(self, step: Step) -> User:
        return self.people.users[step.account % len(self.people.users)]

    def sender(self, step: Step) -> DemoUser:
        return self.people.senders[step.sender]

    def room(self, step: Step) -> str | None:
        """One that the user is in."""
        rooms = self.user(step).joined_rooms()
        return rooms[step.room % len(rooms)] if rooms else None

    def speaker(self, step: Step, room: str) -> DemoUser | None:
        """Somebody who is in that room, the wanted one if possible."""
        alice, bob = self.people.senders
        wanted = (bob, alice) if step.sender else (alice, bob)
        return next((sender for sender in wanted if self.is_member(self.user(step), room, sender)), None)

    def is_member(self, user: User, room: str, who: DemoUser) -> bool:
        """Whether they are in one of the user's rooms."""
        member = user.truth.rooms[room].state.get(("m.room.member", who.user_id))
        return member is not None and member.content.get("membership") == "join"


Act = Callable[[World, Step], Awaitable[None]]


def choose(things: Sequence[T], step: Step) -> T | None:
    """One of these, by the step's pick."""
    return things[int(step.pick * len(things))] if things else None


def recent(world: World, step: Step, *, sender: str | None = None) -> tuple[User, str, Event] | None:
    """One of the newest eight messages of the step's room."""
    user, room = world.user(step), world.room(step)
    if room is None:
        return None
    event = choose(world.people.messages(user, room, sender=sender)[-8:], step)
    return None if event is None else (user, room, event)
