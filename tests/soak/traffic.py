"""What happens to the user in the soak: messages of every kind, plain and encrypted, read, dismissed and clicked."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from fakes.notification_server import NotificationServer
from heliograph.core.encryption.values import DeviceKeys, Rotation
from heliograph.core.ids import RoomId
from heliograph.encryption.olm.machine import Machine
from soak.homeserver import DEVICE, SoakHomeserver
from support.builders import ALICE, ME
from support.peers import open_machine

_ROTATION = Rotation(messages=50)
_SESSION_EVERY = 100
"""Encrypted messages after which the sender begins another Olm session."""
_TEXT = "shall we have lunch at the harbour tomorrow or rather on Sunday 🚢 when the boats are back"


class Sender:
    """Alice's device, which encrypts."""

    def __init__(self, server: SoakHomeserver, machine: Machine) -> None:
        self._server = server
        self._machine = machine
        self._said = 0

    @classmethod
    async def open(cls, server: SoakHomeserver, folder: Path) -> Sender:
        return cls(server, await open_machine(folder, ALICE, "A"))

    async def close(self) -> None:
        await self._machine.close()

    async def say(self, room_id: RoomId, content: dict[str, Any]) -> str:
        """The device must have published its keys."""
        keys = self._server.device_keys["keys"]
        device = DeviceKeys(ME, DEVICE, keys[f"curve25519:{DEVICE}"], keys[f"ed25519:{DEVICE}"])
        if self._said % _SESSION_EVERY == 0:
            assert await self._machine.start_sessions({device: self._server.claim_key()})
        self._said += 1
        sealed = await self._machine.share_room_key(room_id, [device], _ROTATION)
        for each in sealed.values():
            self._server.send_to_device("m.room.encrypted", dict(each))
        await self._machine.note_room_key_shared(room_id, list(sealed))
        encrypted = await self._machine.encrypt_room(room_id, "m.room.message", content)
        return self._server.send(room_id, "m.room.encrypted", dict(encrypted), rings=True)


class Traffic:
    """Makes events by dice. `events` counts those that /sync brings in timelines and invites."""

    def __init__(
        self, server: SoakHomeserver, sender: Sender, screen: NotificationServer, dice: Random, rooms: int
    ) -> None:
        self._server = server
        self._sender = sender
        self._screen = screen
        self._dice = dice
        self._plain = [server.add_room(f"Room {number}") for number in range(rooms)]
        self._encrypted = [
            server.add_room(f"Secret {number}", is_encrypted=True) for number in range(max(1, rooms // 10))
        ]
        self._last: dict[str, str] = {}
        self._invites: list[str] = []
        self.events = 0

    @property
    def rooms(self) -> int:
        """That the user is in, or invited to."""
        return len(self._plain) + len(self._encrypted) + len(self._invites)

    async def happen(self) -> None:
        """One event, and now and then something of the user's."""
        self.events += 1
        room_id = self._dice.choice(self._plain)
        text = " ".join(self._dice.choices(_TEXT.split(), k=self._dice.randint(1, 60)))
        match self._dice.randrange(100):
            case draw if draw < 10:
                room_id = self._dice.choice(self._encrypted)
                self._last[room_id] = await self._sender.say(RoomId(room_id), {"msgtype": "m.text", "body": text})
            case draw if draw < 20:
                self._relate(RoomId(room_id), "m.reaction", {"rel_type": "m.annotation", "key": "👍"})
            case draw if draw < 24:
                content = {
                    "msgtype": "m.text",
                    "body": f"* {text}",
                    "m.new_content": {"msgtype": "m.text", "body": text},
                }
                self._relate(RoomId(room_id), "m.room.message", {"rel_type": "m.replace"}, content)
            case draw if draw < 27:
                content = {"redacts": self._last.get(room_id, "$none")}
                self._server.send(room_id, "m.room.redaction", content, rings=False)
            case draw if draw < 29:
                self._server.send(room_id, "m.room.message", {"msgtype": "m.notice", "body": text}, rings=False)
            case draw if draw < 30:
                self._server.send(room_id, "m.room.name", {"name": text[:40]}, rings=False, state_key="")
            case draw if draw < 31:
                name = {"membership": "join", "displayname": text[:30]}
                self._server.send(room_id, "m.room.member", name, rings=False, state_key=ALICE)
            case draw if draw < 32:
                self._invite(text[:20])
            case draw if draw < 40:
                body = f"<b>{text}</b> <a href='https://example.org'>here</a>"
                content = {
                    "msgtype": "m.text",
                    "body": text,
                    "format": "org.matrix.custom.html",
                    "formatted_body": body,
                }
                self._last[room_id] = self._server.send(room_id, "m.room.message", content, rings=True)
            case _:
                content = {"msgtype": "m.text", "body": text}
                self._last[room_id] = self._server.send(room_id, "m.room.message", content, rings=True)
        self._let_user_act()

    async def happen_often(self, count: int) -> None:
        for _ in range(count):
            await self.happen()

    def _relate(
        self, room_id: RoomId, type_: str, relation: dict[str, Any], content: dict[str, Any] | None = None
    ) -> None:
        relation["event_id"] = self._last.get(room_id, "$none")
        self._server.send(room_id, type_, {**(content or {}), "m.relates_to": relation}, rings=False)

    def _invite(self, name: str) -> None:
        room_id, _ = self._server.invite(name)
        self._invites.append(room_id)
        if len(self._invites) > 3:
            self._server.leave(self._invites.pop(0))

    def _let_user_act(self) -> None:
        """On the phone, or here."""
        draw = self._dice.randrange(30)
        if draw < 3 and self._last:
            room_id = self._dice.choice(list(self._last))
            self._server.read(room_id, self._last[room_id])
        elif draw < 6 and self._screen.on_screen:
            popup = self._dice.choice(list(self._screen.on_screen))
            if draw == 3:
                self._screen.dismiss(popup)
            else:
                is_offered = "mark-read" in self._screen.on_screen[popup].actions
                self._screen.act(popup, "mark-read" if draw == 4 and is_offered else "default")
