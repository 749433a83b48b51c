"""`heliograph relay leave`: has the relay leave, and says what is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from heliograph.errors import EXIT_FAILED, EXIT_OK, UserError
from heliograph.relay.departure import set_leaving
from heliograph.relay.leaving import describe_rest
from heliograph.relay.store.sqlite.overview import Overview, read_overview
from heliograph.relay.store.sqlite.store import DATABASE_NAME

PAUSE_S = 2.0
_NEXT = (
    "Lead clients past it in the reverse proxy, then stop it:\n"
    "    systemctl disable --now heliograph-relay.socket heliograph-relay.service"
)


async def follow_leaving(folder: Path, *, once: bool, cancel: bool) -> int:
    """Has the relay of this folder leave (`cancel`: stay), prints what is left whenever that changes, and returns the
    exit code. Raises UserError."""
    if not await asyncio.to_thread((folder / DATABASE_NAME).exists):
        raise UserError(f"There is no {DATABASE_NAME} in {folder}.", "Say where it is, maybe as root: --state DIR")
    try:
        await asyncio.to_thread(set_leaving, folder, is_leaving=not cancel)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}", "Call this as root, or as the relay's user."
        ) from error
    if cancel:
        click.echo("The relay stays. Desktops that come back are direct again.")
        return EXIT_OK
    click.echo("The relay leaves. Let it run: the requests that pass put their users' pushers back.")
    return await _follow(folder, once=once)


async def _follow(folder: Path, *, once: bool) -> int:
    before: Overview | None = None
    while True:
        rest = await read_overview(folder)
        if rest != before:
            for line in describe_rest(rest):
                click.echo(line)
        if rest.is_empty:
            click.echo(_NEXT)
            return EXIT_OK
        if once:
            return EXIT_FAILED
        before = rest
        await asyncio.sleep(PAUSE_S)
