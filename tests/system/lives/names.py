"""How a member of a room may be called by what other clients see of the room. Pure.

Source: Client-Server API, "Calculating the display name for a user".
"""

from __future__ import annotations

from collections.abc import Mapping

NOTHING = ("\u200b", "\u3164", "\u2800")
"""Display names of which nothing is to be seen."""
CYRILLIC_ADA = "\u0410da"


def names_for(user_id: str, members: Mapping[str, str | None]) -> frozenset[str]:
    """All that is right. `members`: the display names of who is in the room, by user id.

    The user id may stand beside any name, and must where another member has the same, or one that looks the same.
    """
    name = members.get(user_id)
    if not name or name in NOTHING or name.startswith("@"):
        return frozenset({user_id})
    others = {_look_of(other) for member, other in members.items() if other and member != user_id}
    full = f"{name} ({user_id})"
    return frozenset({full}) if _look_of(name) in others else frozenset({name, full})


def _look_of(name: str) -> str:
    return name.replace(CYRILLIC_ADA, "Ada")
