"""What can be seen of a notification on the screens of three real servers, each with capabilities of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from heliograph.core.delivery import Done
from heliograph.core.notification import Notification, Picture, Popup
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import make_notification
from support.buses import PrivateBus
from support.waiting import until

pytestmark = pytest.mark.real

Colour = tuple[int, ...]
"""Red, green and blue."""

MAGENTA = (255, 0, 255)
PICTURE = Picture(96, 96, bytes((*MAGENTA, 255)) * 96 * 96)
TEXT = "When do we eat? I would say at noon, or a little later if you do not mind that."
HOSTILE = "<img src='file:///etc/passwd'/> <b>never closed &amp; & \u202e <a href='file:///etc/passwd'>x</a> " + TEXT


@dataclass
class Scene:
    screenshot: Callable[[Path], None]
    file: Path
    desktop: FreedesktopDesktop
    blank: Counter[Colour] = field(default_factory=Counter)
    """The screen without any popup."""

    async def colours(self) -> Counter[Colour]:
        """How many pixels of the screen have which colour."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Counter[Colour]:
        self.screenshot(self.file)
        with Image.open(self.file) as image:
            rgb = image.convert("RGB")
            pixels = rgb.getcolors(rgb.width * rgb.height) or []
        return Counter({colour: count for count, colour in pixels if isinstance(colour, tuple)})

    async def show(self, notification: Notification, replaces: Popup | None = None) -> Popup:
        outcome = await self.desktop.show(notification, replaces)
        assert isinstance(outcome, Done), outcome
        return outcome.value

    async def changed(self) -> int:
        """Pixels that are unlike the screen without popups, once the picture stands still."""
        before = None
        while True:
            now = await self.colours()
            if now == before:
                return (now - self.blank).total()
            before = now
            await asyncio.sleep(0.1)

    async def sees(self, colour: Colour) -> bool:
        return (await self.colours())[colour] > 300

    async def close(self, popup: Popup) -> None:
        await self.desktop.close(popup)
        await until(self.is_blank, "the screen without popups")

    async def is_blank(self) -> bool:
        return await self.colours() == self.blank

    async def ink(self, notification: Notification) -> int:
        """Pixels of the popup that are not in its most frequent colour."""
        popup = await self.show(notification)
        await until(self.is_changed, "a popup")
        await self.changed()
        seen = await self.colours() - self.blank
        await self.close(popup)
        return seen.total() - seen.most_common(1)[0][1]

    async def is_changed(self) -> bool:
        return not await self.is_blank()


@pytest.fixture(params=["dunst", "mako", "xfce"])
async def scene(request: pytest.FixtureRequest, private_bus: PrivateBus, tmp_path: Path) -> AsyncIterator[Scene]:
    server = request.getfixturevalue(request.param)
    desktop = FreedesktopDesktop(private_bus.address)
    assert await desktop.start()
    await until(lambda: desktop.server is not None, "the server")
    scene = Scene(server.screenshot, tmp_path / "screen.png", desktop)
    scene.blank = await scene.colours()
    yield scene
    await desktop.shut()


async def test_pictures_formats_and_hostile_texts_are_seen_as_they_should(scene: Scene) -> None:
    # The avatar.
    popup = await scene.show(make_notification(body=TEXT, picture=PICTURE))
    await until(lambda: scene.sees(MAGENTA), "the avatar")
    # In place of it another text, silently.
    again = await scene.show(make_notification(body="edited", picture=PICTURE), popup)
    assert again == popup
    await scene.close(again)

    # A formatted body says as much as a plain one, and neither does hostile text take it away.
    empty = await scene.ink(make_notification(body=""))
    plain = await scene.ink(make_notification(body=TEXT))
    formatted = make_notification(body=TEXT, markup=f"<b>Alice</b>: <i>{TEXT[:20]}</i><u>{TEXT[20:]}</u>")
    assert plain > empty
    assert await scene.ink(formatted) > empty + (plain - empty) // 2
    assert await scene.ink(make_notification(body=HOSTILE)) > empty + (plain - empty) // 2
