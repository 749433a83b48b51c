"""Draws a QR code in the terminal, so that nobody has to type a URL on a phone."""

from __future__ import annotations

import io
import shutil
import sys

import click

_BORDER = 2
"""Light modules around the code. The standard wants four, and phones make do with less."""


def show_qr_code(url: str) -> None:
    """Writes the code to standard output, if that is a terminal which can show it."""
    encoding = sys.stdout.encoding or ""
    if not sys.stdout.isatty() or not encoding.lower().startswith("utf"):
        return
    lines = draw_qr_code(url)
    if len(lines[0]) > shutil.get_terminal_size().columns:
        return
    for line in lines:
        # In colours of its own: those of a light terminal would make a negative, which not every phone reads.
        click.secho(line, fg="bright_white", bg="black")


def draw_qr_code(text: str) -> list[str]:
    """The lines of the code, all of one width: two rows of modules each, light ones as full blocks."""
    # Loaded only by a login that draws one.
    import segno

    drawn = io.StringIO()
    segno.make_qr(text).terminal(drawn, border=_BORDER, compact=True)
    return drawn.getvalue().splitlines()
