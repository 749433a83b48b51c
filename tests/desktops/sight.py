"""Reading a screen: the words on a picture of it, where they stand, and how much of a colour there is."""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageOps, ImageStat

from desktops.machine import Machine

_SCALE = 2
"""Text of a desktop is small, and tesseract knows print."""
_DARK = 110
_LEAST = 12
"""Pixels; smaller changes are a clock's or a caret's."""
_NEAR = 28
"""Some popups are a little transparent."""
_LONGEST = 20
"""Letters of a word that is read."""

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Word:
    """A word, and its middle on the screen."""

    text: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be read, in the order of reading."""

    words: tuple[Word, ...] = ()
    box: Box | None = None
    """Where that is: left, upper, right and lower edge."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def has(self, text: str) -> bool:
        """Whether that can be read, whatever the spaces and signs are in it."""
        return squash(text) in squash(self.text)

    def find(self, text: str) -> tuple[int, int] | None:
        """The middle of these words, of which the last place is meant: the newest popup stands lowest.

        Where one word ends is not always read right, so that does not matter.
        """
        for start in reversed(range(len(self.words))):
            joined = ""
            for end in range(start, len(self.words)):
                joined += squash(self.words[end].text)
                if squash(text) in joined:
                    found = self.words[start : end + 1]
                    return sum(word.x for word in found) // len(found), sum(word.y for word in found) // len(found)
                if len(joined) > len(squash(text)) + _LONGEST:
                    break
        return None


def squash(text: str) -> str:
    """Without spaces, signs and ligatures, of which some fonts make one letter."""
    return "".join(each for each in unicodedata.normalize("NFKC", text).lower() if each.isalnum())


async def read_picture(machine: Machine, picture: Path, empty: Path | None = None, *, box: Box | None = None) -> Sight:
    """The words of a picture in the machine's shared folder; of what differs from `empty`, within that box."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    box = find_change(image, empty, box) if empty else box or image.getbbox()
    if box is None:
        return Sight()
    part = ImageOps.grayscale(image.crop(box))
    if ImageStat.Stat(part).median[0] < _DARK:
        part = ImageOps.invert(part)
    # Bright grey on grey is nothing to tesseract.
    part = ImageOps.autocontrast(part, cutoff=1)
    part = ImageOps.expand(part.resize((part.width * _SCALE, part.height * _SCALE), Image.Resampling.LANCZOS), 20, 255)
    crop = picture.with_suffix(".part.png")
    part.save(crop)
    told = await machine.root("env", "OMP_THREAD_LIMIT=1", "tesseract", str(crop), "-", "--psm", "11", "tsv")
    crop.unlink()
    return Sight(tuple(_words(told, box[0], box[1])), box)


def _words(told: str, left: int, top: int) -> list[Word]:
    lines = told[told.index("level\t") :]
    rows = csv.DictReader(io.StringIO(lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
        Word(
            row["text"],
            left + (int(row["left"]) + int(row["width"]) // 2 - 20) // _SCALE,
            top + (int(row["top"]) + int(row["height"]) // 2 - 20) // _SCALE,
        )
        for row in rows
        if (row["text"] or "").strip()
    ]


def find_change(image: Image.Image, empty: Path, within: Box | None = None) -> Box | None:
    """Where it differs from that picture; None: nowhere, but for what is as small as a caret."""
    with Image.open(empty) as before:
        difference = ImageOps.grayscale(ImageChops.difference(image, before.convert("RGB")))
    area = within or (0, 0, *image.size)
    box = difference.crop(area).point(lambda value: 255 if value > _LEAST else 0).getbbox()
    if box is None or box[2] - box[0] <= _LEAST or box[3] - box[1] <= _LEAST:
        return None
    return box[0] + area[0], box[1] + area[1], box[2] + area[0], box[3] + area[1]


def find_colour(picture: Path, colour: Colour, within: Box, least: int) -> tuple[int, int] | None:
    """The middle of what has about that colour in that box; None: there are fewer than so many pixels of it."""
    with Image.open(picture) as opened:
        part = opened.convert("RGB").crop(within)
    found = [
        (number % part.width, number // part.width)
        for number, seen in enumerate(part.getdata())
        if all(abs(a - b) <= _NEAR for a, b in zip(seen, colour, strict=True))
    ]
    if len(found) < least:
        return None
    x, y = (sum(values) // len(found) for values in zip(*found, strict=True))
    return within[0] + x, within[1] + y


def count_colour(picture: Path, colour: Colour) -> int:
    """How many pixels have about that colour."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    counted = image.getcolors(image.width * image.height) or []
    return sum(
        number
        for number, seen in counted
        if isinstance(seen, tuple) and all(abs(a - b) <= _NEAR for a, b in zip(seen, colour, strict=True))
    )
