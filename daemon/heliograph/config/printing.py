"""Prints the configuration as TOML, each setting below its explanation and the values that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

import msgspec
from msgspec import Meta

from heliograph.config.names import Resolved
from heliograph.config.settings import Config
from heliograph.config_mistakes import describe_values
from heliograph.core.ids import RoomId, UserId
from heliograph.core.text.clean import clean_line


def render_config(config: Config, resolved: Resolved = MappingProxyType({})) -> str:
    """Writes the configuration as TOML, with each setting's explanation as a comment, and which rooms its names stand
    for. `parse_config` reads it back."""
    return "\n".join(_render(config, resolved))


def _render(config: Config, resolved: Resolved) -> Iterator[str]:
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
            value = getattr(values, field.name)
            yield f"{field.name} = {json.dumps(value)}"
            if isinstance(value, tuple):
                yield from (line for name in value if name in resolved for line in _word_rooms(name, resolved[name]))
    yield ""


def _word_rooms(name: str, rooms: Mapping[UserId, RoomId]) -> Iterator[str]:
    """Which rooms a name stands for. Names of rooms come from strangers: one must not end the comment."""
    shown = json.dumps(clean_line(name, 100))
    if not rooms:
        yield f"# {shown}: no room, or several, that had news. Name it by its id."
    for user_id, room_id in rooms.items():
        yield f"# {shown} is {clean_line(room_id, 255)} of {clean_line(user_id, 255)}."


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
