"""Our icon as a picture in pixels, for notifications that have no other where a missing picture leaves an old one."""

from __future__ import annotations

from functools import lru_cache

from heliograph.core.notification import Picture
from heliograph.core.popups.looks import LARGE
from heliograph.core.tray.drawing import Look, draw_icon
from heliograph.core.tray.item import Icon


@lru_cache(maxsize=1)
def own_picture() -> Picture:
    """The icon, `LARGE` pixels a side."""
    argb = draw_icon(Icon(), Look(), LARGE)
    pixels = bytearray(len(argb))
    for place, channel in enumerate((1, 2, 3, 0)):
        pixels[place::4] = argb[channel::4]
    return Picture(LARGE, LARGE, bytes(pixels))
