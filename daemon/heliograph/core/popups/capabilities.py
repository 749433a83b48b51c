"""Words the capabilities of a notification server. Source: Desktop Notifications Specification, GetCapabilities."""

from __future__ import annotations

from collections.abc import Collection

_FEATURES = (
    ("body", "shows text below the title", "shows titles only"),
    ("body-markup", "shows emphasis", "shows plain text"),
    ("actions", "takes clicks and offers buttons", "takes no clicks: a notification opens nothing"),
    ("inline-reply", "lets you answer in the notification", "cannot take an answer in the notification"),
    ("icon-static", "shows pictures", "does not tell whether it shows pictures"),
    ("sound", "plays sounds", "plays no sounds itself"),
    ("persistence", "keeps a list of what you have not seen", "keeps no list of its own that it tells of"),
)


def word_capabilities(capabilities: Collection[str]) -> list[tuple[bool, str]]:
    """For each capability that makes a difference here: whether the server has it, and what that means to the user."""
    return [(name in capabilities, can if name in capabilities else cannot) for name, can, cannot in _FEATURES]
