"""`heliograph rules enable`, `disable` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from heliograph.cli.accounts.signed_in import account_option
from heliograph.cli.rules.session import RulesSession, change_rules
from heliograph.core.push.changes import remove_rule, set_enabled
from heliograph.core.push.rule_change import RuleChange


@click.command("enable", short_help="Switch a rule on.")
@click.argument("rule", metavar="[KIND/]ID")
@account_option
def enable(user_id: str | None, rule: str) -> None:
    """Switch a rule on, predefined or your own. It is named as `heliograph rules list` shows it, without KIND/ if only
    one rule has this ID; of a room rule the ID may also be the room's alias or name.

    \b
    Example:
      heliograph rules enable override/.m.rule.suppress_notices
    """
    _switch(user_id, rule, enabled=True)


@click.command("disable", short_help="Switch a rule off.")
@click.argument("rule", metavar="[KIND/]ID")
@account_option
def disable(user_id: str | None, rule: str) -> None:
    """Switch a rule off, predefined or your own. It is named as `heliograph rules list` shows it, without KIND/ if only
    one rule has this ID; of a room rule the ID may also be the room's alias or name.

    \b
    Example:
      heliograph rules disable override/.m.rule.suppress_notices
    """
    _switch(user_id, rule, enabled=False)


@click.command("remove", short_help="Remove a rule of yours.")
@click.argument("rule", metavar="[KIND/]ID")
@account_option
def remove(user_id: str | None, rule: str) -> None:
    """Remove a rule of yours. It is named as `heliograph rules list` shows it, without KIND/ if only
    one rule has this ID; of a room rule the ID may also be the room's alias or name.

    \b
    Example:
      heliograph rules remove override/pager
    """

    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        kind, rule_id = await session.existing_rule(rule)
        return remove_rule(session.rules, kind, rule_id), f"there is no rule {session.rule(kind, rule_id)} any more."

    change_rules(user_id, plan)


def _switch(user_id: str | None, rule: str, *, enabled: bool) -> None:
    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        kind, rule_id = await session.existing_rule(rule)
        changes = set_enabled(session.rules, kind, rule_id, enabled=enabled)
        return changes, f"{session.rule(kind, rule_id)} is {'on' if enabled else 'off'}."

    change_rules(user_id, plan)
