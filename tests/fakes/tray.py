"""A tray on a bus: a watcher for items and a host that shows them. It is as strict as the strictest of the real ones,
and knows no more of an item than they do.

From their sources: GNOME's AppIndicator extension, waybar, xfce4-panel, xapp (Cinnamon), Plasma and libdbusmenu.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated, Any

from dbus_fast import DBusError, Message, MessageType, NameFlag, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

WATCHER = "org.kde.StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DRIVER = "org.freedesktop.DBus"

_TYPES = {
    "Category": "s",
    "Id": "s",
    "Title": "s",
    "Status": "s",
    "IconName": "s",
    "IconPixmap": "a(iiay)",
    "OverlayIconName": "s",
    "OverlayIconPixmap": "a(iiay)",
    "AttentionIconName": "s",
    "AttentionIconPixmap": "a(iiay)",
    "AttentionMovieName": "s",
    "ToolTip": "(sa(iiay)ss)",
    "ItemIsMenu": "b",
    "Menu": "o",
}
_REFRESHED_BY = {
    "NewIcon": ("IconName", "IconPixmap"),
    "NewAttentionIcon": ("AttentionIconName", "AttentionIconPixmap"),
    "NewToolTip": ("ToolTip",),
    "NewTitle": ("Title",),
}

_GONE = tuple(f"org.freedesktop.DBus.Error.{name}" for name in ("NoReply", "ServiceUnknown", "NameHasNoOwner"))

DBusNothing = Annotated[None, DBusSignature("")]
DBusNames = Annotated[list[str], DBusSignature("as")]


class _Watcher(ServiceInterface):
    def __init__(self, register: Callable[[str], None]) -> None:
        super().__init__(WATCHER)
        self._register = register
        self.has_host = True

    @dbus_method()
    def RegisterStatusNotifierItem(self, service: DBusStr) -> DBusNothing:  # noqa: N802
        self._register(service)

    @dbus_property(access=PropertyAccess.READ)
    def IsStatusNotifierHostRegistered(self) -> DBusBool:  # noqa: N802
        return self.has_host

    @dbus_property(access=PropertyAccess.READ)
    def RegisteredStatusNotifierItems(self) -> DBusNames:  # noqa: N802
        return []

    @dbus_property(access=PropertyAccess.READ)
    def ProtocolVersion(self) -> DBusInt32:  # noqa: N802
        return 0


class FakeTray:
    """The tray, from `start` to `stop`. It shows one item, the last that was registered."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._bus: MessageBus | None = None
        self._watcher = _Watcher(self._register)
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_slow = False
        """As GNOME's extension on a busy machine: what an item signals while it is looked at is lost."""
        self.refusals = 0
        """So many items are refused before one is taken."""
        self.registered: list[str] = []
        """Each bus name that was registered, also those that were refused."""
        self.faults: list[str] = []
        """Why a real tray would not show the item, or show it wrongly."""
        self.signals: list[str] = []
        """Of the item and its menu."""
        self.service = ""
        """The bus name of the item that is shown; "": there is none."""
        self.properties: dict[str, Any] = {}
        """As the tray knows them: of a hidden item it learns the status only."""
        self._entries: dict[int, dict[str, Any]] = {}
        self._order: list[int] = []
        self._missed: set[str] = set()
        self._is_met = False
        self._early: list[Message] = []
        """Signals of an item that is being looked at for the first time."""

    # What is on the screen

    @property
    def is_visible(self) -> bool:
        return bool(self.service) and self.properties.get("Status") in ("Active", "NeedsAttention")

    @property
    def icon(self) -> bytes:
        """The pixels of the largest icon that is shown now."""
        urgent = self.properties["Status"] == "NeedsAttention" and self.properties["AttentionIconPixmap"]
        pixmaps = urgent or self.properties["IconPixmap"]
        return bytes(max(pixmaps, key=lambda pixmap: pixmap[0])[2])

    @property
    def tooltip(self) -> str:
        return str(self.properties["ToolTip"][3])

    @property
    def lines(self) -> list[str]:
        """The visible lines of the menu as the user reads them; "-" is a separator, and what cannot be clicked is in
        brackets."""
        shown = [self._entries[each] for each in self._order if self._entries[each].get("visible", True)]
        return [_line(entry) for entry in shown]

    def id_of(self, line: str) -> int:
        return next(each for each in self._order if _line(self._entries[each]) == line)

    # What the user does

    async def open_menu(self) -> None:
        """As the pointer does: asks for what is newest first, in both ways that real trays have."""
        await self.call_menu("AboutToShowGroup", "ai", [0])
        if (await self.call_menu("AboutToShow", "i", 0))[0]:
            await self._read_layout()
        await self.call_menu("EventGroup", "a(isvu)", [[0, "opened", Variant("s", ""), 0]])

    async def choose(self, line: str, *, in_group: bool = False) -> None:
        """Clicks on a line of the menu."""
        await self.choose_id(self.id_of(line), in_group=in_group)

    async def choose_id(self, entry_id: int, *, in_group: bool = False) -> None:
        event = [entry_id, "clicked", Variant("i", 0), 4711]
        if in_group:
            await self.call_menu("EventGroup", "a(isvu)", [event])
        else:
            await self.call_menu("Event", "isvu", *event)

    async def click(self, member: str = "Activate", token: str = "") -> None:
        """Clicks on the icon, and gives an activation token before, if there is one."""
        if token:
            await self.call("/StatusNotifierItem", ITEM, "ProvideXdgActivationToken", "s", token)
        await self.call("/StatusNotifierItem", ITEM, member, "ii", 10, 20)

    async def call_menu(self, member: str, signature: str, *body: Any) -> list[Any]:
        return await self.call(self.properties["Menu"], MENU, member, signature, *body)

    async def send(self, message: Message) -> Message:
        """Makes any call, and returns the answer or the error."""
        assert self._bus is not None
        reply = await self._bus.call(message)
        assert reply is not None
        return reply

    async def call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> list[Any]:
        """Raises DBusError."""
        message = Message(
            destination=self.service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        async with asyncio.timeout(10):
            reply = await self.send(message)
        if reply.message_type is MessageType.ERROR:
            raise DBusError(str(reply.error_name), str(reply.body[0] if reply.body else ""))
        return list(reply.body)

    # Its life

    async def start(self) -> None:
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._hear)
        self._bus.export("/StatusNotifierWatcher", self._watcher)
        for rule in (f"type='signal',interface='{ITEM}'", f"type='signal',interface='{MENU}'"):
            await self._call_driver("AddMatch", rule)
        await self._call_driver("AddMatch", f"type='signal',sender='{_DRIVER}',member='NameOwnerChanged'")
        await self._bus.request_name(WATCHER, NameFlag.DO_NOT_QUEUE)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(EOFError, OSError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._watcher = _Watcher(self._register)
        self._forget()

    def lose_host(self) -> None:
        """The panel ends, and who watches for items does not."""
        self._watcher.has_host = False

    async def _call_driver(self, member: str, text: str) -> Any:
        assert self._bus is not None
        message = Message(
            destination=_DRIVER,
            path="/org/freedesktop/DBus",
            interface=_DRIVER,
            member=member,
            signature="s",
            body=[text],
        )
        reply = await self._bus.call(message)
        assert reply is not None
        return reply.body[0] if reply.body else None

    # What it learns

    def _register(self, service: str) -> None:
        self.registered.append(service)
        if self.refusals:
            self.refusals -= 1
            raise DBusError("org.freedesktop.DBus.Error.AccessDenied", "The tray is \u202efull\n")
        if not service.startswith(":"):
            raise DBusError("org.freedesktop.DBus.Error.InvalidArgs", "This is no bus name")
        self.service = service
        self._start(self._meet())

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(self._note_fault(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_fault(self, work: Any) -> None:
        try:
            await work
        except DBusError as error:
            # The item may leave while it is asked.
            if error.type not in _GONE:
                self.faults.append(f"{error.type}: {error}")

    def _forget(self) -> None:
        self.service = ""
        self.properties, self._entries, self._order = {}, {}, []
        self._is_met = False
        self._missed.clear()
        self._early.clear()

    async def _meet(self) -> None:
        (found,) = await self.call("/StatusNotifierItem", _PROPERTIES, "GetAll", "s", ITEM)
        self._check(found)
        properties = {name: value.value for name, value in found.items()}
        # libdbusmenu asks the menu for its version before anything else, and gives it up without one.
        (version,) = await self.call(properties["Menu"], _PROPERTIES, "Get", "ss", MENU, "Version")
        if version.signature != "u" or version.value < 3:
            self.faults.append("the menu has no version")
        self.properties = properties
        await self._read_layout()
        if self.is_slow:
            await asyncio.sleep(0.2)
            self._early.clear()
        self._is_met = True
        while self._early:
            self._take(self._early.pop(0))

    def _check(self, found: dict[str, Variant]) -> None:
        for name, signature in _TYPES.items():
            if name not in found:
                self.faults.append(f"there is no property {name}")
            elif found[name].signature != signature:
                self.faults.append(f"the property {name} is no {signature}")
        if found["Menu"].value in ("/", "/NO_DBUSMENU") or not found["Id"].value:
            self.faults.append("GNOME's extension shows no item without id and menu")
        if found["ItemIsMenu"].value:
            self.faults.append("a click on the icon opens the menu instead")
        for name in ("IconName", "OverlayIconName", "AttentionIconName"):
            if found[name].value:
                self.faults.append(f"{name} is taken instead of the pixels")
        if set(found["ToolTip"].value[3]) & set("<>&"):
            self.faults.append("some read the tooltip as markup, and others as text")
        for name in ("IconPixmap", "AttentionIconPixmap"):
            pixmaps = found[name].value
            if not pixmaps or any(width < 1 or len(data) != width * height * 4 for width, height, data in pixmaps):
                self.faults.append(f"{name} has a wrong size")

    async def _refresh(self, names: tuple[str, ...]) -> None:
        for name in names:
            (value,) = await self.call("/StatusNotifierItem", _PROPERTIES, "Get", "ss", ITEM, name)
            self.properties[name] = value.value

    async def _read_layout(self) -> None:
        """As GNOME and libdbusmenu do: the layout with the types only, and the other properties of new entries."""
        _, (root, properties, children) = await self.call_menu("GetLayout", "iias", 0, -1, ["type", "children-display"])
        if root != 0 or properties["children-display"].value != "submenu":
            self.faults.append("the root of the menu is none")
        order = [child.value[0] for child in children]
        new = [each for each in order if each not in self._entries]
        (found,) = await self.call_menu("GetGroupProperties", "aias", new, []) if new else ([],)
        known = {entry_id: _plain(properties) for entry_id, properties in found}
        self._order, self._entries = order, {each: known.get(each) or self._entries[each] for each in order}

    def _hear(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.body[0] == self.service and not message.body[2]:
            self._forget()
        elif message.sender == self.service and message.interface in (ITEM, MENU):
            self.signals.append(str(message.member))
            if self._is_met:
                self._take(message)
            else:
                self._early.append(message)

    def _take(self, message: Message) -> None:
        member = str(message.member)
        if member == "NewStatus":
            self.properties["Status"] = message.body[0]
            for each in self._missed if self.is_visible else ():
                self._start(self._refresh(_REFRESHED_BY[each]))
        elif member in _REFRESHED_BY and not self.is_visible:
            self._missed.add(member)
        elif member in _REFRESHED_BY:
            self._start(self._refresh(_REFRESHED_BY[member]))
        elif member == "LayoutUpdated":
            self._start(self._read_layout())
        elif member == "ItemsPropertiesUpdated":
            for entry_id, properties in message.body[0]:
                if entry_id in self._entries:
                    self._entries[entry_id] |= _plain(properties)


def _plain(properties: dict[str, Variant]) -> dict[str, Any]:
    return {name: value.value for name, value in properties.items()}


def _line(entry: dict[str, Any]) -> str:
    if entry.get("type") == "separator":
        return "-"
    # One underscore marks the next letter, two are one.
    label = str(entry.get("label", "")).replace("__", "\0").replace("_", "").replace("\0", "_")
    return label if entry.get("enabled", True) else f"[{label}]"
