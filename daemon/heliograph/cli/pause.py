"""`heliograph pause`."""

from __future__ import annotations

import asyncio

import click

from heliograph.errors import EXIT_USAGE, UserError


@click.command("pause", short_help="Have nothing pop up for a while.")
@click.argument("until", nargs=-1, metavar="[1h | until 08:00]")
@click.option("--toggle", is_flag=True, help="End the pause if there is one. For a click or a key.")
def command(until: tuple[str, ...], toggle: bool) -> None:
    """Have nothing pop up until then, or until `heliograph resume`.

    What rings meanwhile is shown afterwards, unless it was read elsewhere. Highlights and what [quiet] in the
    configuration lets through pop up all the same. A pause outlives a restart.

    \b
    Examples:
      heliograph pause 1h
      heliograph pause 1h 30m
      heliograph pause until 08:00
      heliograph pause --toggle
    """
    asyncio.run(_pause(" ".join(until), toggle=toggle))


async def _pause(words: str, *, toggle: bool) -> None:
    from heliograph.cli.status.line import word_until
    from heliograph.control.client import OWN_TIMEOUT_S, ask, ask_property
    from heliograph.core.popups.quiet import parse_pause
    from heliograph.system.clock import now_ms
    from heliograph.system.time_zone import LocalZone

    try:
        # The daemon reads the words as well. Read here first, a mistake in them is told even if no daemon answers.
        parse_pause(words, now_ms(), LocalZone())
    except ValueError as error:
        hint = "heliograph pause 1h, or heliograph pause until 08:00"
        raise UserError(f"{str(error)[:300]}.", hint, exit_code=EXIT_USAGE) from None
    if toggle and await ask_property("PausedUntil"):
        await ask("Resume", timeout_s=OWN_TIMEOUT_S)
        click.echo("Notifications pop up again.")
        return
    until_ms = await ask("Pause", "s", words, timeout_s=OWN_TIMEOUT_S)
    click.echo(f"Nothing pops up {word_until(until_ms, now_ms())}. To end it: heliograph resume")
