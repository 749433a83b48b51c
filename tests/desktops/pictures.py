"""The documentation's pictures of a desktop: what its user sees of a message, a group, an invite, behind a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from PIL import Image

from desktops.scene import Scene
from desktops.sight import Box, find_change

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
        result = folder / f"{scene.desktop.name}-{name}.png"
        taken.append(cut_out(await scene.picture(), empty, scene.desktop.area, result))
    return taken


def cut_out(picture: Path, empty: Path, area: Box, result: Path) -> Path:
    """Writes what differs from the empty screen within that area, with a margin."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    box = find_change(image, empty, area)
    assert box is not None, f"{picture} shows nothing"
    start = max(area[0], box[0] - _MARGIN), max(area[1], box[1] - _MARGIN)
    cut = image.crop((*start, min(area[2], box[2] + _MARGIN), min(area[3], box[3] + _MARGIN)))
    cut.quantize(255, dither=Image.Dither.NONE).save(result, optimize=True)
    return result
