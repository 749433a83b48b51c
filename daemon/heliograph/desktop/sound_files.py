"""Finds sound files by their names. A folder is listed once, and again only when it has changed: each sound would
otherwise ask the disk for a dozen files, most of which are not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from heliograph.core.value_type import value_type

SUFFIXES = (".oga", ".ogg", ".opus", ".flac", ".wav", ".mp3")
"""What sound files end with, the best first."""
_SETTLED_MS = 2000
"""A folder that changed later than so may change again within what its file system tells as the same time."""


@value_type
class _Listing:
    changed_ns: int
    names: frozenset[str]


class SoundFiles:
    """Knows the files of the folders that it was asked about. `clock` gives milliseconds since 1970."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._listings: dict[Path, _Listing] = {}

    def find(self, folders: Iterable[Path], sounds: Sequence[str]) -> Path | None:
        """The file of the first of these sounds that the first of these folders with any of them has; None: none has
        one. Reads the disk."""
        for folder in folders:
            there = self._list(folder)
            for name in (f"{sound}{suffix}" for sound in sounds for suffix in SUFFIXES):
                # A folder does not tell that the file behind a link is gone, or is none.
                if name in there and (folder / name).is_file():
                    return folder / name
        return None

    def _list(self, folder: Path) -> frozenset[str]:
        try:
            changed_ns = folder.stat().st_mtime_ns
            known = self._listings.get(folder)
            if known is not None and known.changed_ns == changed_ns:
                return known.names
            listing = _Listing(changed_ns, frozenset(os.listdir(folder)))
        except OSError:
            return frozenset()
        self._listings.pop(folder, None)
        if abs(self._clock() - changed_ns // 1_000_000) > _SETTLED_MS:
            self._listings[folder] = listing
        return listing.names
