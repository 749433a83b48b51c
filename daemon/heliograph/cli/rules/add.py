"""`heliograph rules add`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from heliograph.cli.accounts.signed_in import account_option
from heliograph.cli.rules.session import RulesSession, change_rules
from heliograph.cli.rules.sound_name import SoundName
from heliograph.core.events import Json
from heliograph.core.push.changes import add_rule
from heliograph.core.push.desired_rule import DesiredRule, Refusal, actions_of, names_exactly
from heliograph.core.push.rule_change import RuleChange
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.spelling import read_action, read_condition
from heliograph.core.push.wording import word_rule

_ROOM = "room="
_ABOUT_SENDER_RULES = (
    "Note: some homeservers (Synapse) pass sender rules over, and with them your other devices. What works "
    "everywhere: heliograph rules mute-user, or an override rule with --condition sender=@USER:SERVER."
)


@click.command("add", short_help="Make a rule of any kind, or replace one of yours.")
@click.argument("rule", metavar="KIND/ID")
@click.option("--condition", "-c", "conditions", multiple=True, metavar="CONDITION", help="Must hold; may be repeated.")
@click.option("--pattern", metavar="PATTERN", help="Of a content rule: the words it looks for.")
@click.option("--action", "actions", multiple=True, metavar="ACTION", help="`notify`, or a tweak as JSON.")
@click.option("--sound", type=SoundName(), metavar="NAME", help="Notify with this sound; `default` is the usual one.")
@click.option("--highlight", is_flag=True, help="Notify, marked as a mention is marked.")
@click.option("--dont-notify", is_flag=True, help="Stay silent.")
@click.option("--before", metavar="ID", help="Try it right before this rule of yours, of the same kind.")
@click.option("--after", metavar="ID", help="Try it right after this rule of yours, of the same kind.")
@account_option
def command(
    user_id: str | None,
    rule: str,
    conditions: tuple[str, ...],
    pattern: str | None,
    actions: tuple[str, ...],
    sound: str | None,
    highlight: bool,
    dont_notify: bool,
    before: str | None,
    after: str | None,
) -> None:
    """Make a rule, or replace one of yours. It notifies, unless told otherwise, and is tried first of its kind.

    KIND is override, content, room, sender or underride. The ID is yours to choose; of a room rule it is the room (its
    id, alias or name), of a sender rule the user.

    \b
    Conditions of override and underride rules:
      type=m.room.message                            text: `*` any, `?` any one character
      content.body=lunch                             words of the message
      room=Lunch                                     the room, by id, alias or name
      content.x==true                                this very text, number, true, false, null
      "content.m\\.mentions.user_ids contains @me:x"  an element of an array
      display-name                                   your display name is said
      members=2, "members>10"                        joined members; also <= >= <
      sender-may-notify=room                         by the room's power levels
      '{"kind": ...}'                                any other, as JSON

    \b
    Examples:
      heliograph rules add override/pager -c type=m.room.message -c sender=@pager:example.org --sound default
      heliograph rules add underride/quiet-polls -c type=m.poll.start --dont-notify --before pager
    """

    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        kind, rule_id = await session.rule_name(rule)
        desired = DesiredRule(
            kind,
            rule_id,
            _actions(actions, sound, highlight, dont_notify),
            tuple([await _condition(session, text) for text in conditions]),
            pattern,
        )
        neighbours = [await _neighbour(session, kind, name) for name in (before, after)]
        changes = add_rule(session.rules, desired, before=neighbours[0], after=neighbours[1])
        return changes, _sentence(session, desired)

    change_rules(user_id, plan)
    if rule.startswith("sender/"):
        click.echo(_ABOUT_SENDER_RULES, err=True)


def _actions(actions: tuple[str, ...], sound: str | None, highlight: bool, dont_notify: bool) -> tuple[Any, ...]:
    if dont_notify:
        if actions or sound is not None or highlight:
            raise Refusal("A rule that stays silent has no actions.", "Leave out --dont-notify, or the others.")
        return ()
    given = tuple(read_action(text) for text in actions)
    usual = actions_of(sound=sound, highlight=highlight)
    return (*given, *(action for action in usual if action != "notify")) if given else usual


async def _condition(session: RulesSession, text: str) -> Json:
    if text.startswith(_ROOM) and not text.startswith(f"{_ROOM}="):
        return names_exactly("room_id", await session.room_id(text.removeprefix(_ROOM)))
    return read_condition(text)


async def _neighbour(session: RulesSession, kind: str, name: str | None) -> str | None:
    """The id of the rule that `--before` or `--after` names, also as KIND/ID if that is of the same kind."""
    return None if name is None else await session.rule_id(kind, name.removeprefix(f"{kind}/"))


def _sentence(session: RulesSession, desired: DesiredRule) -> str:
    # Read back as the judge will read it, so that the sentence tells what the rule does and not what was typed.
    ruleset = Ruleset.parse({desired.kind: [{"rule_id": desired.rule_id, **desired.body}]})
    sentences = [word_rule(rule, session.names) for rule in ruleset.rules]
    return f"{desired.kind}/{desired.rule_id}: {' '.join(sentences)}"
