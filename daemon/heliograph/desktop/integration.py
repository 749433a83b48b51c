"""Installs our desktop entry, icon and notifyrc file where desktops look, so that they name, group and mute our
notifications."""

from __future__ import annotations

import re
from pathlib import Path

from heliograph.desktop.identity import DESKTOP_ENTRY, ICON_FOLDER, NOTIFYRC, data_file, data_home
from heliograph.errors import UserError
from heliograph.system.whole_file import replace_file

_ENTRY_FOLDER = Path("applications")
_ENTRY_NAME = f"{DESKTOP_ENTRY}.desktop"
_ICON_NAME = f"{DESKTOP_ENTRY}.svg"
_NOTIFYRC_NAME = f"{NOTIFYRC}.notifyrc"
_NOTIFYRC_FOLDERS = (Path("knotifications5"), Path("knotifications6"))
"""Where Plasma 5 and Plasma 6 look. An entry that is not displayed in menus is not listed in their settings."""

_UNSAFE = re.compile(r'[\s"\'\\><~|&;$*?#()`]')


def install_integration(program: Path, home: Path | None = None) -> list[Path]:
    """Writes the entry, the icon and the notifyrc files below `home`, by default the user's XDG data folder. Doing so
    again is harmless.

    `program` is the absolute path of the command: GNOME ignores an entry whose command it does not find. Returns
    what was written. Raises UserError if the folder does not take it.
    """
    entry, icon, *notifyrc = places = _places(home)
    command = _quote_exec(str(program))
    text = re.sub(r"(?m)^Exec=heliograph\b", lambda _: f"Exec={command}", data_file(_ENTRY_NAME).read_text("utf-8"))
    try:
        _write(entry, text.encode())
        _write(icon, data_file(_ICON_NAME).read_bytes())
        for path in notifyrc:
            _write(path, data_file(_NOTIFYRC_NAME).read_bytes())
    except OSError as error:
        raise UserError(
            f"The desktop entry could not be written: {error.strerror} ({error.filename}).",
            "Make the folder writable, or go without: only the icon and the grouping of notifications are missing.",
        ) from error
    return places


def remove_integration(home: Path | None = None) -> list[Path]:
    """Removes the files that `install_integration` wrote. Returns those that were there."""
    removed = []
    for path in _places(home):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UserError(f"{path} could not be removed: {error.strerror}.", "Remove it by hand.") from error
        removed.append(path)
    return removed


def _places(home: Path | None) -> list[Path]:
    base = home or data_home()
    notifyrc = (base / folder / _NOTIFYRC_NAME for folder in _NOTIFYRC_FOLDERS)
    return [base / _ENTRY_FOLDER / _ENTRY_NAME, base / ICON_FOLDER / _ICON_NAME, *notifyrc]


def _write(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all, since desktops watch these folders and read new files at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content, 0o644)


def _quote_exec(path: str) -> str:
    """The path as "The Exec key" of the Desktop Entry Specification wants it: quoted, then escaped as a string."""
    path = path.replace("%", "%%")
    if not _UNSAFE.search(path):
        return path
    quoted = re.sub(r'(["`$\\])', r"\\\1", path)
    return '"' + quoted.replace("\\", "\\\\") + '"'
