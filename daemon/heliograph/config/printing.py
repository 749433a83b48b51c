"""Prints the configuration as TOML, each setting below its explanation and the values that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import Meta

from heliograph.config.settings import Config
from heliograph.config_mistakes import describe_values


def render_config(config: Config) -> str:
    """Writes the configuration as TOML, with each setting's explanation as a comment. `parse_config` reads it back."""
    return "\n".join(_render(config))


def _render(config: Config) -> Iterator[str]:
    yield from _comment("Heliograph's configuration. Every line is optional. The daemon reads it when it starts.")
    for section in msgspec.structs.fields(Config):
        values = getattr(config, section.name)
        yield ""
        yield from _comment(str(section.type.__doc__))
        yield f"[{section.name}]"
        for field in msgspec.structs.fields(section.type):
            yield from _comment(str(_meta(field.type).description))
            yield from _comment(describe_values(field.type))
            # Texts, numbers, lists and booleans in JSON are TOML as well, so that no writer of TOML has to be loaded.
            yield f"{field.name} = {json.dumps(getattr(values, field.name))}"
    yield ""


def _comment(text: str, width: int = 100) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _meta(annotation: Any) -> Meta:
    return next(extra for extra in get_args(annotation) if isinstance(extra, Meta))
