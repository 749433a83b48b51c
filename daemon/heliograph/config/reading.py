"""Reads config.toml. An unknown key or a wrong value is refused, with its place in the file and what would be right."""

from __future__ import annotations

from pathlib import Path

import msgspec

from heliograph.accounts import config_file
from heliograph.config.settings import Config
from heliograph.errors import EXIT_CONFIG, UserError

_MAX_FILE = 256 * 1024


def load_config(file: Path | None = None) -> Config:
    """Reads the configuration from `file` (None: from its usual place). Without such a file all settings have their
    defaults. Raises UserError."""
    file = file or config_file()
    try:
        with file.open("rb") as stream:
            # One byte more than it may have tells a file that is too large from one that just fits.
            text = stream.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise _refusal(file, f"cannot be read: {error.strerror}", "Make sure that you may read it.") from error
    if len(text) > _MAX_FILE:
        raise _refusal(file, "is far too large for a configuration", "See `heliograph config` for what it may hold.")
    try:
        return parse_config(text.decode())
    except UnicodeDecodeError as error:
        raise _refusal(file, "is not UTF-8", "Save it as UTF-8 text.") from error
    except ConfigError as error:
        raise UserError(f"{file}: {error}.", error.hint, exit_code=EXIT_CONFIG) from error


class ConfigError(ValueError):
    """The text says what is wrong and where; `hint` what would be right."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def parse_config(text: str) -> Config:
    """Reads a configuration from the text of a TOML file. Raises ConfigError."""
    import tomllib  # Only who has a configuration pays for reading it.

    try:
        # Its reader calls itself for each nested array: a thousand brackets end in a RecursionError.
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not valid TOML: {error}", "See `heliograph config` for an example.") from None
    try:
        # Strict: "yes" is not true, and "10" is no number. What was meant is said in the error instead of guessed.
        return msgspec.convert(tree, Config, strict=True)
    except msgspec.ValidationError as error:
        from heliograph.config_mistakes import explain_mistake

        raise ConfigError(*explain_mistake(error, tree, Config)) from None


def _refusal(file: Path, problem: str, hint: str) -> UserError:
    return UserError(f"{file} {problem}.", hint, exit_code=EXIT_CONFIG)
