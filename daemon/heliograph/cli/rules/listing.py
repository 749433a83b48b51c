"""`heliograph rules list`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from heliograph.cli.accounts.signed_in import account_option, choose_account
from heliograph.cli.rules.session import open_rules
from heliograph.core.push.phrases import Names
from heliograph.core.push.rule import Rule
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.wording import find_trouble, word_rule
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

if TYPE_CHECKING:
    from heliograph.accounts import Account

_LINE = 1000


@click.command("list", short_help="List the rules in the order in which they are tried.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@account_option
def command(user_id: str | None, as_json: bool) -> None:
    """List the push rules in the order in which they are tried: the first that is on and matches decides, alone.

    \b
    Example:
      heliograph rules list
    """
    account = choose_account(user_id)
    ruleset, names = asyncio.run(_fetch(account))
    if as_json:
        click.echo(json.dumps(_as_json(account.user_id, ruleset, names), indent=2))
    else:
        click.echo("\n".join(_lines(ruleset, names)))


async def _fetch(account: Account) -> tuple[Ruleset, Names]:
    async with open_rules(account) as session:
        return session.ruleset, session.names


@value_type
class _Row:
    rule: Rule
    sentence: str
    trouble: str | None


def _rows(ruleset: Ruleset, names: Names) -> Iterator[_Row]:
    decider = None
    for rule in ruleset.rules:
        yield _Row(rule, word_rule(rule, names), find_trouble(rule, decider))
        if decider is None and rule.can_match and not rule.conditions:
            decider = rule


def _lines(ruleset: Ruleset, names: Names) -> Iterator[str]:
    for number, row in enumerate(_rows(ruleset, names), 1):
        rule = row.rule
        marks = ["on" if rule.enabled else "off", *(["predefined"] if rule.is_predefined else [])]
        yield f"{number:>3}. {_plain(f'{rule.kind}/{rule.rule_id}')}  ({', '.join(marks)})"
        yield f"     {_plain(row.sentence)}"
        if row.trouble is not None:
            yield f"     Problem: {_plain(row.trouble)}."
    for problem in ruleset.problems:
        yield f"Problem: {_plain(problem)}."
    if not ruleset.rules:
        yield "There are no rules: nothing rings."


def _as_json(user_id: str, ruleset: Ruleset, names: Names) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "rules": [
            {
                "kind": row.rule.kind,
                "rule_id": row.rule.rule_id,
                "enabled": row.rule.enabled,
                "predefined": row.rule.is_predefined,
                # Predefined rules have conditions that the homeserver does not tell, and that have no JSON.
                "conditions": [condition.json for condition in row.rule.conditions if condition.json],
                "actions": row.rule.verdict.actions,
                "notify": row.rule.verdict.notify,
                "highlight": row.rule.verdict.highlight,
                "sound": row.rule.verdict.sound,
                "sentence": row.sentence,
                "problem": row.trouble,
            }
            for row in _rows(ruleset, names)
        ],
        "problems": ruleset.problems,
    }


def _plain(text: str) -> str:
    return clean_line(text, _LINE)
