"""Lists, switches and removes the pushers of an account, which are found by names that people use."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from heliograph.accounts import Account
from heliograph.cli.accounts.signed_in import open_session
from heliograph.core.pushers.pusher import Pusher, is_called
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.errors import EXIT_USAGE, ServerError, UserError
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.devices import ListedDevice, fetch_devices
from heliograph.homeserver.session import Session

_LIMIT = 40


@value_type
class PusherRow:
    """A pusher and its device. The pushkey is left out: whoever knows it may be able to make the device ring."""

    pusher: Pusher
    device: ListedDevice | None
    is_ours: bool

    def as_json(self) -> dict[str, Any]:
        """The row as an object for JSON, for scripts."""
        return {
            "id": self.pusher.short_id,
            "kind": self.pusher.kind,
            "enabled": self.pusher.is_enabled,
            "app": self.pusher.app_display_name,
            "app_id": self.pusher.app_id,
            "device": self.device_name,
            "device_id": self.pusher.device_id,
            "last_seen_ms": self.device.last_seen_ms if self.device is not None else None,
            "ours": self.is_ours,
        }

    @property
    def device_name(self) -> str:
        """The present name of the device, if known; a pusher keeps the name that the device had when it registered."""
        return (self.device.name if self.device is not None else "") or self.pusher.device_display_name


async def fetch_rows(account: Account) -> list[PusherRow]:
    """The account's pushers, in the server's order. Raises ServerError."""
    async with open_session(account) as session:
        return await _fetch_rows(account, session)


async def switch_pusher(account: Account, name: str, *, is_enabled: bool) -> tuple[Pusher, bool]:
    """Switches the pusher of this name. Returns that pusher, and False if it was so already. Raises UserError."""
    async with open_session(account) as session:
        homeserver = HomeserverClient(session)
        pusher = await _find(account, session, name)
        if pusher.is_enabled is is_enabled:
            # Not sent again: the homeserver would forget pushes that wait.
            return pusher, False
        features = await homeserver.features()
        # What offers direct push (MSC3361) keeps the direct pushers itself, and can switch these at any homeserver.
        if not features.has_remote_toggle and not (features.has_direct_push and pusher.kind != "http"):
            raise UserError(
                "This homeserver cannot switch pushers (MSC3881).",
                f"Remove it, and have its app register it again: heliograph pushers remove {pusher.short_id}",
            )
        await homeserver.set_pusher(replace(pusher, is_enabled=is_enabled))
        return pusher, True


async def remove_pusher(account: Account, name: str) -> Pusher:
    """Removes the pusher of this name, and returns it. Raises UserError."""
    async with open_session(account) as session:
        pusher = await _find(account, session, name)
        await HomeserverClient(session).remove_pusher(pusher.app_id, pusher.pushkey)
        return pusher


def show_rows(rows: Sequence[PusherRow]) -> Iterator[str]:
    """The pushers as the lines of a table."""
    if not rows:
        yield "There are no pushers: nothing but open clients rings."
        return
    cells = [("ID", "STATE", "KIND", "APP", "DEVICE", "LAST SEEN"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def describe_pusher(pusher: Pusher) -> str:
    """The pusher in words that fit into a sentence."""
    app, device = _plain(pusher.app_display_name or pusher.app_id), _plain(pusher.device_display_name)
    return device if app and device.startswith(app) else f"{app} on {device or 'a device'}"


async def _fetch_rows(account: Account, session: Session) -> list[PusherRow]:
    pushers = await HomeserverClient(session).pushers()
    try:
        devices = await fetch_devices(session)
    except ServerError:
        # Their names only make the list easier to read.
        devices = {}
    return [
        PusherRow(pusher, devices.get(pusher.device_id or ""), pusher.pushkey == account.pushkey) for pusher in pushers
    ]


async def _find(account: Account, session: Session, name: str) -> Pusher:
    rows = await _fetch_rows(account, session)
    wanted = name.strip().casefold()
    found = [row for row in rows if is_called(row.pusher, name) or row.device_name.strip().casefold() == wanted]
    if len(found) == 1:
        return found[0].pusher
    if not found:
        raise UserError(f"No pusher is called {clean_line(name, 100)!r}.", "heliograph pushers list")
    ids = ", ".join(f"{row.pusher.short_id} ({describe_pusher(row.pusher)})" for row in found[:20])
    raise UserError(
        f"Several pushers are called {clean_line(name, 100)!r}: {ids}.", "Give the id.", exit_code=EXIT_USAGE
    )


def _cells(row: PusherRow) -> tuple[str, ...]:
    seen = row.device.last_seen_ms if row.device is not None else None
    return (
        row.pusher.short_id,
        "on" if row.pusher.is_enabled else "off",
        _plain(row.pusher.kind),
        _plain(row.pusher.app_display_name or row.pusher.app_id),
        f"{_plain(row.device_name) or '-'}{' (this one)' if row.is_ours else ''}",
        _date(seen),
    )


def _date(time_ms: int | None) -> str:
    try:
        moment = datetime.datetime.fromtimestamp((time_ms or 0) / 1000, datetime.UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return "-"
    return moment.strftime("%Y-%m-%d %H:%M") if time_ms else "-"


def _plain(text: str) -> str:
    return clean_line(text, _LIMIT)
