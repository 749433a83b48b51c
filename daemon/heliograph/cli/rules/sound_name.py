"""Reads the sound of a push rule on the command line."""

from __future__ import annotations

from typing import Any

import click

_KNOWN = ("default", "ring")
"""The sounds for which clients play something: the usual one, and that of calls."""


class SoundName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """A sound: `default`, `ring`, or the name of the user's own file in the folder sounds/ beside the configuration."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from heliograph.accounts import sounds_folder

        folder = sounds_folder()
        accepted = [*_KNOWN, *sorted({file.stem for file in _files(folder)} - set(_KNOWN))]
        # The homeserver would take any name, and then nothing would sound.
        if value not in accepted:
            self.fail(f"{str(value)[:100]!r} is none of {', '.join(accepted)}. Files of your own go into {folder}.")
        return str(value)


def _files(folder: Any) -> list[Any]:
    try:
        return [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    except OSError:
        return []
