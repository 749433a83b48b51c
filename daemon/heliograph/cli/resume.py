"""`heliograph resume`."""

from __future__ import annotations

import asyncio

import click


@click.command("resume", short_help="End a pause.")
def command() -> None:
    """End a pause. What rang meanwhile is shown now, unless it was read elsewhere. Quiet hours go on.

    \b
    Example:
      heliograph resume
    """
    asyncio.run(_resume())


async def _resume() -> None:
    from heliograph.control.client import OWN_TIMEOUT_S, ask, ask_property

    was_paused = bool(await ask_property("PausedUntil"))
    await ask("Resume", timeout_s=OWN_TIMEOUT_S)
    what = "The pause has ended" if was_paused else "There was no pause"
    why = await ask_property("QuietReason")
    click.echo(f"{what}, and it is quiet still: {why}." if why else f"{what}.")
