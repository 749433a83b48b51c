"""`heliograph accounts`."""

from __future__ import annotations

import json

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
    from heliograph.store.sign_out_file import sign_out_of

    rows = [
        {
            "user_id": account.user_id,
            "device_id": account.device_id,
            "homeserver": account.homeserver,
            "secrets": account.secrets,
            "folder": str(state_folder(account.user_id)),
            "signed_out": how.value if (how := sign_out_of(account)) is not None else None,
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
        click.echo(
            f"  access token in {'the keyring' if row['secrets'] == 'keyring' else 'a file'}, state in {row['folder']}"
        )
    if not rows:
        click.echo("No account has signed in yet. To begin: heliograph login @you:example.org", err=True)
