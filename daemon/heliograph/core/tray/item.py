"""Decides what the tray item shows: whether it is there at all, its icon, and its tooltip.

Source: the StatusNotifierItem specification, https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from xml.sax.saxutils import escape

from heliograph.core.summary.bar import BarState
from heliograph.core.tray.situation import TraySituation

TITLE = "Heliograph"
_MOST = 99


class Status(Enum):
    """The item's Status, by the specification's names."""

    PASSIVE = "Passive"
    """There is nothing to tell: the tray hides the item."""
    ACTIVE = "Active"
    NEEDS_ATTENTION = "NeedsAttention"


@dataclass(frozen=True, slots=True)
class Icon:
    """What is to be seen on the icon."""

    badge: str = ""
    """A number, "99+", or "!" if messages do not arrive; "": there is no badge."""
    is_urgent: bool = False
    """The badge has the colour of highlights."""
    is_dim: bool = False
    """Nothing pops up at the moment."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the item shows."""

    status: Status
    icon: Icon
    description: str
    """The icon in words, for screen readers."""
    tooltip: str
    """Several lines of the specification's markup."""


def make_item(situation: TraySituation) -> Item:
    """The item that tells of this situation."""
    bar = situation.bar
    return Item(
        status=_status(bar, is_paused=situation.summary.paused_until_ms != 0),
        icon=Icon(_badge(bar), is_urgent=bar.highlights > 0, is_dim=bool(bar.quiet)),
        description=f"{TITLE}: {bar.total}",
        # Names of rooms come from strangers, and the specification lets a tooltip have markup, with images.
        tooltip=escape(bar.tooltip),
    )


def _status(bar: BarState, *, is_paused: bool) -> Status:
    if bar.highlights:
        return Status.NEEDS_ATTENTION
    # In a pause the item stays, since the pause is ended from its menu.
    return Status.ACTIVE if bar.unread or bar.is_in_trouble or is_paused else Status.PASSIVE


def _badge(bar: BarState) -> str:
    if not bar.unread:
        return "!" if bar.is_in_trouble else ""
    return str(bar.unread) if bar.unread <= _MOST else f"{_MOST}+"
