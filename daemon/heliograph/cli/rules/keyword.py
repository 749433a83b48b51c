"""`heliograph rules keyword`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from heliograph.cli.accounts.signed_in import account_option
from heliograph.cli.input.group import Group
from heliograph.cli.rules.session import RulesSession, change_rules
from heliograph.cli.rules.sound_name import SoundName
from heliograph.core.push.changes import add_keyword, remove_keyword
from heliograph.core.push.desired_rule import actions_of
from heliograph.core.push.rule_change import RuleChange
from heliograph.core.push.verdict import verdict_of
from heliograph.core.push.wording import word_verdict


@click.group("keyword", cls=Group, short_help="Words that ring wherever they are said.")
def command() -> None:
    """Add or remove words that ring wherever they are said.

    \b
    Example:
      heliograph rules keyword add lunch --sound default --highlight
    """


@command.command("add")
@click.argument("word")
@click.option(
    "--sound",
    type=SoundName(),
    metavar="NAME",
    help="Ring with this sound; `default` is the usual one. Without: silently.",
)
@click.option("--highlight", is_flag=True, help="Mark the message as a mention is marked.")
@account_option
def add(user_id: str | None, word: str, sound: str | None, highlight: bool) -> None:
    """Let a word ring wherever it is said, whole and in any case. `*` and `?` stand for any letters and any one.

    Again changes how it rings.

    \b
    Examples:
      heliograph rules keyword add lunch --sound default --highlight
      heliograph rules keyword add "deploy*"
    """

    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        actions = actions_of(sound=sound, highlight=highlight)
        how = word_verdict(verdict_of(actions))
        return add_keyword(session.rules, word, actions), f"When a message says {word!r}: {how}."

    change_rules(user_id, plan)


@command.command("remove")
@click.argument("word")
@account_option
def remove(user_id: str | None, word: str) -> None:
    """Let a word ring no longer.

    \b
    Example:
      heliograph rules keyword remove lunch
    """

    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        changes = remove_keyword(session.rules, word)
        return changes, f"{word!r} is no keyword of yours{' any more' if changes else ''}."

    change_rules(user_id, plan)
