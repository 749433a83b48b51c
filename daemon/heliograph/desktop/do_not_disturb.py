"""The desktop's own "do not disturb", where its notification server tells: Plasma, and dunst while it is paused.

While it is on, the server holds back what it is given, and keeps a list of it. We only tell the user so, and play no
sound of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbus_fast import Variant

from heliograph.core.popups.profile import Told
from heliograph.desktop.server import INTERFACE, NAME, PATH, Traits
from heliograph.system.dbus import Bus, CallFailed

PROPERTIES = "org.freedesktop.DBus.Properties"
MATCH = f"type='signal',sender='{NAME}',interface='{PROPERTIES}',path='{PATH}',member='PropertiesChanged'"

_PROPERTIES = {Told.INHIBITED: (INTERFACE, "Inhibited"), Told.DUNST: ("org.dunstproject.cmd0", "paused")}


async def ask_inhibited(bus: Bus, owner: str, traits: Traits) -> bool:
    """Whether "do not disturb" is on at the server of this unique name. Raises BusGone; the caller sets a time-out."""
    if traits.profile.told not in _PROPERTIES:
        return False
    try:
        reply = await bus.call(owner, PATH, PROPERTIES, "Get", "ss", [*_PROPERTIES[traits.profile.told]])
    except CallFailed:
        return False
    return reply.signature == "v" and reply.body[0].value is True


def read_inhibited(signature: str, body: list[Any]) -> bool | None:
    """Whether this PropertiesChanged says that "do not disturb" is on; None: it says nothing about that."""
    if signature != "sa{sv}as":
        return None
    interface, changed = body[0], body[1]
    for known, name in _PROPERTIES.values():
        if interface == known and (value := _boolean(changed, name)) is not None:
            return value
    return None


def _boolean(properties: Mapping[str, Variant], name: str) -> bool | None:
    value = properties[name].value if name in properties else None
    return value if isinstance(value, bool) else None
