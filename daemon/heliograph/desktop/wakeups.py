"""Tells when it is worth trying again at once, since the network came up or the machine woke from sleep, and when the
time zone was changed.

All come as signals of the system bus; services that do not run send none. They are hints: whoever gets one must also
get on without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum

from dbus_fast import Message, Variant

from heliograph.system.dbus import Bus

log = logging.getLogger(__name__)

_LOGIND = "org.freedesktop.login1.Manager"
_NETWORK_MANAGER = "org.freedesktop.NetworkManager"
_NETWORKD = "org.freedesktop.network1.Manager"
_TIMEDATE = "org.freedesktop.timedate1"
_PROPERTIES = "org.freedesktop.DBus.Properties"

_MATCHES = (
    f"type='signal',sender='org.freedesktop.login1',interface='{_LOGIND}',member='PrepareForSleep'",
    f"type='signal',sender='{_NETWORK_MANAGER}',interface='{_NETWORK_MANAGER}',member='StateChanged'",
    f"type='signal',sender='org.freedesktop.network1',interface='{_PROPERTIES}',member='PropertiesChanged',"
    f"arg0='{_NETWORKD}'",
    f"type='signal',sender='{_TIMEDATE}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{_TIMEDATE}'",
)

_NM_CONNECTED_SITE = 60
"""NMState of NetworkManager: 50 is local connectivity only, 70 is the Internet."""
_NETWORKD_ONLINE = ("partial", "online")


class Wakeup(StrEnum):
    """What happened to the machine."""

    NETWORK_UP = "network up"
    RESUMED = "resumed"
    TIME_ZONE = "time zone changed"


class Wakeups:
    """A `BusPart` of the system bus: calls `listener` for each of these signals."""

    matches = _MATCHES

    def __init__(self, listener: Callable[[Wakeup], None]) -> None:
        self._listener = listener

    async def meet(self, bus: Bus) -> None:
        """Asks nothing: only changes are of interest."""

    def hear(self, signal: Message) -> None:
        wakeup = _interpret(signal)
        if wakeup is not None:
            log.debug("Woken: %s", wakeup.value)
            self._listener(wakeup)

    def part(self) -> None:
        """Forgets nothing: nothing is remembered."""


def _interpret(signal: Message) -> Wakeup | None:
    match signal.interface, signal.member, signal.signature:
        case (_, "PrepareForSleep", "b") if signal.interface == _LOGIND and not signal.body[0]:
            return Wakeup.RESUMED
        case (_, "StateChanged", "u") if signal.interface == _NETWORK_MANAGER and signal.body[0] >= _NM_CONNECTED_SITE:
            return Wakeup.NETWORK_UP
        case (_, "PropertiesChanged", "sa{sv}as") if signal.interface == _PROPERTIES and signal.body[0] == _NETWORKD:
            state = signal.body[1].get("OnlineState")
            if isinstance(state, Variant) and state.value in _NETWORKD_ONLINE:
                return Wakeup.NETWORK_UP
        case (_, "PropertiesChanged", "sa{sv}as") if signal.interface == _PROPERTIES and signal.body[0] == _TIMEDATE:
            return Wakeup.TIME_ZONE
    return None
