"""Decides what the tray item shows: whether it is there at all, its icon, and its tooltip.

Source: the StatusNotifierItem specification, https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem.
"""

from __future__ import annotations

from enum import Enum

from heliograph.core.summary.bar import BarState
from heliograph.core.tray.situation import TraySituation
from heliograph.core.value_type import value_type

TITLE = "Heliograph"
_MOST = 99
_NO_MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "＆"})
"""The specification lets a tooltip have markup. waybar and xfce4-panel read all of it as such, and would show nothing;
Plasma reads most of it as text, and would show what was escaped as it stands. So it has no character of markup's."""


class Status(Enum):
    """The item's Status, by the specification's names."""

    PASSIVE = "Passive"
    """There is nothing to tell: the tray hides the item."""
    ACTIVE = "Active"
    NEEDS_ATTENTION = "NeedsAttention"


@value_type
class Icon:
    """What is to be seen on the icon."""

    badge: str = ""
    """A number, "99+", or "!" if messages do not arrive; "": there is no badge."""
    is_urgent: bool = False
    """The badge has the colour of highlights."""
    is_dim: bool = False
    """Nothing pops up at the moment."""


@value_type
class Item:
    """What the item shows."""

    status: Status
    icon: Icon
    description: str
    """The icon in words, for screen readers."""
    tooltip: str
    """Several lines, without any character of markup."""


def make_item(situation: TraySituation) -> Item:
    """The item that tells of this situation."""
    bar = situation.bar
    return Item(
        status=_status(bar, is_paused=situation.summary.paused_until_ms != 0),
        icon=Icon(_badge(bar), is_urgent=bar.highlights > 0, is_dim=bool(bar.quiet)),
        description=f"{TITLE}: {bar.total}",
        tooltip=bar.tooltip.translate(_NO_MARKUP),
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
