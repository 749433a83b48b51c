"""`heliograph accounts`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import click


@click.command("accounts", short_help="List the accounts that have signed in.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def command(as_json: bool) -> None:
    """List the accounts that have signed in on this machine, and where what belongs to them is kept.

    \b
    Example:
      heliograph accounts --json
    """
    from heliograph.accounts import list_accounts, state_folder
    from heliograph.cli.accounts.account_page import tell_sign_in
    from heliograph.store.sign_out_file import sign_out_of

    rows: list[dict[str, Any]] = [
        {
            "user_id": account.user_id,
            "device_id": account.device_id,
            "homeserver": account.homeserver,
            "secrets": account.secrets,
            "folder": str(state_folder(account.user_id)),
            "signed_out": how.value if (how := sign_out_of(account)) is not None else None,
            "sign_in": None if account.oauth is None else asyncio.run(tell_sign_in(account)),
        }
        for account in list_accounts()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(row["user_id"])
        if row["signed_out"]:
            click.echo(f"  signed out by the homeserver; to sign in again: heliograph login {row['user_id']}")
        click.echo(f"  device {row['device_id']} at {row['homeserver']}")
        secret = "access token" if row["sign_in"] is None else "secret"
        store = "the keyring" if row["secrets"] == "keyring" else "a file"
        click.echo(f"  {secret} in {store}, state in {row['folder']}")
        _tell_of_oauth(row["sign_in"])
    if not rows:
        click.echo("No account has signed in yet. To begin: heliograph login @you:example.org", err=True)


def _tell_of_oauth(sign_in: Mapping[str, Any] | None) -> None:
    from heliograph.cli.output.times import local_time

    if sign_in is None:
        return
    until_ms = sign_in["token_until_ms"]
    until = f", with an access token until {local_time(until_ms)}" if until_ms else ""
    click.echo(f"  signed in by OAuth 2.0 at {sign_in['issuer']}{until}")
    if sign_in["account_page"]:
        click.echo(f"  its page in a browser: {sign_in['account_page']}")
