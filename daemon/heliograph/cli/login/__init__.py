"""`heliograph login`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from heliograph.cli.input.secret_line import read_secret_line
from heliograph.cli.input.user_id import UserIdType
from heliograph.system.service_manager import to_restart

if TYPE_CHECKING:
    from heliograph.accounts import Secrets
    from heliograph.core import ids


@click.command("login", short_help="Sign in to a Matrix account.")
@click.argument("user_id", type=UserIdType(), metavar="@USER:SERVER")
@click.option("--homeserver", metavar="URL", help="Where the homeserver is, if the server's name does not tell.")
@click.option(
    "--secrets",
    type=click.Choice(["keyring", "file"]),
    help="Where the account's secret is kept: in the keyring (the default), or in a file that only you can read.",
)
@click.option(
    "--device-code",
    is_flag=True,
    help="Show a code to enter in a browser on any machine or phone, where the server signs in by OAuth 2.0.",
)
@click.option("--sso", is_flag=True, help="Sign in in the browser in the older way, by single sign-on.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input, and sign in in the older way.",
)
@click.option(
    "--access-token-stdin",
    is_flag=True,
    help="Read an access token from standard input: one of its own, not another client's.",
)
def command(
    user_id: ids.UserId,
    homeserver: str | None,
    secrets: Secrets | None,
    device_code: bool,
    sso: bool,
    password_stdin: bool,
    access_token_stdin: bool,
) -> None:
    """Sign in to a Matrix account, as a device of its own.

    Opens the browser, or shows a code for another one where this machine has none; asks for the password where the
    server wants that. After a soft logout, the same command brings the same device back.

    \b
    Examples:
      heliograph login @alice:example.org
      heliograph login @alice:example.org --device-code
      heliograph login @alice:localhost --homeserver http://localhost:8008 --secrets file
      pass show matrix | heliograph login @alice:example.org --password-stdin
    """
    if device_code + sso + password_stdin + access_token_stdin > 1:
        raise click.UsageError("--device-code, --sso, --password-stdin and --access-token-stdin exclude one another.")
    from heliograph.cli.login.steps import SignIn
    from heliograph.cli.login.ways import Way

    way, typed = Way.ANY, ""
    if device_code:
        way = Way.DEVICE_CODE
    elif sso:
        way = Way.SSO
    elif password_stdin:
        way, typed = Way.PASSWORD, _read_line("password")
    elif access_token_stdin:
        way, typed = Way.ACCESS_TOKEN, _read_line("access token").strip()
    account = asyncio.run(SignIn(user_id, homeserver, secrets, way, typed).run())
    click.echo(f"Signed in as {account.user_id}, device {account.device_id}.")
    click.echo("To have notifications from now on: heliograph service install")
    click.echo(f"If it runs already: {to_restart()}")


def _read_line(what: str) -> str:
    return read_secret_line(what, f"Pipe it in, or leave out --{what.replace(' ', '-')}-stdin.")
