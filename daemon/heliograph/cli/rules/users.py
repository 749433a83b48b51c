"""`heliograph rules mute-user` and `unmute-user`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from heliograph.cli.accounts.signed_in import account_option
from heliograph.cli.input.user_id import UserIdType
from heliograph.cli.rules.session import RulesSession, change_rules
from heliograph.core.events import Json
from heliograph.core.push import changes
from heliograph.core.push.rule_change import RuleChange


@click.command("mute-user", short_help="Silence all that a user sends.")
@click.argument("user", type=UserIdType(), metavar="@USER:SERVER")
@account_option
def mute_user(user_id: str | None, user: str) -> None:
    """Silence all that a user sends in any room: messages, mentions, invites.

    \b
    Example:
      heliograph rules mute-user @bot:example.org
    """
    _change(user_id, user, changes.mute_user, f"{user} is muted.")


@click.command("unmute-user", short_help="Undo `mute-user`.")
@click.argument("user", type=UserIdType(), metavar="@USER:SERVER")
@account_option
def unmute_user(user_id: str | None, user: str) -> None:
    """Let a user ring again.

    \b
    Example:
      heliograph rules unmute-user @bot:example.org
    """
    _change(user_id, user, changes.unmute_user, f"{user} is not muted.")


def _change(user_id: str | None, user: str, change: Callable[[Json, str], list[RuleChange]], sentence: str) -> None:
    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        return change(session.rules, user), sentence

    change_rules(user_id, plan)
