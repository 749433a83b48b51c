"""`heliograph doctor`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from heliograph.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from heliograph.core.finding import Finding

_COLOURS = {"ok": "green", "hmm": "yellow", "bad": "red"}
_TEXT = 400


@click.command("doctor", short_help="Look for what is wrong, and say what would cure it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Look at everything that notifications need: the configuration, the session bus, the notification server, the
    service, and for each account secret, homeserver, device, pusher, clock and ledger.

    Each line is a verdict (ok, hmm or bad), and what is not ok comes with a cure. Changes nothing. Exit code 1 if
    something is bad.

    \b
    Example:
      heliograph doctor
    """
    findings = asyncio.run(_look())
    is_bad = any(finding.grade.value == "bad" for finding in findings)
    if as_json:
        click.echo(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _say(finding)
        click.echo("Something is wrong: see what is bad above." if is_bad else "All is well.")
    ctx.exit(EXIT_FAILED if is_bad else EXIT_OK)


def _say(finding: Finding) -> None:
    from heliograph.core.text.clean import clean_line
    from heliograph.system.logs import scrub

    grade = finding.grade.value
    mark = click.style(f"{grade:3}", fg=_COLOURS[grade])
    click.echo(f"{mark}  {clean_line(finding.subject, _TEXT)}: {scrub(clean_line(finding.text, _TEXT))}")
    if finding.cure:
        click.echo(f"       {clean_line(finding.cure, _TEXT)}")


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "subject": finding.subject,
        "verdict": finding.grade.value,
        "text": finding.text,
        "cure": finding.cure,
    }


async def _look() -> list[Finding]:
    from heliograph.accounts import list_accounts
    from heliograph.cli.doctor import machine
    from heliograph.cli.doctor.account import check_account
    from heliograph.cli.doctor.notifications import check_notifications
    from heliograph.cli.doctor.running import check_daemon
    from heliograph.config.reading import load_config
    from heliograph.config.settings import Config
    from heliograph.control.client import ask_status
    from heliograph.core.finding import bad, good
    from heliograph.errors import UserError

    findings: list[Finding] = []
    # With the defaults, the checks go on after a configuration that cannot be read: it may not be all that is wrong.
    config = Config()
    try:
        config = load_config()
        # Parsed where they are used only: read here, so that a mistake in them is found before a start fails at it.
        _ = config.quiet.parsed_hours, config.fallback.fallback
        findings.append(good("can be read", subject="configuration"))
    except UserError as error:
        findings.append(bad(error.title, error.hint, subject="configuration"))
    findings += [await machine.check_bus(), await check_notifications(config.desktop.backend)]
    findings.append(await asyncio.to_thread(machine.check_desktop_entry))
    if config.desktop.tray:
        findings.append(await machine.check_tray())
    if config.hooks.on_notification:
        findings.append(await asyncio.to_thread(machine.check_hook, config.hooks.on_notification))
    try:
        accounts = await asyncio.to_thread(list_accounts)
    except UserError as error:
        findings.append(bad(error.title, error.hint, subject="accounts"))
        return findings
    status = await ask_status()
    findings.append(await asyncio.to_thread(machine.check_unit, is_running=status is not None))
    findings.append(await asyncio.to_thread(machine.check_disk))
    if not accounts:
        findings.append(bad("none has signed in", "heliograph login @you:example.org", subject="accounts"))
        return findings
    findings += check_daemon(status, accounts)
    # Side by side, since each may wait for its homeserver as long as its time-out allows.
    for about_one in await asyncio.gather(*map(check_account, accounts)):
        findings += about_one
    return findings
