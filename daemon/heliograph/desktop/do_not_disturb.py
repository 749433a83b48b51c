"""Whether the desktop holds popups back: its "do not disturb", or notifications of ours switched off in its settings.

Notification servers and desktops tell of that in many places. Whatever they signal there only has us ask again, so
nobody can make us believe anything by a signal.
"""

from __future__ import annotations

import asyncio

from dbus_fast import Message

from heliograph.core.popups.profile import Told
from heliograph.core.popups.quiet import DO_NOT_DISTURB, SWITCHED_OFF
from heliograph.desktop import switches
from heliograph.desktop.identity import APP_NAME
from heliograph.desktop.server import INTERFACE, NAME, PATH
from heliograph.system.dbus import Bus, CallFailed

_PROPERTIES_INTERFACE = "org.freedesktop.DBus.Properties"
_PROPERTIES = {Told.INHIBITED: (INTERFACE, "Inhibited"), Told.DUNST: ("org.dunstproject.cmd0", "paused")}
_SWAYNC = ("/org/erikreider/swaync/cc", "org.erikreider.swaync.cc")
_MAKO = ("/fr/emersion/Mako", "fr.emersion.Mako")
_MAKO_MODES = frozenset({"do-not-disturb", "dnd"})
_BUDGIE = (
    "org.budgie_desktop.Notifications",
    "/org/budgie_desktop/Notifications",
    "org.buddiesofbudgie.budgie.Dispatcher",
)
_XFCONF = ("org.xfce.Xfconf", "/org/xfce/Xfconf", "org.xfce.Xfconf")
_XFCONF_CHANNEL = "xfce4-notifyd"

MATCHES = (
    f"type='signal',sender='{NAME}',interface='{_PROPERTIES_INTERFACE}',path='{PATH}',member='PropertiesChanged'",
    f"type='signal',sender='{NAME}',interface='{_SWAYNC[1]}'",
    f"type='signal',sender='{NAME}',interface='{_PROPERTIES_INTERFACE}',path='{_MAKO[0]}',member='PropertiesChanged'",
    f"type='signal',interface='{_XFCONF[2]}',member='PropertyChanged',arg0='{_XFCONF_CHANNEL}'",
    f"type='signal',interface='{_BUDGIE[2]}',member='DoNotDisturbChanged'",
    *switches.MATCHES,
)
_INTERFACES = frozenset({_PROPERTIES_INTERFACE, _SWAYNC[1], _BUDGIE[2], _XFCONF[2], switches.INTERFACE})

UNTOLD = frozenset({Told.MAKO, Told.LXQT})
"""Those that do not signal a change in every version: they are asked before anything is shown that is new."""


def may_have_changed(signal: Message) -> bool:
    """Whether the answer of `ask_why_held` may be another one after this signal."""
    return signal.interface in _INTERFACES


async def ask_why_held(bus: Bus, owner: str, told: Told) -> str:
    """Why popups are held back, "" if they are not, or where that is not told. `owner` is the server's unique name.
    Raises BusGone; the caller sets a time-out."""
    try:
        match told:
            case Told.INHIBITED | Told.DUNST:
                is_held = await _has_property(bus, owner, *_PROPERTIES[told])
            case Told.SWAYNC:
                is_held = await _is_swaync_held(bus, owner)
            case Told.MAKO:
                reply = await bus.call(owner, _MAKO[0], _MAKO[1], "ListModes")
                is_held = reply.signature == "as" and not _MAKO_MODES.isdisjoint(reply.body[0])
            case Told.BUDGIE:
                reply = await bus.call(*_BUDGIE, "GetDoNotDisturb")
                is_held = reply.signature == "b" and reply.body[0] is True
            case Told.LXQT:
                from heliograph.desktop import lxqt_config

                is_held = await asyncio.to_thread(lxqt_config.is_do_not_disturb)
            case Told.XFCE:
                return await _ask_xfce(bus)
            case _:
                return await switches.ask_why_held(told)
    except CallFailed:
        return ""
    return DO_NOT_DISTURB if is_held else ""


async def _has_property(bus: Bus, owner: str, interface: str, name: str) -> bool:
    reply = await bus.call(owner, PATH, _PROPERTIES_INTERFACE, "Get", "ss", [interface, name])
    return reply.signature == "v" and reply.body[0].value is True


async def _is_swaync_held(bus: Bus, owner: str) -> bool:
    """Also while another program inhibits it, as in a presentation."""
    reply = await bus.call(owner, *_SWAYNC, "GetSubscribeData")
    # Do not disturb, whether its list is open, how much is in that, and, in newer ones, whether it is inhibited.
    if reply.signature not in ("(bbu)", "(bbub)"):
        return False
    is_on, _, _, *inhibited = reply.body[0]
    return bool(is_on or any(inhibited))


async def _ask_xfce(bus: Bus) -> str:
    if await _xfconf(bus, "/do-not-disturb") is True:
        return DO_NOT_DISTURB
    muted = await _xfconf(bus, "/applications/muted_applications")
    return SWITCHED_OFF if isinstance(muted, list) and APP_NAME in (str(_plain(each)) for each in muted) else ""


async def _xfconf(bus: Bus, name: str) -> object:
    """The property of xfce4-notifyd; None: it was never set."""
    try:
        reply = await bus.call(*_XFCONF, "GetProperty", "ss", [_XFCONF_CHANNEL, name])
    except CallFailed:
        return None
    return _plain(reply.body[0]) if reply.signature == "v" else None


def _plain(value: object) -> object:
    return getattr(value, "value", value)
