"""`heliograph relay`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


@click.group("relay", invoke_without_command=True, short_help="Direct push beside your homeserver (for its admin).")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="A TOML file with these options as keys."
)
@click.option("--homeserver", metavar="URL", help="The homeserver as the relay reaches it [http://127.0.0.1:8008].")
@click.option("--listen", metavar="HOST:PORT", help="Where the reverse proxy reaches the relay [127.0.0.1:8077].")
@click.option(
    "--gateway-url", metavar="URL", help="The relay as the homeserver reaches it [http://HOST:PORT/_matrix/…]."
)
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

    from heliograph import logs
    from heliograph.relay.config import load_relay_config

    config = load_relay_config(config_file, flags)
    logs.set_up(config.log_level)
    state = _state_folder(config.state)
    from heliograph.relay import server

    ctx.exit(asyncio.run(server.run(config, state)))


@command.command("unit")
def unit() -> None:
    """Print a systemd unit for the relay, with the path of this program.

    \b
    Example:
      heliograph relay unit | sudo tee /etc/systemd/system/heliograph-relay.service
    """
    from heliograph.cli.unit import find_program, render_relay_unit

    click.echo(render_relay_unit(find_program()), nl=False)


def _state_folder(configured: str) -> Path:
    from heliograph.accounts import make_private_folder, state_root

    given = configured or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = Path(given).absolute() if given else state_root() / "relay"
    make_private_folder(folder)
    return folder
