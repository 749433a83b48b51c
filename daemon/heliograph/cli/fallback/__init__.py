"""`heliograph fallback`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import click

from heliograph.cli.input.group import Group
from heliograph.cli.input.secret_line import read_secret_line
from heliograph.errors import EXIT_CONFIG, EXIT_FAILED, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heliograph.config.settings import FallbackConfig
    from heliograph.core.finding import Finding
    from heliograph.core.pushers.fallback import Fallback


@click.group("fallback", cls=Group, short_help="Have your phone ring where this desktop cannot.")
def command() -> None:
    """Set, show, test or remove the HTTP pusher that rings where this desktop cannot.

    \b
    Example:
      heliograph fallback set ntfy https://ntfy.example.org
    """


@command.command("set")
@click.argument("kind", type=click.Choice(["ntfy", "unifiedpush"]))
@click.argument("url")
@click.option("--gateway", metavar="URL", help="The Matrix push gateway, if the endpoint's own server is none.")
@click.option("--public-gateway", is_flag=True, help="Use UnifiedPush's public gateway: it sees when you get pushes.")
@click.option("--full", is_flag=True, help="Push what messages say, too, not only their ids.")
@click.option("--relay", metavar="URL", help="A relay of yours that waits with pushes for this desktop; see above.")
@click.option("--relay-token-stdin", is_flag=True, help="Read the relay's token from standard input.")
@click.option("--force", is_flag=True, help="Set it even if the test fails.")
def set_(
    kind: Literal["ntfy", "unifiedpush"],
    url: str,
    gateway: str | None,
    public_gateway: bool,
    full: bool,
    relay: str | None,
    relay_token_stdin: bool,
    force: bool,
) -> None:
    """Find the gateway, test it with a push, and register it as a pusher of every account.

    For ntfy give the topic's URL, or the server's alone to have a topic made up: https://ntfy.example.org. For
    UnifiedPush give the endpoint that your distributor shows.

    With --relay pushes go by way of a relay that runs as a gateway only (heliograph relay, gateway_only = true): it
    waits some seconds for this desktop, which tells it what it has shown, and only then lets the phone ring.

    \b
    Examples:
      heliograph fallback set ntfy https://ntfy.example.org/upAbCdEf123456
      heliograph fallback set ntfy https://ntfy.example.org --relay https://push.example.org
      heliograph fallback set unifiedpush https://push.example.org/abc --public-gateway
    """
    if gateway and public_gateway:
        raise click.UsageError("--gateway and --public-gateway exclude one another.")
    if relay_token_stdin and relay is None:
        raise click.UsageError("--relay-token-stdin needs --relay.")
    from heliograph.cli.config.file import write_section
    from heliograph.cli.fallback.set_up import find_fallback, register, restart_daemon
    from heliograph.cli.fallback.through_relay import lead_through, leave_relay
    from heliograph.config.reading import load_config
    from heliograph.core.pushers.fallback import PUBLIC_GATEWAY

    config = load_config().fallback
    before = config.fallback
    fallback = asyncio.run(find_fallback(kind, url, PUBLIC_GATEWAY if public_gateway else gateway, is_full=full))
    if not _report(asyncio.run(_test(fallback))) and not force:
        raise UserError("The test failed, so nothing was changed.", "Mend it, or set it all the same with --force.")
    # Taken before a relay puts its own pushkey in the place of it: the phone subscribes to the topic in either case.
    place = fallback.pushkey.partition("?")[0]
    if relay is not None:
        fallback = asyncio.run(lead_through(relay, _relay_token(is_piped=relay_token_stdin), fallback))
    # With the same pushkey the relay's registration has just been renewed, and must not be removed.
    if config.relay and before is not None and before.pushkey != fallback.pushkey:
        _report(asyncio.run(leave_relay(config.relay, before, is_left=relay is None)))
    # The file first: the daemon registers what stands there, also where a homeserver cannot be reached just now.
    write_section("fallback", _section(fallback, relay))
    _report(asyncio.run(register(fallback, before)))
    click.echo("Where pushes arrive:" if kind == "unifiedpush" else "Subscribe to this topic on your phone:")
    click.echo(f"  {place}")
    _report(restart_daemon())


def _section(fallback: Fallback, relay: str | None) -> dict[str, str | bool]:
    """The section [fallback] of config.toml."""
    return {
        "gateway": fallback.gateway,
        "pushkey": fallback.pushkey,
        "app_id": fallback.app_id,
        "event_id_only": fallback.is_event_id_only,
        "relay": relay or "",
    }


@command.command("show")
def show() -> None:
    """Show the fallback, and how it stands with the homeserver of every account.

    \b
    Example:
      heliograph fallback show
    """
    from heliograph.cli.fallback.set_up import look

    fallback = _configured()
    click.echo(f"gateway  {fallback.gateway}")
    click.echo(f"pushkey  {fallback.pushkey}")
    click.echo(f"app id   {fallback.app_id}")
    click.echo(f"content  {'ids only' if fallback.is_event_id_only else 'what messages say, too'}")
    if relay := _config().relay:
        click.echo(f"relay    {relay}")
    _report(asyncio.run(look(fallback)))


@command.command("test")
@click.pass_context
def test(ctx: click.Context) -> None:
    """Push to the fallback as the homeserver would, follow the push, and explain what comes back.

    \b
    Example:
      heliograph fallback test
    """
    from heliograph.cli.fallback.set_up import look

    fallback = _configured()
    is_good = _report(asyncio.run(_test(fallback)))
    is_good &= _report(asyncio.run(look(fallback)))
    click.echo(
        "Not tested: whether the homeserver itself reaches the gateway. Lock your screen and have somebody write."
    )
    ctx.exit(0 if is_good else EXIT_FAILED)


@command.command("remove")
def remove() -> None:
    """Remove the pusher from every account, and the fallback from the configuration.

    \b
    Example:
      heliograph fallback remove
    """
    from heliograph.cli.config.file import write_section
    from heliograph.cli.fallback.set_up import restart_daemon, unregister
    from heliograph.cli.fallback.through_relay import leave_relay

    fallback, relay = _configured(), _config().relay
    # The file first, as above: else the next start would register again what is removed below.
    write_section("fallback", {})
    is_good = _report(asyncio.run(unregister(fallback)))
    if relay:
        _report(asyncio.run(leave_relay(relay, fallback, is_left=True)))
    _report(restart_daemon())
    # Told last, since the relay and the daemon have to let go of it in any case.
    if not is_good:
        raise UserError("The pusher may still be there.", "Remove it in another client, or: heliograph pushers remove")


async def _test(fallback: Fallback) -> list[Finding]:
    from heliograph.cli.fallback.trial_push import follow_push

    return await follow_push(fallback)


def _relay_token(*, is_piped: bool) -> str:
    if is_piped:
        return read_secret_line("token", "Pipe it in, or leave out --relay-token-stdin.").strip()
    return str(click.prompt("Token of the relay", hide_input=True))


def _config() -> FallbackConfig:
    from heliograph.config.reading import load_config

    return load_config().fallback


def _configured() -> Fallback:
    fallback = _config().fallback
    if fallback is None:
        raise UserError(
            "There is no fallback.", "Set one: heliograph fallback set ntfy https://ntfy.sh", exit_code=EXIT_CONFIG
        )
    return fallback


def _report(findings: Iterable[Finding]) -> bool:
    from heliograph.cli.output.findings import print_findings

    return print_findings(findings)
