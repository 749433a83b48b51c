"""Makes the environment variables in which a hook (a program of the user's own) is told of a message. Nothing of a
message goes into its command line, which other users of the machine can read."""

from __future__ import annotations

from heliograph.core.ids import is_event_id
from heliograph.core.record import Delivery
from heliograph.core.text.clean import clean_line, clean_text

_ID_LIMIT = 255
_NAME_LIMIT = 200
_TEXT_LIMIT = 4000
_TEXT_LINES = 100


def hook_environment(account: str, delivery: Delivery) -> dict[str, str] | None:
    """The variables, which docs/hooks.md documents. No value holds a NUL or is longer than some KB. None: the delivery
    has been settled, and its text erased."""
    content = delivery.content
    if content is None:
        return None
    return {
        "HELIOGRAPH_ACCOUNT": clean_line(account, _ID_LIMIT),
        "HELIOGRAPH_KIND": content.category.name.lower(),
        "HELIOGRAPH_ROOM_ID": clean_line(delivery.room_id, _ID_LIMIT),
        "HELIOGRAPH_ROOM": clean_line(content.room_title, _NAME_LIMIT),
        # A key of our own, which an invite has, would be taken for an id of the homeserver's.
        "HELIOGRAPH_EVENT_ID": clean_line(delivery.event_id, _ID_LIMIT) if is_event_id(delivery.event_id) else "",
        "HELIOGRAPH_SENDER_ID": clean_line(delivery.sender, _ID_LIMIT),
        "HELIOGRAPH_SENDER": clean_line(content.sender_name, _NAME_LIMIT),
        "HELIOGRAPH_TEXT": clean_text(content.text, _TEXT_LIMIT, _TEXT_LINES),
        "HELIOGRAPH_HIGHLIGHT": "1" if content.is_highlight else "0",
        "HELIOGRAPH_DIRECT": "1" if content.is_direct else "0",
        "HELIOGRAPH_SOUND": clean_line(content.sound or "", _NAME_LIMIT),
        "HELIOGRAPH_THREAD": clean_line(delivery.thread_root or "", _ID_LIMIT),
    }
