"""The members that a nameless room is named by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from heliograph.core.events import StrippedState
from heliograph.core.room import RoomFacts
from heliograph.homeserver.ids import is_user_id

_MAX_HEROES = 5
"""As many as the specification gives a room ("Calculating the display name for a room")."""


def with_heroes(facts: RoomFacts, heroes: Iterable[tuple[object, str | None]], me: str) -> RoomFacts:
    """The facts with these members, given by user id and display name."""
    others = ((user_id, name) for user_id, name in heroes if is_user_id(user_id) and user_id != me)
    user_ids = []
    for user_id, name in islice(others, _MAX_HEROES):
        user_ids.append(user_id)
        content = {"membership": "join", "displayname": name}
        facts = facts.after(StrippedState("m.room.member", user_id, user_id, content, {}), me)
    return replace(facts, heroes=tuple(user_ids))
