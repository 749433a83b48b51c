"""Defines the interface org.kde.StatusNotifierItem of the item's object on the session bus.

Source: https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem, and what hosts take and refuse of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from heliograph.control.answering import DBusNothing, acting
from heliograph.control.tray import MENU_PATH
from heliograph.core.tray.drawing import SIZES, Look, draw_icon
from heliograph.core.tray.item import TITLE, Icon, Item
from heliograph.core.value_type import value_type

DBusPixmaps = Annotated[list[Any], DBusSignature("a(iiay)")]
DBusToolTip = Annotated[list[Any], DBusSignature("(sa(iiay)ss)")]

Pixmaps = list[Any]
"""Width, height and pixels of each size."""
LONGEST_TOKEN = 512


def draw_pixmaps(icon: Icon, look: Look) -> Pixmaps:
    """The icon in all sizes. Takes some milliseconds."""
    return [[size, size, draw_icon(icon, look, size)] for size in SIZES]


@value_type
class Clicks:
    """What is called when somebody clicks on the icon; each is given the activation token, or ""."""

    primary: Callable[[str], None]
    secondary: Callable[[str], None]


class StatusNotifierItem(ServiceInterface):
    """The exported interface. `take` changes its properties and signals those that changed."""

    def __init__(self, item: Item, pixmaps: Pixmaps, clicks: Clicks) -> None:
        super().__init__("org.kde.StatusNotifierItem")
        self._item = item
        self._pixmaps = pixmaps
        self._clicks = clicks
        self._token = ""

    def take(self, item: Item, pixmaps: Pixmaps) -> None:
        """Shows this item instead; `pixmaps` are those of its icon."""
        before, self._item, self._pixmaps = self._item, item, pixmaps
        if item.icon != before.icon or item.description != before.description:
            self.NewIcon()
            self.NewAttentionIcon()
        if item.tooltip != before.tooltip:
            self.NewToolTip()
        # Last: a host that shows a hidden item has its new icon by then.
        if item.status is not before.status:
            self.NewStatus(item.status.value)

    def announce(self) -> None:
        """Signals everything, whether it has changed or not."""
        self.NewIcon()
        self.NewAttentionIcon()
        self.NewToolTip()
        self.NewStatus(self._item.status.value)

    def take_token(self) -> str:
        """The activation token that came before a click, which works once; "": none came."""
        token, self._token = self._token, ""
        return token

    # Methods

    @dbus_method()
    @acting
    async def Activate(self, x: DBusInt32, y: DBusInt32) -> DBusNothing:  # noqa: N802
        self._clicks.primary(self.take_token())

    @dbus_method()
    @acting
    async def SecondaryActivate(self, x: DBusInt32, y: DBusInt32) -> DBusNothing:  # noqa: N802
        self._clicks.secondary(self.take_token())

    @dbus_method()
    def ContextMenu(self, x: DBusInt32, y: DBusInt32) -> DBusNothing:  # noqa: N802
        """For hosts that draw no menus; we have no window to draw one with."""

    @dbus_method()
    def Scroll(self, delta: DBusInt32, orientation: DBusStr) -> DBusNothing:  # noqa: N802
        """A wheel that turns over the panel is to change nothing."""

    @dbus_method()
    @acting
    async def ProvideXdgActivationToken(self, token: DBusStr) -> DBusNothing:  # noqa: N802
        self._token = token if len(token) <= LONGEST_TOKEN else ""

    # Signals

    @dbus_signal()
    def NewIcon(self) -> DBusNothing:  # noqa: N802
        return None

    @dbus_signal()
    def NewAttentionIcon(self) -> DBusNothing:  # noqa: N802
        return None

    @dbus_signal()
    def NewToolTip(self) -> DBusNothing:  # noqa: N802
        return None

    @dbus_signal()
    def NewStatus(self, status: str) -> DBusStr:  # noqa: N802
        return status

    # Properties

    @dbus_property(access=PropertyAccess.READ)
    def Category(self) -> DBusStr:  # noqa: N802
        return "Communications"

    @dbus_property(access=PropertyAccess.READ)
    def Id(self) -> DBusStr:  # noqa: N802
        # Panels keep under this what the user set for the item: it is the same after each start.
        return "heliograph"

    @dbus_property(access=PropertyAccess.READ)
    def Title(self) -> DBusStr:  # noqa: N802
        return TITLE

    @dbus_property(access=PropertyAccess.READ)
    def Status(self) -> DBusStr:  # noqa: N802
        return self._item.status.value

    @dbus_property(access=PropertyAccess.READ)
    def WindowId(self) -> DBusInt32:  # noqa: N802
        return 0

    @dbus_property(access=PropertyAccess.READ)
    def ItemIsMenu(self) -> DBusBool:  # noqa: N802
        return False

    @dbus_property(access=PropertyAccess.READ)
    def Menu(self) -> DBusObjectPath:  # noqa: N802
        return MENU_PATH

    @dbus_property(access=PropertyAccess.READ)
    def IconName(self) -> DBusStr:  # noqa: N802
        # Hosts take a name rather than pixels, and a name cannot show a number.
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def IconThemePath(self) -> DBusStr:  # noqa: N802
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def IconPixmap(self) -> DBusPixmaps:  # noqa: N802
        return self._pixmaps

    @dbus_property(access=PropertyAccess.READ)
    def IconAccessibleDesc(self) -> DBusStr:  # noqa: N802
        return self._item.description

    @dbus_property(access=PropertyAccess.READ)
    def OverlayIconName(self) -> DBusStr:  # noqa: N802
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def OverlayIconPixmap(self) -> DBusPixmaps:  # noqa: N802
        return []

    @dbus_property(access=PropertyAccess.READ)
    def AttentionIconName(self) -> DBusStr:  # noqa: N802
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def AttentionIconPixmap(self) -> DBusPixmaps:  # noqa: N802
        # The same: some hosts show nothing else while the item needs attention, and others never look here.
        return self._pixmaps

    @dbus_property(access=PropertyAccess.READ)
    def AttentionAccessibleDesc(self) -> DBusStr:  # noqa: N802
        return self._item.description

    @dbus_property(access=PropertyAccess.READ)
    def AttentionMovieName(self) -> DBusStr:  # noqa: N802
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def ToolTip(self) -> DBusToolTip:  # noqa: N802
        return ["", [], TITLE, self._item.tooltip]
