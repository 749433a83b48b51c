"""Has a stream take every text, whatever its encoding can say."""

from __future__ import annotations

import io
from typing import TextIO


def take_any_text(stream: TextIO) -> None:
    """From now on the stream writes "?" for what its encoding lacks, instead of raising UnicodeEncodeError: strangers
    choose names, and a terminal need not know their letters. Standard error does so by itself."""
    # None in a process that was started without a standard output, and of another class where somebody replaced it.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
