"""Draws shapes with smooth edges into a square of pixels: as much as an icon of some pixels needs, and no more.

A library that draws would cost the daemon megabytes; what is drawn here takes milliseconds, and is kept.
A shape is the distance of a point to its edge, in units of a square of 64; negative inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from heliograph.core.value_type import value_type

GRID = 64
"""The side of the square in which shapes are described, as in the icon's SVG file."""

Shape = Callable[[float, float], float]
Point = tuple[float, float]
Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are beyond."""


@value_type
class Colour:
    """Red, green, blue and opacity, each from 0 to 255."""

    red: int
    green: int
    blue: int
    opacity: int = 255


def circle(centre: Point, radius: float) -> Shape:
    return lambda x, y: math.hypot(x - centre[0], y - centre[1]) - radius


def ring(centre: Point, radius: float, width: float) -> Shape:
    """A circle's line."""
    return lambda x, y: abs(math.hypot(x - centre[0], y - centre[1]) - radius) - width / 2


def line(start: Point, end: Point, width: float) -> Shape:
    """A line with round ends."""
    along = (end[0] - start[0], end[1] - start[1])
    squared = along[0] ** 2 + along[1] ** 2

    def distance(x: float, y: float) -> float:
        part = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / squared
        part = min(max(part, 0.0), 1.0)
        return math.hypot(x - start[0] - part * along[0], y - start[1] - part * along[1]) - width / 2

    return distance


def triangle(*corners: Point) -> Shape:
    """`corners` are given clockwise, as seen on the screen."""
    sides = []
    for start, end in zip(corners, (*corners[1:], corners[0]), strict=True):
        length = math.dist(start, end)
        sides.append((start, (end[1] - start[1]) / length, (start[0] - end[0]) / length))
    return lambda x, y: max((x - start[0]) * across + (y - start[1]) * down for start, across, down in sides)


def box(left: float, top: float, right: float, bottom: float, radius: float) -> Shape:
    """A rectangle with round corners."""
    middle = ((left + right) / 2, (top + bottom) / 2)
    half = ((right - left) / 2 - radius, (bottom - top) / 2 - radius)

    def distance(x: float, y: float) -> float:
        across, down = abs(x - middle[0]) - half[0], abs(y - middle[1]) - half[1]
        return math.hypot(max(across, 0.0), max(down, 0.0)) + min(max(across, down), 0.0) - radius

    return distance


def both(*shapes: Shape) -> Shape:
    """What lies in each of these shapes."""
    return lambda x, y: max(shape(x, y) for shape in shapes)


class Canvas:
    """A square of `size` pixels, transparent at first."""

    def __init__(self, size: int, pixels: bytes | None = None) -> None:
        self.size = size
        self._argb = bytearray(pixels if pixels is not None else size * size * 4)

    @property
    def argb(self) -> bytes:
        """Rows from top to bottom, four bytes for each pixel: opacity, red, green, blue. That is ARGB32 in network byte
        order."""
        return bytes(self._argb)

    def fill(self, shape: Shape, colour: Colour, within: Bounds | None = None) -> None:
        """Paints the shape over what is there. `within`: only these pixels are looked at."""
        for place, cover in self._covered(shape, within):
            self._paint(place, colour, cover * colour.opacity / 255)

    def erase(self, shape: Shape, within: Bounds | None = None) -> None:
        """Makes what is in the shape transparent."""
        for place, cover in self._covered(shape, within):
            self._argb[place] = round(self._argb[place] * (1 - cover))

    def fade(self, share: float) -> None:
        """Leaves this share of the opacity."""
        for place in range(0, len(self._argb), 4):
            self._argb[place] = round(self._argb[place] * share)

    def set_pixels(self, pixels: Iterable[tuple[int, int]], colour: Colour) -> None:
        """Replaces these pixels, which are given as column and row."""
        new = bytes((colour.opacity, colour.red, colour.green, colour.blue))
        for column, row in pixels:
            place = (row * self.size + column) * 4
            self._argb[place : place + 4] = new

    def _covered(self, shape: Shape, within: Bounds | None) -> Iterable[tuple[int, float]]:
        """The places of pixels, and how much of each lies in the shape."""
        left, top, right, bottom = within or (0, 0, self.size, self.size)
        unit = GRID / self.size
        for row in range(top, bottom):
            for column in range(left, right):
                # A pixel is covered by half where its middle is on the edge.
                cover = 0.5 - shape((column + 0.5) * unit, (row + 0.5) * unit) / unit
                if cover > 0:
                    yield (row * self.size + column) * 4, min(cover, 1.0)

    def _paint(self, place: int, colour: Colour, opacity: float) -> None:
        below = self._argb[place] / 255 * (1 - opacity)
        whole = opacity + below
        for offset, value in enumerate((colour.red, colour.green, colour.blue), start=1):
            mixed = (value * opacity + self._argb[place + offset] * below) / whole
            self._argb[place + offset] = round(mixed)
        self._argb[place] = round(whole * 255)
