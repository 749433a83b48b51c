"""Looks for the tray on the session bus, and asks the running daemon for its item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from dbus_fast import Variant

from heliograph.config.reading import load_config
from heliograph.control.client import ask_status
from heliograph.control.tray import WATCHER_NAME, WATCHER_PATH
from heliograph.core.finding import Finding, bad, good
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.system.dbus import Bus, BusGone, CallFailed
from heliograph.system.service_manager import to_reload, to_start
from heliograph.system.session_bus import session_bus_address

_PROPERTIES = "org.freedesktop.DBus.Properties"
_PATIENCE_S = 5.0
_NAME_LIMIT = 60


@value_type
class FoundTray:
    """A watcher on the session bus."""

    program: str
    """The name of the process that watches for items; "": unknown."""
    has_host: bool
    """Something draws the items."""


async def look() -> Sequence[Finding]:
    """Whether an item is wanted, whether there is a tray, and whether the item is in it."""
    config = await asyncio.to_thread(load_config)
    findings = [_word_setting(is_on=config.desktop.tray), _word_tray(await find_tray())]
    if config.desktop.tray:
        findings.append(_word_item(await ask_status()))
    return findings


async def find_tray() -> FoundTray | None:
    """The tray of this session; None: there is none, or no session bus."""
    address = session_bus_address()
    if address is None:
        return None
    bus = Bus(address, matches=(), on_message=lambda _: None)
    try:
        if not await bus.start():
            return None
        async with asyncio.timeout(_PATIENCE_S):
            owner = str(await bus.call_driver("GetNameOwner", "s", [WATCHER_NAME]))
            return FoundTray(await _program(bus, owner), await _has_host(bus, owner))
    except (BusGone, CallFailed, TimeoutError):
        return None
    finally:
        await bus.stop()


async def _program(bus: Bus, owner: str) -> str:
    pid = await bus.call_driver("GetConnectionUnixProcessID", "s", [owner])
    try:
        name = await asyncio.to_thread(Path(f"/proc/{int(pid)}/comm").read_text, errors="replace")
    except OSError:
        return ""
    return clean_line(name, _NAME_LIMIT)


async def _has_host(bus: Bus, owner: str) -> bool:
    question = [WATCHER_NAME, "IsStatusNotifierHostRegistered"]
    reply = await bus.call(owner, WATCHER_PATH, _PROPERTIES, "Get", "ss", question)
    value = reply.body[0] if reply.signature == "v" else None
    return isinstance(value, Variant) and value.value is True


def _word_setting(*, is_on: bool) -> Finding:
    if is_on:
        return good("[desktop] tray is on.")
    return bad("[desktop] tray is off.", f"Write tray = true below [desktop] in the configuration, then: {to_reload()}")


def _word_tray(tray: FoundTray | None) -> Finding:
    if tray is None:
        return bad("There is no tray in this session.", "See below what your desktop needs for one.")
    by = f", by {tray.program}" if tray.program else ""
    if not tray.has_host:
        return bad(f"Something watches for items{by}, and nothing shows them.", "Add the tray to your panel.")
    return good(f"There is a tray{by}.")


def _word_item(status: dict[str, object] | None) -> Finding:
    if status is None:
        return bad("Heliograph is not running, and has no item.", f"Start it: {to_start()}")
    desktop = status.get("desktop")
    state = str(desktop.get("tray", "off")) if isinstance(desktop, dict) else "off"
    if state == "in the tray":
        return good("The item is in the tray. It hides while there is nothing to tell.")
    if state == "off":
        return bad("The running Heliograph has not read that yet.", to_reload())
    return bad(f"The item is not there: {clean_line(state, 300)}.", "It appears by itself once there is a tray.")
