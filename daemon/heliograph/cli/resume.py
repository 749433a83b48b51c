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
    from heliograph.control.client import ask, ask_property

    await ask("Resume")
    why = await ask_property("QuietReason")
    click.echo("The pause has ended." if not why else f"The pause has ended, and it is quiet still: {why}.")
