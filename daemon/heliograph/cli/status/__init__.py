"""`heliograph status`."""

from __future__ import annotations

import asyncio
import json
import sys

import click

from heliograph.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, UserError

_DEFAULT_TEMPLATE = "{unread} unread, {highlights} highlights, {state}"


@click.command("status", short_help="Tell whether it runs, and how every account fares.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    help="One line for a status bar: waybar, polybar, i3blocks, i3status-rs, eww, json, or a template like "
    "'{unread} unread, {state}'.",
)
@click.option("--follow", is_flag=True, help="A line now and whenever it changes, until nobody reads any more.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, format_: str | None, follow: bool) -> None:
    """Tell since when every account is connected, what waits, what the server supports, which mode is used and why.

    With --format or --follow: one line on what is unread, for a status bar. Templates know {text}, {unread},
    {highlights}, {rooms}, {state}, {class}, {quiet} and {tooltip}; {tooltip:pango} and {tooltip:json} are escaped.

    Exit code 0 if Heliograph runs, 1 if it does not.

    \b
    Examples:
      heliograph status --json
      heliograph status --follow --format waybar
      heliograph status --format '{unread} unread'
    """
    if format_ is not None or follow:
        if as_json:
            raise click.UsageError("--json is for the whole status: use --format json")
        _show_line(format_ or _DEFAULT_TEMPLATE, follow=follow)
    else:
        ctx.exit(EXIT_OK if _show_all(as_json=as_json) else EXIT_FAILED)


def _show_all(*, as_json: bool) -> bool:
    """Returns True if Heliograph runs."""
    from heliograph.accounts import list_accounts
    from heliograph.control.client import ask_status

    accounts = list_accounts()
    status = asyncio.run(ask_status())
    if status is None and not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    mistake = _look_for_mistake()
    told = None if mistake is None else f"{mistake.title} {mistake.hint}"
    if status is not None:
        if as_json:
            click.echo(json.dumps({"running": True, "next_start_fails": told, **status}, indent=2))
        else:
            from heliograph.cli.status.report import report_mistake, report_running

            click.echo("\n".join(report_running(status, [account.user_id for account in accounts])))
            click.echo("".join(f"{line}\n" for line in report_mistake(mistake, "The next start will fail")), nl=False)
        return True
    # Loaded here: the store takes longer to load than a running daemon takes to answer.
    from heliograph.cli.status.report import report_stopped
    from heliograph.cli.status.stopped import look_into_ledgers

    ledgers = asyncio.run(look_into_ledgers(accounts))
    if as_json:
        known = [ledger.as_json() for ledger in ledgers]
        click.echo(json.dumps({"running": False, "next_start_fails": told, "accounts": known}, indent=2))
    else:
        click.echo("\n".join(report_stopped(ledgers, mistake)))
    return False


def _look_for_mistake() -> UserError | None:
    """The mistake in the configuration at which the next start would fail; None: there is none."""
    from heliograph.accounts import config_file

    if not config_file().exists():
        # Then the settings, which take long to load, all have their defaults.
        return None
    from heliograph.config.reading import load_config

    try:
        config = load_config()
        # Parsed only where they are used, by the daemon at its start.
        _ = config.quiet.parsed_hours, config.fallback.fallback
    except UserError as mistake:
        return mistake
    return None


def _show_line(template: str, *, follow: bool) -> None:
    from heliograph.cli.status import line
    from heliograph.core.summary.bar import FORMATS, TemplateError, read_format

    try:
        # Read before anything is asked: a bar shows a mistake in its configuration at once.
        render = read_format(template)
    except TemplateError as error:
        raise click.UsageError(f"--format: {error}. Formats are {', '.join(FORMATS)}.") from None
    if follow:
        asyncio.run(line.follow(render, sys.stdout))
    else:
        click.echo(asyncio.run(line.show_once(render)))
