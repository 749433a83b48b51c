"""The people of a life: two who write, and one or two users of the desktop, each with a phone besides."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heliograph.accounts import Account
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.remote_peer import RemotePeer, Sealed
from system.faults.screen import write_token
from system.lives.bridge import send_at
from system.lives.truth import MEMBER, Event, Truth

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
_UNREADABLE = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y", "sender_key": "z"}
"""What a device is sent that did not exist when it was said."""


_FOR_EVER = 2**31


@dataclass
class Absence:
    """While the daemon was not running: from after one look of the truth to another."""

    begin: int
    is_in_order: bool
    """It was stopped, and not killed."""
    end: int = _FOR_EVER

    def has(self, look: int) -> bool:
        return self.begin < look <= self.end


@dataclass
class Said:
    """A message, or an invite, by the number that it bears on screen."""

    number: int
    event_id: str
    room_id: str
    version: int = 0
    is_quoted: bool = True
    """A popup quotes its number."""
    edited_as: int | None = None
    """The number of the edit that mentions the user in its place."""


@dataclass
class Unreadable:
    """A message whose key is to come: what it says, and the key, sealed."""

    user: User
    said: Said
    type: str
    content: Mapping[str, Any]
    peer: RemotePeer
    key: Sealed


@dataclass
class User:
    """One user of the desktop. `hand` is the phone: what the user does elsewhere. `rooms` in the order of joining."""

    me: DemoUser
    hand: DemoUser
    truth: Truth
    rooms: list[str] = field(default_factory=list)
    account: Account | None = None
    """Once Heliograph is signed in."""
    first_look: int | None = None
    """Of the truth, at Heliograph's first start: what was there before is one summary."""
    opened: set[str] = field(default_factory=set)
    """Event ids that the user opened from the screen."""
    cleared: set[str] = field(default_factory=set)
    """What no popup shows any more: it was closed, or its server is gone."""
    silenced: list[tuple[int, bool]] = field(default_factory=list)
    """In which look another client silenced Heliograph's device, or no longer."""
    absences: list[Absence] = field(default_factory=list)
    peers: dict[str, RemotePeer] = field(default_factory=dict)
    """Senders' devices that have met Heliograph's, by user id."""

    @property
    def user_id(self) -> str:
        return self.me.user_id

    def begin_absence(self, *, is_in_order: bool) -> None:
        """The daemon no longer runs."""
        self.absences.append(Absence(self.truth.looks, is_in_order))

    def end_absence(self) -> Absence | None:
        """It runs again. Returns the absence that is over, if there was one."""
        if not self.absences or self.absences[-1].end != _FOR_EVER:
            return None
        self.absences[-1].end = self.truth.looks
        return self.absences[-1]

    def is_silenced(self, look: int) -> bool:
        """Whether another client had silenced Heliograph's device by then."""
        return next((is_silent for at, is_silent in reversed(self.silenced) if at < look), False)

    def told_by(self, look: int) -> int:
        """The look by which Heliograph was told of what came in this one: that at the end of an absence."""
        return next((each.end for each in self.absences if each.has(look)), look)

    def enter(self, room: str) -> None:
        """The user has joined a room."""
        if room not in self.rooms:
            self.rooms.append(room)

    def joined_rooms(self) -> list[str]:
        return [room for room in self.rooms if self.truth.rooms[room].membership == "join"]


