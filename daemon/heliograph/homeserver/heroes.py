"""Adds the members after whom a room without a name is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from heliograph.core.events import StrippedState
from heliograph.core.ids import is_user_id
from heliograph.core.room import RoomFacts
from heliograph.ports.homeserver import Member

_MAX_HEROES = 5
"""The most members after whom the specification names a room ("Calculating the display name for a room")."""


def with_heroes(facts: RoomFacts, heroes: Iterable[tuple[object, Member]], me: str) -> RoomFacts:
    """The facts with these heroes, each given as user id and member. `me` is left out: no room is named after us."""
    others = ((user_id, member) for user_id, member in heroes if is_user_id(user_id) and user_id != me)
    user_ids = []
    for user_id, member in islice(others, _MAX_HEROES):
        user_ids.append(user_id)
        # As a state event, so that names and pictures are cleaned in the one place that does it.
        content = {"membership": "join", "displayname": member.name, "avatar_url": member.avatar_url}
        facts = facts.after(StrippedState("m.room.member", user_id, user_id, content, {}), me)
    return replace(facts, heroes=tuple(user_ids))
