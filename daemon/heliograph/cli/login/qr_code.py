"""Draws a QR code in the terminal, so that nobody has to type a URL on a phone."""

from __future__ import annotations

import shutil
import sys
from itertools import groupby, zip_longest

import click

_BORDER = 2
"""Light modules around the code. The standard wants four, and phones make do with less."""
_HALVES = {(False, True): "▀", (True, False): "▄"}
"""What shows the light one of two modules, by whether the upper and the lower one is dark."""

Cell = tuple[bool, bool]
"""Two modules, one above the other: True is dark."""


def show_qr_code(url: str) -> None:
    """Writes the code to standard output, if that is a terminal which can show it."""
    encoding = sys.stdout.encoding or ""
    if not sys.stdout.isatty() or not encoding.lower().startswith("utf"):
        return
    lines = lay_out_qr_code(url)
    if len(lines[0]) > shutil.get_terminal_size().columns:
        return
    for line in lines:
        click.echo("".join(_paint(cell, len(list(run))) for cell, run in groupby(line)))


def lay_out_qr_code(text: str) -> list[list[Cell]]:
    """The lines of the code, all of one width."""
    # Loaded only by a login that draws one.
    import segno

    rows = [[bool(module) for module in row] for row in segno.make_qr(text).matrix_iter(border=_BORDER)]
    light = [False] * len(rows[0])
    return [
        list(zip(upper, lower, strict=True)) for upper, lower in zip_longest(rows[::2], rows[1::2], fillvalue=light)
    ]


def _paint(cell: Cell, times: int) -> str:
    # In colours of its own: those of a light terminal would make a negative, which not every phone reads. Whole cells
    # are background alone, since in many fonts block letters leave gaps between the lines.
    if cell in _HALVES:
        return click.style(_HALVES[cell] * times, fg="bright_white", bg="black")
    return click.style(" " * times, bg="black" if cell[0] else "bright_white")