class People:
    """Who there is, and what was said."""

    def __init__(self, server: ThrowawaySynapse, names: str, *, is_encrypted: bool) -> None:
        self.server = server
        self.names = names
        self.is_encrypted = is_encrypted
        self.said: dict[int, Said] = {}
        self.clear: dict[str, tuple[str, Mapping[str, Any]]] = {}
        """What encrypted events say, by event id."""
        self.unreadable: list[Unreadable] = []
        self.users: list[User] = []
        self.senders: Sequence[DemoUser] = ()
        self.herald: DemoUser
        self.control = ""
        """The room whose messages, the herald's, only tell how far Heliograph has come."""
        self._gateway_url: str | None = None
        self._numbers = itertools.count(1)
        self._locks: dict[str, asyncio.Lock] = {}

    async def gather(self, hand_url: str, gateway_url: str | None) -> None:
        """The senders and the first user. `hand_url` is where phones find their homeserver, `gateway_url` where they
        are rung, if they are."""
        self._gateway_url = gateway_url
        who = ("alice", "bob", "herald")
        alice, bob, self.herald = await asyncio.gather(*(self.server.register(f"{each}-{self.names}") for each in who))
        self.senders = (alice, bob)
        self.control = await self.herald.create_room("Control")
        await self.add_user(hand_url)

    async def add_user(self, hand_url: str) -> User:
        """One more user of the desktop, with rooms."""
        number = len(self.users)
        me = await self.server.register(f"me{number}-{self.names}")
        hand = replace(await me.login_again("Phone"), base_url=hand_url)
        watching = await me.login_again("Watching")
        user = User(me, hand, Truth(watching, self.clear))
        names: Sequence[str | None] = ("Harbour", None, "Quarry", "Attic") if number == 0 else ("Harbour", None)
        user.rooms = list(await asyncio.gather(*(self._open_room(user, name) for name in names)))
        self.users.append(user)
        if self._gateway_url is not None:
            await hand.call("POST", "/pushers/set", _http_pusher(self._gateway_url, number))
        await self.herald.invite(self.control, me)
        await me.join(self.control)
        await me.mute(self.control)
        await user.truth.look()
        return user

    async def _open_room(self, user: User, name: str | None) -> str:
        bob = self.senders[1]
        invited = [user.me] if name is None else [user.me, bob]
        room = await self.new_room(name, invited, is_direct=name is None)
        await asyncio.gather(*(each.join(room) for each in invited))
        return room

    async def new_room(self, name: str | None, invited: Sequence[DemoUser], *, is_direct: bool = False) -> str:
        options: dict[str, Any] = {"initial_state": [ENCRYPTION]} if self.is_encrypted else {}
        # As Element Call has it: everybody may take part in calls.
        options["power_level_content_override"] = {"events": {MEMBER: 0}}
        return await self.senders[0].create_room(name, invite=invited, is_direct=is_direct, **options)

    async def meet(self, user: User, folder: Path) -> None:
        """The senders' devices get to know Heliograph's, which must have published its keys."""
        assert user.account is not None
        for sender in self.senders:
            if sender.user_id not in user.peers:
                place = folder / f"{sender.device_id}-{len(self.users)}-{user.account.device_id}"
                device = sender if user is self.users[0] else await sender.login_again("Laptop")
                peer = await RemotePeer.open(device, place, user.user_id, user.account.device_id)
                user.peers[sender.user_id] = peer
                await peer.publish()
                await peer.claim()

    async def part(self) -> None:
        for user in self.users:
            for peer in user.peers.values():
                await peer.close()

    # Saying

    def next_number(self) -> int:
        return next(self._numbers)

    def note(self, said: Said) -> Said:
        self.said[said.number] = said
        return said

    async def say(
        self,
        user: User,
        sender: DemoUser,
        room: str,
        type_: str,
        content: Mapping[str, Any],
        number: int | None = None,
        *,
        is_quoted: bool = True,
        sent_ms: int | None = None,
    ) -> str:
        """Into one of this user's rooms, encrypted if that is. `number` is what `content` bears. `sent_ms`: when it is
        said to be sent, if that is a lie."""
        event_id = await self._send(user, sender, room, type_, content, sent_ms)
        if number is not None:
            self.note(Said(number, event_id, room, is_quoted=is_quoted))
        return event_id

    async def _send(
        self,
        user: User,
        sender: DemoUser,
        room: str,
        type_: str,
        content: Mapping[str, Any],
        sent_ms: int | None,
    ) -> str:
        async def send(type_: str, content: Mapping[str, Any]) -> str:
            if sent_ms is not None:
                return await send_at(sent_ms, sender, room, type_, content)
            return await sender.send_event(room, type_, dict(content))

        # Reactions go in clear text, as all clients send them.
        if not self.is_encrypted or type_ == "m.reaction":
            return await send(type_, content)
        peer = user.peers.get(sender.user_id)
        async with self._locks.setdefault(sender.user_id, asyncio.Lock()):
            sealed = _UNREADABLE if peer is None else await peer.encrypt(room, type_, content)
            event_id = await send("m.room.encrypted", sealed)
        if peer is not None or sender.user_id == user.user_id:
            self.clear[event_id] = (type_, content)
        return event_id

    async def say_before_key(
        self, user: User, sender: DemoUser, room: str, type_: str, content: Mapping[str, Any], number: int
    ) -> None:
        """As `say`; but if it is encrypted, its key is kept for `bring_keys`."""
        peer = user.peers.get(sender.user_id)
        if peer is None:
            await self.say(user, sender, room, type_, content, number)
            return
        async with self._locks.setdefault(sender.user_id, asyncio.Lock()):
            event_id, key = await peer.send_before_key(room, type_, content)
        said = self.note(Said(number, event_id, room, is_quoted=False))
        self.unreadable.append(Unreadable(user, said, type_, content, peer, key))

    async def bring_keys(self) -> None:
        for each in self.unreadable:
            await each.peer.give(each.key)
            self.clear[each.said.event_id] = (each.type, each.content)
            each.said.is_quoted = True
            each.user.truth.read_late(each.said.event_id)
        self.unreadable.clear()

    def messages(self, user: User, room: str, *, sender: str | None = None) -> list[Event]:
        """What can be edited, read or taken back in a room, oldest first."""
        return [
            event
            for event in user.truth.rooms[room].events.values()
            if event.type in ("m.room.message", "m.sticker", "m.room.encrypted")
            and event.redacted_look is None
            and not event.is_relation
            and (sender is None or event.sender == sender)
        ]

    def said_as(self, event_id: str) -> Said | None:
        return next((said for said in self.said.values() if said.event_id == event_id), None)

    def latest_version(self, said: Said) -> Said:
        """The edit that stands in the place of this message, or the message itself."""
        return said if said.edited_as is None else self.said[said.edited_as]


def _http_pusher(url: str, number: int) -> dict[str, object]:
    return {
        "kind": "http",
        "app_id": "org.example.phone",
        "pushkey": f"phone-{number}",
        "app_display_name": "Phone",
        "device_display_name": "A phone",
        "lang": "en",
        "data": {"url": url},
    }


def text(number: int, words: str = "", version: int = 0) -> str:
    """A body that is known again on the screen."""
    return f"{write_token(number, version)}{' ' if words else ''}{words}"
