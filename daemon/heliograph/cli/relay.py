"""`heliograph relay`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from heliograph.cli.input.group import Group
from heliograph.cli.input.secret_line import read_secret_line
from heliograph.errors import UserError

if TYPE_CHECKING:
    from heliograph.relay.config import RelayConfig

F = TypeVar("F", bound=Callable[..., Any])

_OF_SERVICE = "/var/lib/heliograph-relay"
_PIPE = "Pipe it in, or leave out the option that ends in -stdin."
_OPTIONS = (
    click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="A TOML file with these options as keys."
    ),
    click.option("--homeserver", metavar="URL", help="The homeserver as the relay reaches it [http://127.0.0.1:8008]."),
    click.option("--listen", metavar="HOST:PORT", help="Where the reverse proxy reaches the relay [127.0.0.1:8077]."),
    click.option(
        "--gateway-url", metavar="URL", help="The relay as the homeserver reaches it [http://HOST:PORT/_matrix/…]."
    ),
)


def _with_options(function: F) -> F:
    # Decorators count from the last to the first: reversed, `--help` shows the options in the order above.
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group(
    "relay", cls=Group, invoke_without_command=True, short_help="Direct push beside your homeserver (for its admin)."
)
@_with_options
@click.option("--state", metavar="DIR", help="Where relay.db lives.")
@click.option(
    "--allow-http-loopback", is_flag=True, default=None, help="Push gateways may be on this machine, with http."
)
@click.pass_context
def command(ctx: click.Context, /, config_file: Path | None, **flags: Any) -> None:
    """Give an unmodified homeserver direct push (MSC3361), and hold HTTP pushes until they are needed.

    Runs in the foreground until it is interrupted, between the reverse proxy and the homeserver.

    \b
    Example:
      heliograph relay --homeserver http://127.0.0.1:8008 --listen 127.0.0.1:8077
    """
    if ctx.invoked_subcommand is not None:
        return
    import asyncio

    from heliograph.relay.config import load_relay_config
    from heliograph.system import logs
    from heliograph.system.core_dumps import forbid_core_dumps
    from heliograph.system.log_floods import FloodFilter

    # Before any secret is in memory: the configuration has tokens.
    forbid_core_dumps()
    config = load_relay_config(config_file, flags)
    logs.set_up_log(config.log_level, form=config.log_format, flood=FloodFilter())
    state = _state_folder(config.state)
    from heliograph.relay import server

    ctx.exit(asyncio.run(server.run_relay(config, partial(load_relay_config, config_file, flags), state)))


@command.command("check")
@_with_options
@click.option("--user", metavar="USER", help="A user of the homeserver: asks for the password, and signs out again.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--access-token-stdin", is_flag=True, help="Read an access token from standard input instead.")
@click.option("--device-code", is_flag=True, help="Sign in by OAuth 2.0, with a code for a browser elsewhere.")
@click.option(
    "--public-url", metavar="URL", default="", help="The homeserver as clients reach it [as its domain says]."
)
@click.option("--state", metavar="DIR", help="Where relay.db lives [/var/lib/heliograph-relay].")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    config_file: Path | None,
    user: str | None,
    password_stdin: bool,
    access_token_stdin: bool,
    device_code: bool,
    public_url: str,
    **flags: Any,
) -> None:
    """Prove that relay and homeserver reach one another, and that clients are led through the relay.

    Needs an account at the homeserver, for which it registers a pusher, makes a room and removes both again. A
    homeserver that may not push to a private address (Synapse: ip_range_blacklist) says so nowhere else, and nobody
    else sees that a reverse proxy leads /sync past the relay. Says as well what `heliograph relay leave` would do.

    \b
    Example:
      sudo heliograph relay check --config /etc/heliograph-relay/relay.toml --user @you:example.org
    """
    if (user is not None) + access_token_stdin + device_code != 1 or (password_stdin and user is None):
        raise click.UsageError(
            "Give one of --user (and maybe --password-stdin), --access-token-stdin and --device-code."
        )
    import asyncio

    from heliograph.cli import relay_check
    from heliograph.errors import EXIT_FAILED
    from heliograph.relay.check.signing_in import Credentials

    config = _config_of(ctx, config_file, flags)
    place = (public_url.rstrip("/"), _find_state(config.state))
    if device_code:
        ctx.exit(0 if asyncio.run(relay_check.report_by_device_code(config, *place)) else EXIT_FAILED)
    if access_token_stdin:
        credentials = Credentials(token=read_secret_line("access token", _PIPE).strip())
    else:
        ask = partial(click.prompt, "Password", hide_input=True, err=True)
        password = read_secret_line("password", _PIPE) if password_stdin else ask()
        credentials = Credentials(user=user or "", password=password)
    ctx.exit(0 if asyncio.run(relay_check.report(config, credentials, *place)) else EXIT_FAILED)


@command.command("leave")
@_with_options
@click.option("--state", metavar="DIR", help="Where relay.db lives [/var/lib/heliograph-relay].")
@click.option("--once", is_flag=True, help="Say how things stand, and do not wait until nothing is left.")
@click.option("--cancel", is_flag=True, help="Let the relay stay after all.")
@click.pass_context
def leave(ctx: click.Context, /, config_file: Path | None, once: bool, cancel: bool, **flags: Any) -> None:
    """Put every user's pushers back at the homeserver, so that the relay can be taken out.

    The running relay does it: each request that passes has the pushers of its user put back as their clients set
    them, with its own access token. The relay takes no new ones meanwhile, and desktops apply the push rules
    themselves. This command says whose are left, until none is; it may be interrupted and called again. With --once
    its exit status is 1 if some are left.

    \b
    Example:
      sudo heliograph relay leave --config /etc/heliograph-relay/relay.toml
    """
    import asyncio

    from heliograph.cli.relay_leave import follow_leaving

    config = _config_of(ctx, config_file, flags)
    if config.gateway_only:
        raise UserError(
            "This relay is a gateway only, so it has no way to put pushers back.",
            "Have each user set the fallback again without it: heliograph fallback set ... (without --relay)",
        )
    ctx.exit(asyncio.run(follow_leaving(_find_state(config.state), once=once, cancel=cancel)))


@command.command("token")
@click.argument("name")
def token(name: str) -> None:
    """Make a token with which NAME's desktops acknowledge to a relay that is a gateway only.

    \b
    Example:
      heliograph relay token you
    """
    import secrets

    from heliograph.core.text.clean import clean_line
    from heliograph.relay.gateway.tokens import digest_of

    made = secrets.token_urlsafe(32)
    # As a TOML key, so that the lines can be copied as they are.
    quoted = clean_line(name, 100).replace("\\", "\\\\").replace('"', '\\"')
    click.echo("Into the relay's configuration, which then has to be restarted:")
    click.echo(f'\n    [users]\n    "{quoted}" = "{digest_of(made)}"\n')
    click.echo("For the desktop (heliograph fallback set ... --relay URL asks for it), and shown only now:")
    click.echo(f"\n    {made}")


@command.command("unit")
@_with_options
@click.option("--to", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write both units there.")
@click.pass_context
def unit(ctx: click.Context, /, config_file: Path | None, folder: Path | None, **flags: Any) -> None:
    """Print a systemd unit for the relay, with the path of this program.

    With --to, write that unit and its socket unit, heliograph-relay.socket, which keeps the port of `listen` open while
    the relay restarts, so that no client is refused. The sandbox hides home folders, so Heliograph has to be installed
    outside of them.

    \b
    Example:
      sudo /opt/heliograph/bin/heliograph relay unit --to /etc/systemd/system
    """
    from heliograph.cli.service.unit import (
        RELAY_SOCKET,
        RELAY_UNIT,
        find_needs,
        find_program,
        render_relay_socket,
        render_relay_unit,
    )

    program = find_program()
    service = render_relay_unit(program, find_needs(program))
    if folder is None:
        click.echo(service, nl=False)
        return
    host, port = _config_of(ctx, config_file, flags).address
    for name, text in ((RELAY_UNIT, service), (RELAY_SOCKET, render_relay_socket(host, port))):
        try:
            (folder / name).write_text(text)
        except OSError as error:
            raise UserError(
                f"{folder / name} cannot be written: {error.strerror or error}", "Call this as root."
            ) from None
        click.echo(f"Wrote {folder / name}")
    click.echo(f"Now: systemctl daemon-reload && systemctl enable --now {RELAY_SOCKET} {RELAY_UNIT}")


def _config_of(ctx: click.Context, config_file: Path | None, flags: dict[str, Any]) -> RelayConfig:
    """The relay's configuration from file and options, which may stand before the subcommand or after it."""
    from heliograph.relay.config import load_relay_config

    before = dict(ctx.parent.params) if ctx.parent is not None else {}
    file = config_file or before.pop("config_file", None)
    before.pop("config_file", None)
    # The option that stands after the subcommand wins.
    return load_relay_config(file, before | {name: value for name, value in flags.items() if value is not None})


def _find_state(configured: str) -> Path:
    """The state folder of the relay that runs on this machine."""
    from heliograph.accounts import state_root

    for folder in (configured, os.environ.get("STATE_DIRECTORY", "").partition(":")[0], _OF_SERVICE):
        if folder and (folder != _OF_SERVICE or Path(folder).is_dir()):
            return Path(folder).absolute()
    return state_root() / "relay"


def _state_folder(configured: str) -> Path:
    from heliograph.accounts import make_private_folder, state_root

    # systemd names the folders of StateDirectory= in this variable, separated by colons (systemd.exec(5)).
    # Test: test_the_unit_serves_in_its_sandbox_comes_back_after_a_crash_and_stops.
    given = configured or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = Path(given).absolute() if given else state_root() / "relay"
    make_private_folder(folder)
    return folder
