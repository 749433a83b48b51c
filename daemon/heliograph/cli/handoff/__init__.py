"""`heliograph handoff`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.errors import EXIT_FAILED, EXIT_OK


@click.command("handoff", short_help="Tell who rings, or have the others ring.")
@click.option(
    "--leave",
    is_flag=True,
    help="Switch on again what Heliograph had switched off. The service runs this when it ends.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_context
def command(ctx: click.Context, leave: bool, as_json: bool) -> None:
    """Tell whether you count as present, and who rings.

    With --leave, give other devices back the voice that a Heliograph that ended without a word had taken from them.
    While Heliograph runs, it does that itself whenever you leave.

    \b
    Examples:
      heliograph handoff
      heliograph handoff --leave
    """
    if leave and as_json:
        raise click.UsageError("--leave and --json exclude one another.")
    if leave:
        ctx.exit(EXIT_OK if _leave() else EXIT_FAILED)
    from heliograph.cli.status.report import report_handoff
    from heliograph.control.client import ask_status

    status = asyncio.run(ask_status())
    accounts = [each for each in (status or {}).get("accounts") or () if isinstance(each, dict)]
    if as_json:
        told = {str(each.get("user_id")): each.get("handoff") for each in accounts}
        click.echo(json.dumps({"running": status is not None, "accounts": told}, indent=2))
    elif status is None:
        _tell_without_daemon()
    else:
        for account in accounts:
            click.echo("\n".join(report_handoff(account)))
    ctx.exit(EXIT_FAILED if status is None else EXIT_OK)


def _leave() -> bool:
    """Returns True if everything that was switched off is on again."""
    from heliograph.cli.handoff.give_back import leave_all

    findings = asyncio.run(leave_all())
    for finding in findings:
        click.echo(finding.text, err=not finding.is_good)
    return all(finding.is_good for finding in findings)


def _tell_without_daemon() -> None:
    from heliograph.accounts import list_accounts
    from heliograph.cli.status.stopped import look_into_ledgers

    stopped = asyncio.run(look_into_ledgers(list_accounts()))
    silent = sum(each.silent for each in stopped)
    if any(each.pid is not None for each in stopped):
        click.echo("Heliograph runs, but does not answer over D-Bus (is there a session bus?).")
    elif silent:
        click.echo(f"Heliograph is not running, and pushers that it had switched off are still silent: {silent}.")
        click.echo("To switch them on: heliograph handoff --leave")
    else:
        click.echo("Heliograph is not running: other devices ring. See: heliograph status")
