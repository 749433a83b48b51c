"""The people around a desktop, what they do, and how it is found out what a person at that desktop sees and hears."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from desktops.desktop import Desktop, Wrong
from desktops.machine import Machine
from desktops.people import COLOURS, register
from desktops.sight import count_colour, squash
from desktops.words import WORDS
from heliograph.core.ids import EventId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser

_SEEN_S = 15.0
"""Within that a popup is up, on a busy machine, too."""
_QUIET_S = 4.0
"""For so long it is looked whether one comes that should not."""
_AVATAR = 150
"""Pixels."""
_SILENCE_S = 2.5
_BLINK_S = 0.3

Look = Callable[[], Awaitable[str]]


@dataclass
class Scene:
    """One user's desktop with Heliograph on it, and the user's correspondents."""

    desktop: Desktop
    machine: Machine
    synapse: ThrowawaySynapse
    pictures: Path
    me: DemoUser
    """The user's other device."""
    people: dict[str, DemoUser]
    direct: str = ""
    lunch: str = ""
    last: dict[str, EventId] = field(default_factory=dict)
    """The newest event of each room."""
    situation: str = ""
    last_picture: Path = Path()
    """In the machine's shared folder."""
    _words: Iterator[str] = field(default_factory=lambda: iter(WORDS))
    _sounds: int = 0
    _requests: Iterator[int] = field(default_factory=itertools.count)

    # What people do

    def word(self) -> str:
        """One that nobody has used yet."""
        return next(self._words)

    async def write(self, name: str, text: str, room: str | None = None, mentions: Sequence[DemoUser] = ()) -> EventId:
        """In the direct room if it is Alice, else in the lunch room, unless another is named."""
        room = room or (self.direct if name == "Alice" else self.lunch)
        self.last[room] = await self.people[name].send_text(room, text, mentions=mentions)
        return self.last[room]

    async def read(self, room: str) -> None:
        """The user reads that room on another device."""
        if room in self.last:
            await self.me.read(room, self.last[room])

    async def new_room(self, name: str | None, host: str, *, is_direct: bool = False) -> str:
        """One with the user in it."""
        room = await self.people[host].create_room(name, invite=[self.me], is_direct=is_direct)
        await self.me.join(room)
        return room

    # What is seen and heard

    async def pops_up(self, text: str, seconds: float = _SEEN_S) -> None:
        await self._see(self.desktop.popups, text, seconds, f"{text!r} did not pop up")

    async def could_be_read(self, text: str) -> None:
        """At a glance, with nothing unfolded, on the last picture that was taken."""
        if squash(text) not in squash(seen := await self.desktop.read_popup(self.last_picture)):
            raise Wrong(f"{text!r} could not be read on the screen; seen: {' '.join(seen.split()) or 'nothing'}")

    async def does_not_pop_up(self, text: str, seconds: float = _QUIET_S) -> None:
        async for seen in _looks(self.desktop.popups, seconds):
            if squash(text) in squash(seen):
                raise Wrong(f"{text!r} popped up")

    async def goes(self, text: str, seconds: float = _SEEN_S) -> None:
        """From the screen, and from the list."""
        await self._miss(self.desktop.popups, text, seconds, f"{text!r} stayed on the screen")
        if self.desktop.has_list:
            await self._miss(self.desktop.kept, text, seconds, f"{text!r} stayed in the list")

    async def is_kept(self, text: str, seconds: float = _SEEN_S) -> None:
        """In the list; where there is none, nothing is asked."""
        if self.desktop.has_list:
            await self._see(self.desktop.kept, text, seconds, f"{text!r} is not in the list")

    async def is_off_the_screen(self, text: str, seconds: float = 40) -> None:
        """The time of the popup is over: the list has it, where there is one."""
        await self._miss(self.desktop.popups, text, seconds, f"{text!r} stayed on the screen for {seconds:g} s")

    async def sounds(self, number: int) -> None:
        """So many since the last time that was asked."""
        # Until the last has begun; a sound too many may come late.
        await asyncio.sleep(_SILENCE_S)
        heard = await self.machine.count_sounds() - self._sounds
        self._sounds += heard
        if heard != number:
            raise Wrong(f"{heard} sounds were heard, not {number}")

    async def forget_sounds(self) -> None:
        self._sounds = await self.machine.count_sounds()

    async def sees_picture_of(self, name: str) -> None:
        """At once, since a popup may be up for some seconds only; that picture of the screen is kept."""
        deadline = time.monotonic() + _SEEN_S
        while count_colour(await self.picture(), COLOURS[name]) < _AVATAR:
            if time.monotonic() > deadline:
                raise Wrong(f"the picture of {name} is not on the screen")
            await asyncio.sleep(_BLINK_S)

    async def picture(self, what: str = "") -> Path:
        """Takes one of the screen, which is kept."""
        taken = self.machine.shared / "taken.png"
        await self.desktop.take_picture(taken)
        picture = self.pictures / f"{self.desktop.name}-{self.situation}{f'-{what}' if what else ''}.png"
        picture.write_bytes(taken.read_bytes())
        self.last_picture = taken
        return picture

    # What the homeserver has

    async def until_true(self, condition: Callable[[], Awaitable[object]], complaint: str) -> None:
        """Raises Wrong unless it holds in time."""
        deadline = time.monotonic() + _SEEN_S
        while not await condition():
            if time.monotonic() > deadline:
                raise Wrong(complaint)
            await asyncio.sleep(0.3)

    async def is_read(self, room: str) -> bool:
        """Whether the homeserver counts nothing unread there."""
        # Each time another, since Synapse answers the same request from its memory for two minutes.
        never = {"types": [f"no.such.type.{next(self._requests)}"]}
        filter_ = json.dumps({"room": {"rooms": [room], "timeline": {"limit": 1}, "account_data": never}})
        told = await self.me.call("GET", "/sync", filter=filter_)
        counts = told["rooms"]["join"][room]["unread_notifications"]
        return bool(counts["notification_count"] == 0)

    async def messages(self, room: str) -> list[str]:
        """The newest texts there."""
        told = await self.me.call("GET", f"/rooms/{room}/messages", dir="b", limit="20")
        return [str(event["content"].get("body", "")) for event in told["chunk"]]

    # Between situations

    async def calm(self) -> None:
        """All is read, and nothing is on the screen or in the list."""
        for room in list(self.last):
            await self.read(room)
        self.last.clear()
        await asyncio.sleep(1.5)
        await self.desktop.clear()
        await asyncio.sleep(0.5)
        await self.forget_sounds()

    async def _see(self, look: Look, text: str, seconds: float, complaint: str) -> None:
        last = ""
        async for seen in _looks(look, seconds):
            if squash(text) in squash(seen):
                return
            last = seen or last
        raise Wrong(f"{complaint}; seen: {' '.join(last.split()) or 'nothing'}")

    async def _miss(self, look: Look, text: str, seconds: float, complaint: str) -> None:
        async for seen in _looks(look, seconds):
            if squash(text) not in squash(seen):
                return
        raise Wrong(complaint)


async def _looks(look: Look, seconds: float) -> AsyncIterator[str]:
    """What is seen, again and again for that long; once at least."""
    deadline = time.monotonic() + seconds
    while True:
        yield await look()
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_BLINK_S)


async def set_scene(desktop: Desktop, machine: Machine, synapse: ThrowawaySynapse, pictures: Path) -> Scene:
    """Everybody is there, Heliograph is signed in, and everybody's picture was seen once."""
    me = await register(synapse, "Me")
    people = {name: await register(synapse, name) for name in COLOURS}
    scene = Scene(desktop, machine, synapse, pictures, me, people)
    scene.direct = await scene.new_room(None, "Alice", is_direct=True)
    scene.lunch = await people["Bob"].create_room("Lunch", invite=[me, people["Carol"]])
    for guest in (me, people["Carol"]):
        await guest.join(scene.lunch)
    await machine.sign_in(me)
    # A notification waits only briefly for a picture that was never seen before.
    for name in ("Alice", "Bob", "Carol"):
        await scene.write(name, "Hello")
    await asyncio.sleep(5)
    await scene.calm()
    return scene
