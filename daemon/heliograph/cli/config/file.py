"""Changes one section of config.toml, and leaves the rest as the user wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from heliograph.accounts import config_file
from heliograph.config.reading import load_config, parse_config
from heliograph.config.settings import Config
from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.system.whole_file import replace_file


def write_section(name: str, values: Mapping[str, str | bool]) -> Config:
    """Writes these values into a section, or removes the section if there are none. Returns the new configuration.

    Raises UserError if the file cannot be changed; its hint says what to write by hand.
    """
    load_config()  # A file that is wrong already is refused with its own words.
    # Behind a symbolic link (into a folder of dotfiles), the file is replaced and the link stays.
    file = config_file().resolve()
    try:
        text = file.read_text("utf-8") if file.exists() else ""
        changed = _change(text, name, values)
        # Checked before it is written: a file that the daemon refuses would keep it from starting.
        config = parse_config(changed)
        if changed != text:
            _replace(file, changed)
    except (OSError, TOMLKitError, ValueError) as error:
        raise UserError(
            f"{file} could not be changed: {str(error).rstrip('.')}.",
            f"Change it by hand: {_by_hand(name, values)}",
            exit_code=EXIT_CONFIG,
        ) from error
    return config


def _change(text: str, name: str, values: Mapping[str, str | bool]) -> str:
    document = tomlkit.parse(text)
    if not values:
        # tomlkit leaves the blank lines before a removed section: without `rstrip` their number would grow.
        document.pop(name, None)
        return tomlkit.dumps(document).rstrip() + "\n"
    # Key by key, so that comments in the section and keys that only the user knows of stay.
    section = document.setdefault(name, tomlkit.table())
    for key, value in values.items():
        section[key] = value
    return tomlkit.dumps(document)


def _replace(file: Path, text: str) -> None:
    """Replaces the file whole or not at all, readable only by its owner: whoever knows a pushkey may be able to make
    the phone ring."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(file, text.encode())


def _by_hand(name: str, values: Mapping[str, str | bool]) -> str:
    if not values:
        return f"remove the section [{name}]."
    lines = (f"{key} = {tomlkit.item(value).as_string()}" for key, value in values.items())
    return f"in [{name}]: {', '.join(lines)}"
