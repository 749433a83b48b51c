"""`heliograph verify`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from heliograph.cli.accounts.signed_in import choose_account
from heliograph.cli.input.secret_line import read_secret_line
from heliograph.cli.input.user_id import UserIdType
from heliograph.errors import UserError

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.control.verification import Verifying

_LOOK_S = 0.5
_LOOKS = 1300
"""How often the verification is looked at: for somewhat longer than the ten minutes after which one ends by itself."""
_SIGNED_LOOKS = 140
_STANDING_LOOKS = 10
_UNDER_WAY = ("ready", "exchanging", "comparing")


@click.command("verify", short_help="Verify this device, so that it gets the keys of encrypted messages.")
@click.argument("user_id", type=UserIdType(), metavar="[@USER:SERVER]", required=False)
@click.option("--recovery-key", is_flag=True, help="With the recovery key (asked for, or read from standard input).")
@click.option("--passphrase", is_flag=True, help="With the passphrase (asked for, or read from standard input).")
def command(user_id: str | None, recovery_key: bool, passphrase: bool) -> None:
    """Verify this device, so that other people's clients send it the keys of encrypted messages.

    Compares emoji with another of your clients: it asks all of them, and you may as well choose Verify for this device
    over there. Where there is no other client, the recovery key or the passphrase of your secure backup does it.

    \b
    Examples:
      heliograph verify
      pass show matrix-recovery-key | heliograph verify @alice:example.org --recovery-key
    """
    if recovery_key and passphrase:
        raise click.UsageError("--recovery-key and --passphrase exclude one another.")
    account = choose_account(user_id, "heliograph verify {}")
    if recovery_key or passphrase:
        kind = "recovery key" if recovery_key else "passphrase"
        asyncio.run(_unlock(account, kind, _read_secret(kind)))
    else:
        asyncio.run(_compare(account))


def _read_secret(kind: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"The {kind}", hide_input=True))
    return read_secret_line(kind, "Pipe it in, or run this in a terminal.")


async def _unlock(account: Account, kind: str, secret: str) -> None:
    from heliograph.cli.verify.backend import open_verifying

    async with open_verifying(account) as verifying:
        has_backup = await verifying.unlock(account.user_id, kind, secret)
    click.echo(f"Verified: {account.user_id} vouches for this device now.")
    if has_backup:
        click.echo("Keys that are missing come from the key backup from now on.")


async def _compare(account: Account) -> None:
    from heliograph.cli.verify.backend import open_verifying

    async with open_verifying(account) as verifying:
        # Asked more than once: a daemon that has just started does not know yet.
        if await _standing(verifying, account.user_id) == "verified":
            click.echo(f"{account.user_id} vouches for this device already.")
            return
        view = (await verifying.look(account.user_id, "")).get("verification") or {}
        if view.get("phase") in _UNDER_WAY:
            # Another client has begun a verification with this device: that one is gone on with.
            transaction_id = str(view["transaction_id"])
        else:
            transaction_id = await verifying.begin(account.user_id)
            click.echo("Asked your other devices: accept it there, or choose Verify for this device over there.")
        try:
            await _follow(verifying, account.user_id)
        except BaseException:
            # After Ctrl-C, too: the other device would go on showing a question that nobody here can answer.
            await verifying.cancel(account.user_id, transaction_id)
            raise
        await _wait_signed(verifying, account.user_id)


async def _follow(verifying: Verifying, user_id: str) -> None:
    """Leads the user through the verification to its end. Raises UserError if it fails."""
    # "": the newest verification, whichever side began it; once the user compares emoji, only that one.
    followed, is_asked = "", False
    for _ in range(_LOOKS):
        view = (await verifying.look(user_id, followed)).get("verification") or {}
        match view.get("phase"):
            case "comparing" if not is_asked:
                followed, is_asked = view["transaction_id"], True
                is_same = await _ask(verifying, user_id, view)
                if is_same is not None:
                    await verifying.answer(user_id, followed, is_same=is_same)
                if is_same:
                    click.echo("Now confirm it on the other device.")
                continue
            case "done":
                return
            case "cancelled":
                raise UserError(f"Not verified: {_why(view)}.", "Try again: heliograph verify")
        await asyncio.sleep(_LOOK_S)
    raise UserError("Not verified: nobody answered.", "Try again: heliograph verify")


async def _ask(verifying: Verifying, user_id: str, view: dict[str, Any]) -> bool | None:
    from heliograph.cli.verify.question import ask_yes_or_no

    async def is_answered() -> bool:
        now = (await verifying.look(user_id, view["transaction_id"])).get("verification") or {}
        return now.get("phase") != "comparing"

    click.echo()
    click.echo("   ".join(f"{picture} {name}" for picture, name in view["emoji"]))
    click.echo(f"({' '.join(map(str, view['decimals']))})")
    click.echo()
    return await ask_yes_or_no("Does your other device show the same?", is_answered)


def _why(view: dict[str, Any]) -> str:
    from heliograph.core.encryption.verification_events import REASONS
    from heliograph.core.text.clean import clean_line

    code = str(view.get("code"))
    reason = REASONS.get(code, clean_line(code, 100))
    # The reasons are whole sentences, and this one goes on after a colon.
    return reason[:1].lower() + reason[1:]


async def _standing(verifying: Verifying, user_id: str) -> str:
    standing = "unknown"
    for _ in range(_STANDING_LOOKS):
        standing = str((await verifying.look(user_id, ""))["standing"])
        if standing != "unknown":
            break
        await asyncio.sleep(_LOOK_S)
    return standing


async def _wait_signed(verifying: Verifying, user_id: str) -> None:
    for _ in range(_SIGNED_LOOKS):
        if (await verifying.look(user_id, ""))["standing"] == "verified":
            click.echo(f"Verified: {user_id} vouches for this device now.")
            return
        await asyncio.sleep(_LOOK_S)
    raise UserError(
        "The emoji were the same, but the other device has not signed this one.",
        "Verify with a device that is verified itself, or use: heliograph verify --recovery-key",
    )
