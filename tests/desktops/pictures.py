"""The documentation's pictures of a desktop: what its user sees of a message, a group, an invite, behind a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from PIL import Image

from desktops.scene import Scene
from desktops.sight import find_change

_MARGIN = 16


async def take_pictures(scene: Scene, folder: Path) -> list[Path]:
    """Into `folder`, each named by the desktop and what is seen; cut to what differs from the empty screen."""
    people = scene.people
    me = scene.me

    async def talk() -> None:
        await scene.write("Bob", "Pizza or noodles today?")
        await scene.write("Carol", "Noodles, always")
        await scene.write("Bob", "Me: are you coming, too?", mentions=[me])

    takes: dict[str, tuple[Callable[[], Awaitable[object]], str]] = {
        "message": (
            lambda: scene.write("Alice", "Noodles at noon? The place by the river is open."),
            "Noodles at noon",
        ),
        "group": (talk, "are you coming"),
        "invite": (lambda: people["Dave"].create_room("Weekend hike", invite=[me]), "Weekend hike"),
    }
    taken = []
    for name, (cause, text) in takes.items():
        await scene.calm()
        scene.situation = name
        empty = await scene.picture("empty")
        await cause()
        await scene.pops_up(text)
        await asyncio.sleep(1)  # until nothing moves any more
        taken.append(_cut(await scene.picture(), empty, folder / f"{scene.desktop.name}-{name}.png"))
    return taken


def _cut(picture: Path, empty: Path, result: Path) -> Path:
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    box = find_change(image, empty)
    assert box is not None, f"{picture} shows nothing"
    left, upper, right, lower = box
    width, height = image.size
    start = max(0, left - _MARGIN), max(0, upper - _MARGIN)
    cut = image.crop((*start, min(width, right + _MARGIN), min(height, lower + _MARGIN)))
    cut.quantize(255, dither=Image.Dither.NONE).save(result, optimize=True)
    return result
