"""How a notification server shows pictures and indented lines, and pictures in the size that it likes."""

from __future__ import annotations

from heliograph.core.notification import Picture
from heliograph.core.value_type import value_type

LARGE = 96
"""Pixels of a side: sharp on screens of double density, for servers that scale pictures to their own size."""
SMALL = 48
"""Pixels of a side, for servers that show each pixel of a picture as one of the screen."""


@value_type
class Looks:
    """How a server shows pictures and indented lines. The defaults suit servers of which nothing is known."""

    picture_side: int = LARGE
    """The most pixels of a picture's side."""
    has_icon_beside_picture: bool = True
    """False: with a picture our icon is left out, since the server would show both, and the picture large."""
    keeps_spaces: bool = True
    """False: the server drops all spaces at the beginning of a line, unless they are character references."""
    hides_markup: bool = False
    """True: the server may take texts for markup though it does not say that it knows any, as its users set it up."""


USUAL = Looks()


def fit_picture(picture: Picture, side: int) -> Picture:
    """The square picture with half as many pixels a side, as often as needed for at most `side` of them (1 or more)."""
    while picture.width > side:
        picture = _halve(picture)
    return picture


def _halve(picture: Picture) -> Picture:
    """Makes one pixel of each four. Of an odd side the last row and column are left out."""
    side = picture.width // 2
    length = 4 * picture.width
    planes = [bytearray() for _ in range(4)]
    for start in range(0, 2 * side * length, 2 * length):
        top, bottom = picture.pixels[start : start + length], picture.pixels[start + length : start + 2 * length]
        quarters = (top, top[4:], bottom, bottom[4:])
        opacities = list(zip(*(quarter[3::8] for quarter in quarters), strict=False))
        planes[3] += bytes(sum(each) // 4 for each in opacities)
        for colour in range(3):
            values = zip(*(quarter[colour::8] for quarter in quarters), strict=False)
            planes[colour] += bytes(map(_mix, values, opacities))
    pixels = bytearray(4 * side * side)
    for number, plane in enumerate(planes):
        pixels[number::4] = plane
    return Picture(side, side, bytes(pixels))


def _mix(values: tuple[int, ...], opacities: tuple[int, ...]) -> int:
    """The mean of the values, by opacity: what cannot be seen must not darken the edge of what can."""
    total = sum(value * opacity for value, opacity in zip(values, opacities, strict=True))
    return total // (sum(opacities) or 1)
