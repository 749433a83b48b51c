"""Words the names of rooms and people, which strangers choose, so that a reader is not misled about who writes.

Source: Client-Server API, "Calculating the display name for a user". Beyond that, a name gives way to the user id if it
shows nothing, or looks like a user id: the id alone is given by a homeserver, and is nobody else's.
"""

from __future__ import annotations

from heliograph.core.text.clean import clean_line
from heliograph.core.text.lookalikes import alike_key, looks_like_user_id, shows_something

NAME_LIMIT = 100
_BESIDE_ID = 40
"""Characters of a name that stands beside a user id: a long one must not push the id off."""
_ID_LIMIT = 255


def word_name(name: str) -> str:
    """A room's name as one line. Never empty."""
    line = clean_line(name, NAME_LIMIT)
    return line if shows_something(line) else "(no name)"


def can_name(name: str) -> bool:
    """Returns True if a person may go by this name: a reader sees it, and does not take it for a user id."""
    line = clean_line(name, NAME_LIMIT)
    return shows_something(line) and not looks_like_user_id(line)


def name_key(name: str) -> str:
    """The key under which names that a reader may take for one another are the same."""
    return alike_key(clean_line(name, NAME_LIMIT))


def word_member(name: str, user_id: str, *, with_id: bool) -> str:
    """A person's name as one line, with the user id in full beside it if asked for; or the user id alone, if the name
    cannot be one. Never empty."""
    shown_id = clean_line(user_id, _ID_LIMIT) or "(nobody)"
    if not can_name(name):
        return shown_id
    return f"{clean_line(name, _BESIDE_ID)} ({shown_id})" if with_id else clean_line(name, NAME_LIMIT)
