"""Desktops on a virtual X display, whose pictures are read, and whose pointer and keys are moved."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from desktops.desktop import TRAY_RED, Desktop, Wrong
from desktops.machine import NOTIFICATIONS, PATIENCE_S, Machine
from desktops.sight import Sight, find_colour, read_picture
from support.waiting import until

DISPLAY = ":77"
_ASIDE = (640, 300)
_SHOWN = 6


class X11Desktop(Desktop):
    """`units` are the names of its programs, and how they are started, in that order; the last shows notifications."""

    cross = (20, 20)
    """How far left of a popup's right edge, and below its upper one, it is closed by a click."""
    environment: Mapping[str, str] = {"DISPLAY": DISPLAY, "XDG_SESSION_TYPE": "x11"}

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._seen = Sight()

    @property
    @abstractmethod
    def units(self) -> Mapping[str, str]: ...

    async def start(self) -> None:
        # At files only: an abstract socket is the network's, and so this machine's.
        screen = ("Xvfb", DISPLAY, "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-nolisten", "local")
        await self.machine.spawn("screen", *screen)
        await until(lambda: self.machine.succeeds("xdpyinfo"), "the screen", PATIENCE_S)
        for unit, line in self.units.items():
            await self.machine.spawn(unit, "sh", "-c", f"exec {line}")
            await asyncio.sleep(1)
        await self._until_empty()

    async def take_picture(self, picture: Path) -> None:
        # Silent: it would ring the bell, which some window managers make a sound.
        await self.machine.user("import", "-silent", "-window", "root", str(picture))

    async def popups(self) -> str:
        return (await self.look()).text

    async def read_screen(self) -> str:
        return await self.popups()

    async def read_popup(self, picture: Path) -> str:
        return (await read_picture(self.machine, picture, self._empty, box=self.area)).text

    async def press(self, label: str) -> None:
        # A popup under the pointer stays, so there is no hurry once that is there.
        if (place := _find_button(self._seen, label)) is not None:
            await self.point(*place)
        if (place := _find_button(await self.look(), label)) is None:
            raise Wrong(f"there is no button {label!r}")
        await self.click(*place)
        await self.point(*_ASIDE)

    async def dismiss(self) -> None:
        if (box := (await self.look()).box) is None:
            raise Wrong("there is no popup to be closed")
        x, y = box[2] - self.cross[0], box[1] + self.cross[1]
        # Some show their cross only where the pointer is.
        await self.point(x - 20, y + 20)
        await asyncio.sleep(1)
        await self.click(x, y)
        await self.point(*_ASIDE)

    async def set_locked(self, *, is_locked: bool) -> None:
        """As a locker tells logind; nothing covers the screen."""
        await self.machine.hint_locked(is_locked=is_locked)

    async def kept(self) -> str:
        return ""

    async def type_reply(self, text: str) -> None:
        raise NotImplementedError(f"{self.name} takes no text in a popup")

    async def names_in_settings(self) -> str:
        return ""

    async def restart_server(self) -> None:
        unit = list(self.units)[-1]
        await self.machine.end(unit)
        await self.machine.spawn(unit, "sh", "-c", f"exec {self.units[unit]}")
        await self._until_empty()

    async def restart_tray(self) -> None:
        await self.restart_server()

    async def choose_in_tray(self, label: str) -> None:
        assert self.tray_area is not None
        picture = self.machine.shared / "menu.png"
        await self.take_picture(picture)
        place = find_colour(picture, TRAY_RED, self.tray_area, 1)
        if place is None:
            raise Wrong("there is no item in the tray")
        before = self.machine.shared / "before-menu.png"
        before.write_bytes(picture.read_bytes())
        await self.click(*place, button=3)
        await asyncio.sleep(2)
        await self.take_picture(picture)
        if (entry := (await read_picture(self.machine, picture, before)).find(label)) is None:
            raise Wrong(f"the menu of the item has no {label!r}")
        await self.click(*entry)
        await self.point(*_ASIDE)

    async def look(self) -> Sight:
        """What differs from the empty screen."""
        picture = self.machine.shared / "glance.png"
        await self.take_picture(picture)
        self._seen = await read_picture(self.machine, picture, self._empty, box=self.area)
        return self._seen

    async def point(self, x: int, y: int) -> None:
        await self.machine.user("xdotool", "mousemove", str(x), str(y))

    async def click(self, x: int, y: int, button: int = 1) -> None:
        await self.point(x, y)
        await asyncio.sleep(0.3)
        await self.machine.user("xdotool", "click", str(button))
        await asyncio.sleep(0.3)

    async def type(self, text: str) -> None:
        await self.machine.user("xdotool", "type", "--delay", "40", text)

    async def key(self, name: str) -> None:
        await self.machine.user("xdotool", "key", name)
        await asyncio.sleep(0.5)

    async def note_empty(self) -> None:
        """What is on the screen now is nothing."""
        await self.point(*_ASIDE)
        await asyncio.sleep(0.5)
        await self.take_picture(self._empty)

    @property
    def _empty(self) -> Path:
        return self.machine.shared / "empty.png"

    async def _until_empty(self) -> None:
        await until(lambda: self.machine.has_name(NOTIFICATIONS), "the notification server", PATIENCE_S)
        await asyncio.sleep(4)
        await self.note_empty()


def _find_button(seen: Sight, label: str) -> tuple[int, int] | None:
    """By its label, of which some servers show only the beginning."""
    return seen.find(label) or seen.find(label[:_SHOWN])
