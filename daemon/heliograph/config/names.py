"""Puts the ids of rooms beside the names that a configuration has for them.

Names never grant anything by themselves, since anyone may give one to a room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from heliograph.config.settings import Config
from heliograph.core.ids import RoomId, UserId, is_room_id, is_user_id
from heliograph.core.room import RoomFacts
from heliograph.core.room_search import resolve_name

Resolved = Mapping[str, Mapping[UserId, RoomId]]
"""By name: the room of each account (user id) that alone has this name there."""


def resolve_names(config: Config, rooms: Mapping[UserId, Sequence[RoomFacts]]) -> Resolved:
    """Each name of a room in the configuration, with the rooms that it stands for. `rooms`: all known, by account."""
    resolved: dict[str, dict[UserId, RoomId]] = {}
    for name in sorted(set(_names(config))):
        found = {user_id: resolve_name(name, facts, user_id) for user_id, facts in rooms.items()}
        resolved[name] = {user_id: room_id for user_id, room_id in found.items() if room_id is not None}
    return resolved


def with_ids(config: Config, resolved: Resolved) -> Config:
    """The configuration with these ids in the lists that have the names."""

    def extended(listed: tuple[str, ...]) -> tuple[str, ...]:
        ids = (room_id for name in listed for room_id in resolved.get(name, {}).values())
        return tuple(dict.fromkeys((*listed, *ids)))

    privacy = config.privacy
    lists = {name: extended(getattr(privacy, name)) for name in ("full", "sender", "hidden")}
    return msgspec.structs.replace(
        config,
        privacy=msgspec.structs.replace(privacy, **lists),
        quiet=msgspec.structs.replace(config.quiet, rooms=extended(config.quiet.rooms)),
    )


def _names(config: Config) -> Iterator[str]:
    for listed in (config.privacy.full, config.privacy.sender, config.privacy.hidden, config.quiet.rooms):
        yield from (name for name in listed if not is_room_id(name) and not is_user_id(name))
