"""All that is played on each desktop, in the order of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from desktops.contract import contract
from desktops.scene import Scene
from desktops.situations.absence import ABSENCE
from desktops.situations.clicks import CLICKS
from desktops.situations.messages import MESSAGES
from desktops.situations.quiet import QUIET
from desktops.situations.reading import READING
from desktops.situations.tray import TRAY
from desktops.situations.walk import WALK

SITUATIONS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    **MESSAGES,
    **READING,
    **CLICKS,
    **QUIET,
    **ABSENCE,
    **TRAY,
    **WALK,
    "contract": contract,
}
"""Each raises Wrong, or returns: then all was as a person wants it."""
