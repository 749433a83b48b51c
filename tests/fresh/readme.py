"""What the README tells its readers to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
SEE, USE, RELAY = "See it", "Use it", "The relay: one ring, on any homeserver"
_INDENT = "    "
_COMMENT = re.compile(r"\s{2,}#.*$")
_PACKAGES = re.compile(r"\bsudo apt install ([a-z0-9.+ -]*[a-z0-9+])")


class Readme:
    """Its chapters by heading; in each the indented blocks, in their order."""

    def __init__(self, text: str) -> None:
        self._chapters = dict(_chapters(text))

    def block(self, heading: str, number: int) -> list[str]:
        """The lines of that block. Raises KeyError, IndexError."""
        indented = groupby(self._chapters[heading], lambda line: line.startswith(_INDENT))
        blocks = [[line.removeprefix(_INDENT) for line in lines] for is_block, lines in indented if is_block]
        return blocks[number]

    def commands(self, heading: str, number: int) -> list[str]:
        """The same without what is said about them."""
        return [_COMMENT.sub("", line) for line in self.block(heading, number)]

    def packages(self, heading: str) -> list[str]:
        """The Debian packages that the chapter wants."""
        text = "\n".join(self._chapters[heading])
        return sorted({name for names in _PACKAGES.findall(text) for name in names.split()})


def read_readme() -> Readme:
    return Readme(README.read_text())


def _chapters(text: str) -> Iterator[tuple[str, list[str]]]:
    heading, *rest = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    yield "", heading.splitlines()
    for name, chapter in zip(rest[::2], rest[1::2], strict=True):
        yield name, chapter.splitlines()
