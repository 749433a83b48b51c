"""The people of a run: two who write, from devices that encrypt, and the user on another device."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from heliograph.accounts import Account
from heliograph.core.value_type import value_type
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import Refused, Unreachable
from support.remote_peer import RemotePeer
from system.faults.record import Record, Sent
from system.faults.schedule import INVITES, Act, Step
from system.faults.screen import write_token

_PATIENCE_S = 60.0
_INVITE_NUMBER = 9000
_NONSENSE: Sequence[Callable[[str], dict[str, Any]]] = (
    lambda text: {"body": text + " \x1b[31m\u202e\u0007\ud7ff" * 40, "format": 7},
    lambda text: {"body": text, "format": "org.matrix.custom.html", "formatted_body": f"{text} {'<b><i>' * 3000}"},
    lambda text: {"body": text, "m.relates_to": "nothing"},
    lambda text: {"body": f"{text} <a href='file:///etc/passwd'>&amp;</a> $(reboot) `reboot`"},
)


@value_type
class PatientUser(DemoUser):
    """Sends again until the homeserver answers, with the same transaction id, as clients do."""

    async def call(self, method: str, path: str, json: object = None, **params: str) -> Any:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await DemoUser.call(self, method, path, json, **params)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
            except Refused as refusal:
                if refusal.status < 500 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)


def patient(user: DemoUser) -> PatientUser:
    return PatientUser(user.base_url, user.user_id, user.device_id, user.access_token, user.password)


class Cast:
    """Does what the schedule says people do, and keeps the record of it."""

    def __init__(self, me: PatientUser, senders: Sequence[PatientUser]) -> None:
        self.record = Record()
        self.me = me
        self._senders = senders
        self._rooms: list[str] = []
        self._vault = ""
        self._quarry = ""
        self._invite_rooms: list[str] = []
        self._peers: list[RemotePeer] = []
        self._locks = [asyncio.Lock() for _ in senders]
        self._numbers = itertools.count(1)

    @classmethod
    async def gather(cls, server: ThrowawaySynapse, names: str) -> Cast:
        """New users, and the rooms they are in: a group, a direct chat, an encrypted group, a muted group."""
        me, *senders = await asyncio.gather(*(server.register(f"{who}-{names}") for who in ("me", "alice", "bob")))
        cast = cls(patient(me), [patient(each) for each in senders])
        harbour, lunch, vault, quarry, *invite_rooms = await asyncio.gather(
            cast._open_room("Harbour"),
            cast._open_room(None, is_direct=True),
            cast._open_room("Vault", encrypted=True),
            cast._open_room("Quarry"),
            *(cast._senders[0].create_room(write_token(_INVITE_NUMBER + each)) for each in range(INVITES)),
        )
        cast._rooms, cast._invite_rooms = [harbour, lunch, vault, quarry], invite_rooms
        cast._vault, cast._quarry = vault, quarry
        await cast.me.mute(quarry)
        return cast

    async def _open_room(self, name: str | None, *, is_direct: bool = False, encrypted: bool = False) -> str:
        alice, *others = self._senders
        invited = [self.me] if is_direct else [self.me, *others]
        options: dict[str, Any] = {}
        if encrypted:
            content = {"algorithm": "m.megolm.v1.aes-sha2"}
            options["initial_state"] = [{"type": "m.room.encryption", "state_key": "", "content": content}]
        room = await alice.create_room(name, invite=invited, is_direct=is_direct, **options)
        await asyncio.gather(*(each.join(room) for each in invited))
        return room

    async def get_keys(self, account: Account, folder: Path) -> None:
        """The senders' devices meet Heliograph's, which must have published its keys."""
        for user in self._senders:
            peer = await RemotePeer.open(user, folder / user.device_id, account.user_id, account.device_id)
            self._peers.append(peer)
            await peer.claim()
            await peer.share(self._vault)

    async def leave(self) -> None:
        for peer in self._peers:
            await peer.close()

    async def say(self, room: int, sender: int = 0) -> Sent:
        """A message that rings."""
        return await self._say(self._rooms[room], sender)

    async def do(self, step: Step) -> None:
        """Returns when the homeserver has taken it, which may be never tried if there is nothing to do it to."""
        assert isinstance(step.what, Act)
        room = self._rooms[step.room]
        match step.what:
            case Act.SAY:
                await self._say(room, step.sender)
            case Act.SAY_NOTICE:
                await self._say(room, step.sender, "m.notice")
            case Act.SAY_OURSELVES:
                number = next(self._numbers)
                event = await self.me.send_text(self._rooms[step.room % 2], write_token(number))
                self.record.note_answered(self._rooms[step.room % 2])
                self._note(number, event, self._rooms[step.room % 2], is_loud=False)
            case Act.SAY_NONSENSE:
                await self._say_nonsense(self._rooms[step.room % 2], step.pick)
            case Act.RENEW_KEY:
                async with self._locks[step.sender]:
                    await self._peers[step.sender].renew(self._vault)
            case Act.INVITE:
                await self._invite(int(step.pick * INVITES))
            case Act.ACCEPT:
                await self._accept(step.pick)
            case _:
                await self._do_to(step, room)

    async def _do_to(self, step: Step, room: str) -> None:
        targets = [each for each in self.record.of_room(room) if each.redacted_s is None and each.is_loud]
        if not targets:
            return
        target = targets[int(step.pick * len(targets))]
        sender = self._senders[0]
        match step.what:
            case Act.READ:
                await self.me.read(room, target.event_id)
                self.record.note_read(target)
            case Act.REACT:
                await sender.react(room, target.event_id)
            case Act.REDACT:
                # Alice is the room's creator and may.
                target.redacted_s = time.monotonic()
                await sender.redact(room, target.event_id)
            case Act.EDIT if not target.is_encrypted and target.author == sender.user_id:
                version = target.version + 1
                await sender.edit(room, target.event_id, write_token(target.number, version))
                target.version = max(version, target.version)
                target.edits_s.append(time.monotonic())

    async def _say(self, room: str, sender: int, msgtype: str = "m.text") -> Sent:
        sender = 0 if room == self._rooms[1] else sender
        number = next(self._numbers)
        is_encrypted = room == self._vault
        async with self._locks[sender]:
            if is_encrypted:
                event = await self._peers[sender].say(room, write_token(number), msgtype=msgtype)
            else:
                content = {"msgtype": msgtype, "body": write_token(number)}
                event = await self._senders[sender].send_event(room, "m.room.message", content)
        is_loud = msgtype == "m.text" and room != self._quarry
        author = self._senders[sender].user_id
        return self._note(number, event, room, is_loud=is_loud, is_encrypted=is_encrypted, author=author)

    async def _say_nonsense(self, room: str, pick: float) -> None:
        number = next(self._numbers)
        content = {"msgtype": "m.text"} | _NONSENSE[int(pick * len(_NONSENSE))](write_token(number))
        event = await self._senders[0].send_event(room, "m.room.message", content)
        self._note(number, event, room, is_loud=True)

    def _note(self, number: int, event: str, room: str, *, is_loud: bool, **options: Any) -> Sent:
        sent = Sent(number, event, room, time.monotonic(), is_loud, **options)
        self.record.note_sent(sent)
        return sent

    async def _invite(self, which: int) -> None:
        room = self._invite_rooms[which]
        if any(each.room_id == room for each in self.record.sent):
            return
        sent = self._note(_INVITE_NUMBER + which, "", room, is_loud=True, is_invite=True)
        await self._senders[0].invite(room, self.me)
        path = f"/rooms/{quote(room)}/state/m.room.member/{quote(self.me.user_id)}"
        state = await self._senders[0].call("GET", path, format="event")
        sent.event_id = str(state["event_id"])

    async def _accept(self, pick: float) -> None:
        pending = [each for each in self.record.sent if each.is_invite and each.event_id and each.read_s is None]
        if pending:
            target = pending[int(pick * len(pending))]
            target.read_s = time.monotonic()
            await self.me.join(target.room_id)
            target.read_s = time.monotonic()
