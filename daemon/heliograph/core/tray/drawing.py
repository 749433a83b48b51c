"""Draws the tray icon with its badge, in the sizes that trays ask for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from heliograph.core.tray.item import Icon
from heliograph.core.tray.shapes import (
    GRID,
    Bounds,
    Canvas,
    Colour,
    both,
    box,
    circle,
    line,
    ring,
    triangle,
)
from heliograph.core.value_type import value_type

SIZES = (16, 22, 24, 32, 48, 64)
"""Pixels of a side. Trays of GTK take the largest and scale it; others take the next one."""

_PLATE, _MIRROR, _GLASS = Colour(76, 130, 202), Colour(242, 246, 252), Colour(36, 67, 111)
_GLINT, _RAY = Colour(255, 246, 220), Colour(255, 227, 148)
_URGENT, _INK, _PAPER = Colour(192, 28, 40), Colour(24, 32, 48), Colour(255, 255, 255)

# As in data/io.github.heliograph.svg.
_PLATE_SHAPE = box(3, 3, 61, 61, 14)
_RAY_SHAPE = triangle((26, 36), (47, 3), (61, 17))
_MIDDLE = (26, 36)
_STAND_SHAPES = (line((26, 52), (26, 57), 4), line((15, 57), (37, 57), 4))
_DIM = 0.5

_GLYPH_WIDTH, _GLYPH_HEIGHT = 5, 7
_GLYPHS = {
    # Seven rows each, whose bits are pixels, the leftmost one being 16.
    "0": (14, 17, 17, 17, 17, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (30, 1, 1, 14, 1, 1, 30),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (14, 16, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 4, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 1, 14),
    "+": (0, 4, 4, 31, 4, 4, 0),
    "!": (4, 4, 4, 4, 4, 0, 4),
}
_SHORT_MOST = "9+"
"""Stands for a number that is too long for the smallest icons."""


@value_type
class Look:
    """The colours of icon and badge. `single`: the one colour of the icon; None: it has those of Heliograph."""

    single: Colour | None = None

    @property
    def badge(self) -> Colour:
        return self.single or _RAY

    @property
    def on_badge(self) -> Colour:
        """The colour of the number."""
        if self.single is None:
            return _INK
        brightness = 0.299 * self.single.red + 0.587 * self.single.green + 0.114 * self.single.blue
        return _INK if brightness > 128 else _PAPER


LOOKS: Mapping[str, Look] = MappingProxyType(
    {"coloured": Look(), "light": Look(Colour(255, 255, 255)), "dark": Look(Colour(46, 52, 54))}
)
"""By the setting `tray_icon`. The light one is for dark panels."""


def draw_icon(icon: Icon, look: Look, size: int) -> bytes:
    """`size` rows of `size` pixels as ARGB32 in network byte order (StatusNotifierItem, "IconPixmap")."""
    canvas = Canvas(size, _draw_base(look, size, is_dim=icon.is_dim))
    if icon.badge:
        _draw_badge(canvas, icon, look)
    return canvas.argb


# For each look of the daemon's life: with and without quiet.
@lru_cache(maxsize=2 * len(SIZES))
def _draw_base(look: Look, size: int, *, is_dim: bool) -> bytes:
    canvas = Canvas(size)
    if look.single is None:
        canvas.fill(_PLATE_SHAPE, _PLATE)
        canvas.fill(both(_RAY_SHAPE, _PLATE_SHAPE), _RAY)
        for shape in _STAND_SHAPES:
            canvas.fill(shape, _MIRROR)
        canvas.fill(circle(_MIDDLE, 17), _MIRROR)
        canvas.fill(circle(_MIDDLE, 12.5), _GLASS)
        canvas.fill(circle(_MIDDLE, 5), _GLINT)
    else:
        canvas.fill(_RAY_SHAPE, look.single)
        # Without an edge of their own, mirror and ray would run together.
        canvas.erase(circle(_MIDDLE, 20))
        for shape in (*_STAND_SHAPES, ring(_MIDDLE, 14.5, 5), circle(_MIDDLE, 5)):
            canvas.fill(shape, look.single)
    if is_dim:
        canvas.fade(_DIM)
    return canvas.argb


def _draw_badge(canvas: Canvas, icon: Icon, look: Look) -> None:
    text, scale = _fit(icon.badge, canvas.size)
    width, height = _text_width(text) * scale + 2 * scale, (_GLYPH_HEIGHT + 2) * scale
    left, top = canvas.size - width, canvas.size - height
    unit = GRID / canvas.size
    shape = box(left * unit, top * unit, GRID, GRID, 2.5 * scale * unit)
    # A gap between icon and badge, as wide as a line of the number.
    gap = scale * unit
    margin = box(left * unit - gap, top * unit - gap, GRID + gap, GRID + gap, 3.5 * scale * unit)
    within: Bounds = (max(left - 2 * scale, 0), max(top - 2 * scale, 0), canvas.size, canvas.size)
    canvas.erase(margin, within)
    canvas.fill(shape, _URGENT if icon.is_urgent else look.badge, within)
    ink = _PAPER if icon.is_urgent else look.on_badge
    for place, letter in enumerate(text):
        _draw_glyph(canvas, letter, left + scale + place * (_GLYPH_WIDTH + 1) * scale, top + scale, scale, ink)


def _fit(text: str, size: int) -> tuple[str, int]:
    """The text and the size of its pixels: as large as fits, and at most five eighths of the icon's height, since many
    trays take the largest icon and make it small."""
    tallest = max(size * 5 // 8 // (_GLYPH_HEIGHT + 2), 1)
    widest = size // (_text_width(text) + 2)
    return (text, min(tallest, widest)) if widest else (_SHORT_MOST, 1)


def _text_width(text: str) -> int:
    return len(text) * (_GLYPH_WIDTH + 1) - 1


def _draw_glyph(canvas: Canvas, letter: str, left: int, top: int, scale: int, colour: Colour) -> None:
    for row, bits in enumerate(_GLYPHS[letter]):
        for column in range(_GLYPH_WIDTH):
            if bits & 16 >> column:
                x, y = left + column * scale, top + row * scale
                canvas.set_pixels(((x + across, y + down) for across in range(scale) for down in range(scale)), colour)
