"""`heliograph pause`."""

from __future__ import annotations

import asyncio

import click

from heliograph.core.text.clean import clean_line
from heliograph.errors import EXIT_USAGE, UserError


@click.command("pause", short_help="Have nothing pop up for a while.")
@click.argument("until", nargs=-1, metavar="[1h | until 08:00]")
@click.option("--everywhere", is_flag=True, help="Have your other devices not ring instead, either.")
@click.option("--toggle", is_flag=True, help="End the pause if there is one. For a click or a key.")
def command(until: tuple[str, ...], everywhere: bool, toggle: bool) -> None:
    """Have nothing pop up until then, or until `heliograph resume`.

    Your other devices ring meanwhile, as when you are away, unless you say --everywhere. What rings meanwhile is shown
    here afterwards, unless it was read elsewhere. Highlights and what [quiet] in the configuration lets through pop up
    all the same. A pause outlives a restart.

    \b
    Examples:
      heliograph pause 1h
      heliograph pause 1h 30m
      heliograph pause until 08:00
      heliograph pause 2h --everywhere
      heliograph pause --toggle
    """
    asyncio.run(_pause(" ".join(until), is_everywhere=everywhere, toggle=toggle))


async def _pause(words: str, *, is_everywhere: bool, toggle: bool) -> None:
    from heliograph.control.client import OWN_TIMEOUT_S, ask, ask_property
    from heliograph.core.popups.quiet import parse_pause, word_until
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
    method = "PauseEverywhere" if is_everywhere else "Pause"
    until = word_until(await ask(method, "s", words, timeout_s=OWN_TIMEOUT_S), now_ms(), LocalZone())
    where = "" if is_everywhere else ", and your other devices ring instead"
    click.echo(f"Nothing pops up {until}{where}. To end it: heliograph resume")
    if is_everywhere:
        await _name_those_that_ring()


async def _name_those_that_ring() -> None:
    """Says for which accounts this desktop has no power over other devices."""
    from heliograph.cli.status.report import has_power_over_others
    from heliograph.control.client import ask_status

    status = await ask_status()
    accounts = (status or {}).get("accounts")
    for account in accounts if isinstance(accounts, list) else ():
        if isinstance(account, dict) and not has_power_over_others(account):
            click.echo(
                f"Other devices of {clean_line(str(account.get('user_id')), 255)} ring all the same: it takes a relay "
                'beside the homeserver, or [handoff] with mode = "switch", to keep them silent. See: heliograph handoff'
            )
