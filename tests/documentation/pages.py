"""The documentation as its readers see it: Markdown pages with headings, indented blocks, code and links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
_INDENT = "    "
_HEADING = re.compile(r"^#{1,6} (.*)$")
_CODE = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")


class Page:
    """One page, by its text."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    @property
    def headings(self) -> list[str]:
        """Of all levels, in their order."""
        return [found[1] for line in self._lines if (found := _HEADING.match(line))]

    @property
    def anchors(self) -> frozenset[str]:
        """What a link may name behind `#`, as GitHub makes it of the headings."""
        seen: Counter[str] = Counter()
        anchors = set()
        for heading in self.headings:
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return frozenset(anchors)

    @property
    def links(self) -> list[str]:
        """Where links and pictures lead, in their order; what stands in code is none."""
        return _LINK.findall(_CODE.sub("", "\n".join(self._prose())))

    @property
    def tags(self) -> list[str]:
        """What stands between angle brackets and in no code, which a browser would take for HTML and not show."""
        return re.findall(r"<[a-zA-Z/!][^>]*>", _CODE.sub("", " ".join(self._prose())))

    @property
    def code(self) -> list[str]:
        """The lines of the indented blocks, and what stands between backticks."""
        spans = [span for _, span in _CODE.findall(" ".join(self._prose()))]
        return [*spans, *(line for block in self.blocks() for line in block)]

    def blocks(self, heading: str | None = None) -> list[list[str]]:
        """The indented blocks below that heading, or of the whole page. Raises ValueError for an unknown heading."""
        lines = self._lines if heading is None else self._below(heading)
        found: list[list[str]] = []
        # An empty line between two indented ones belongs to their block.
        for is_block, group in groupby(_joined(lines), lambda line: line.startswith(_INDENT)):
            if is_block:
                found.append([line.removeprefix(_INDENT).rstrip() for line in group])
        return found

    def text(self, heading: str) -> str:
        """All that stands below that heading. Raises ValueError."""
        return "\n".join(self._below(heading))

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the tables below that heading, without their heads. Raises ValueError."""
        lines = [line for line in self._below(heading) if line.startswith("|")]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        rules = [number for number, row in enumerate(cells) if all(re.fullmatch(":?-+:?", cell) for cell in row)]
        return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]

    def _below(self, heading: str) -> list[str]:
        """Up to the next heading of any level."""
        starts = [number for number, line in enumerate(self._lines) if _HEADING.match(line)]
        start = starts[self.headings.index(heading)]
        return self._lines[start + 1 : next((number for number in starts if number > start), None)]

    def _prose(self) -> Iterator[str]:
        return (line for line in self._lines if not line.startswith(_INDENT))


def read_page(name: str) -> Page:
    """The page of the repository with this path."""
    return Page((ROOT / name).read_text("utf-8"))


def documentation() -> list[str]:
    """The paths of what users read."""
    return ["README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]


def _joined(lines: list[str]) -> Iterator[str]:
    """Empty lines within an indented block count as indented."""
    waiting = 0
    is_inside = False
    for line in lines:
        if not line and is_inside:
            waiting += 1
            continue
        indented = line.startswith(_INDENT)
        yield from [_INDENT if indented and is_inside else ""] * waiting
        waiting = 0
        is_inside = indented
        yield line
