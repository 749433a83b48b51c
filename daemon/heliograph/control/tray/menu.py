"""Defines the interface com.canonical.dbusmenu of the menu's object on the session bus.

Source: dbus-menu.xml of libdbusmenu, and what hosts ask of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any

from dbus_fast import DBusError, ErrorType, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr, DBusUInt32, DBusVariant
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from heliograph.control.answering import DBusNothing, acting
from heliograph.core.tray.layout import ROOT, LayoutChange, MenuLayout, Properties, properties_of
from heliograph.core.tray.menu import Command, MenuEntry

CLICKED = "clicked"

DBusIds = Annotated[list[int], DBusSignature("ai")]
DBusTwoIds = Annotated[list[Any], DBusSignature("aiai")]
DBusNames = Annotated[list[str], DBusSignature("as")]
DBusEvents = Annotated[list[Any], DBusSignature("a(isvu)")]
DBusLayout = Annotated[list[Any], DBusSignature("u(ia{sv}av)")]
DBusGroup = Annotated[list[Any], DBusSignature("a(ia{sv})")]
DBusUpdates = Annotated[list[Any], DBusSignature("a(ia{sv})a(ias)")]
DBusUpdate = Annotated[list[Any], DBusSignature("ui")]

_ROOT_PROPERTIES: Properties = {"children-display": "submenu"}


class DBusMenu(ServiceInterface):
    """The exported interface. `take` changes the menu and signals what changed."""

    def __init__(
        self, entries: Sequence[MenuEntry], on_command: Callable[[Command], None], catch_up: Callable[[], None]
    ) -> None:
        """`on_command` is called with what the user clicks on. `catch_up` is called before the menu is shown, and calls
        `take` if there is something newer."""
        super().__init__("com.canonical.dbusmenu")
        self._layout = MenuLayout(entries)
        self._on_command = on_command
        self._catch_up = catch_up

    def take(self, entries: Sequence[MenuEntry]) -> LayoutChange:
        """Replaces the menu; what changed."""
        change = self._layout.take(entries)
        # First: hosts that have an entry already do not ask for its properties again when the layout changes.
        if change.properties:
            updates = [[entry_id, _variants(properties)] for entry_id, properties in change.properties.items()]
            self.ItemsPropertiesUpdated(updates)
        if change.is_rearranged:
            self.LayoutUpdated(self._layout.revision)
        return change

    # Methods

    @dbus_method()
    def GetLayout(  # noqa: N802
        self, parent_id: DBusInt32, recursion_depth: DBusInt32, property_names: DBusNames
    ) -> DBusLayout:
        properties = self._find(parent_id)
        ids = self._layout.ids if parent_id == ROOT and recursion_depth else ()
        children = [Variant("(ia{sv}av)", [each, _variants(self._find(each), property_names), []]) for each in ids]
        return [self._layout.revision, [parent_id, _variants(properties, property_names), children]]

    @dbus_method()
    def GetGroupProperties(self, ids: DBusIds, property_names: DBusNames) -> DBusGroup:  # noqa: N802
        known = (each for each in ids or (ROOT, *self._layout.ids) if self._is_known(each))
        return [[each, _variants(self._find(each), property_names)] for each in dict.fromkeys(known)]

    @dbus_method()
    def GetProperty(self, entry_id: DBusInt32, name: DBusStr) -> DBusVariant:  # noqa: N802
        properties = _variants(self._find(entry_id))
        if name not in properties:
            raise DBusError(ErrorType.INVALID_ARGS, "The entry has no such property")
        return properties[name]

    @dbus_method()
    @acting
    async def Event(  # noqa: N802
        self, entry_id: DBusInt32, event_id: DBusStr, data: DBusVariant, timestamp: DBusUInt32
    ) -> DBusNothing:
        self._find(entry_id)
        self._hear(entry_id, event_id)

    @dbus_method()
    @acting
    async def EventGroup(self, events: DBusEvents) -> DBusIds:  # noqa: N802
        for entry_id, event_id, _, _ in events:
            self._hear(entry_id, event_id)
        return self._unknown(entry_id for entry_id, *_ in events)

    @dbus_method()
    def AboutToShow(self, entry_id: DBusInt32) -> DBusBool:  # noqa: N802
        self._find(entry_id)
        return self._is_new_after_catching_up()

    @dbus_method()
    def AboutToShowGroup(self, ids: DBusIds) -> DBusTwoIds:  # noqa: N802
        unknown = self._unknown(ids)
        is_new = self._is_new_after_catching_up()
        return [[ROOT] if is_new and ROOT in ids else [], unknown]

    # Signals

    @dbus_signal()
    def ItemsPropertiesUpdated(self, updates: list[Any]) -> DBusUpdates:  # noqa: N802
        # None is ever removed: each entry has all of its properties.
        return [updates, []]

    @dbus_signal()
    def LayoutUpdated(self, revision: int) -> DBusUpdate:  # noqa: N802
        return [revision, ROOT]

    # Properties

    @dbus_property(access=PropertyAccess.READ)
    def Version(self) -> DBusUInt32:  # noqa: N802
        return 3

    @dbus_property(access=PropertyAccess.READ)
    def Status(self) -> DBusStr:  # noqa: N802
        return "normal"

    @dbus_property(access=PropertyAccess.READ)
    def TextDirection(self) -> DBusStr:  # noqa: N802
        return "ltr"

    @dbus_property(access=PropertyAccess.READ)
    def IconThemePath(self) -> DBusNames:  # noqa: N802
        return []

    # Inside

    def _is_new_after_catching_up(self) -> bool:
        revision = self._layout.revision
        self._catch_up()
        return self._layout.revision != revision

    def _hear(self, entry_id: int, event_id: str) -> None:
        entry = self._layout.find(entry_id)
        if event_id == CLICKED and entry is not None and entry.command is not None:
            self._on_command(entry.command)

    def _is_known(self, entry_id: int) -> bool:
        return entry_id == ROOT or self._layout.find(entry_id) is not None

    def _unknown(self, ids: Iterable[int]) -> list[int]:
        return [each for each in dict.fromkeys(ids) if not self._is_known(each)]

    def _find(self, entry_id: int) -> Properties:
        """The properties of an entry, or of the menu itself. Raises DBusError."""
        if entry_id == ROOT:
            return _ROOT_PROPERTIES
        entry = self._layout.find(entry_id)
        if entry is None:
            raise DBusError(ErrorType.INVALID_ARGS, "There is no such entry")
        return properties_of(entry)


def _variants(properties: Properties, names: Collection[str] = ()) -> dict[str, Variant]:
    """The properties of these names; without names, all of them."""
    return {
        name: Variant("b" if isinstance(value, bool) else "s", value)
        for name, value in properties.items()
        if not names or name in names
    }
