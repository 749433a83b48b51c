"""`heliograph rules mute`, `unmute` and `mentions-only`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from heliograph.cli.accounts.signed_in import account_option
from heliograph.cli.rules.session import RulesSession, change_rules
from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.push.changes import mute_room, only_mentions, unmute_room
from heliograph.core.push.rule_change import RuleChange


@click.command("mute", short_help="Silence a room, mentions included.")
@click.argument("room")
@account_option
def mute(user_id: str | None, room: str) -> None:
    """Silence ROOM (its id, alias or name), mentions and keywords included.

    \b
    Example:
      heliograph rules mute "#lunch:example.org"
    """
    _change(user_id, room, mute_room, "{} is muted.")


@click.command("unmute", short_help="Undo `mute` and `mentions-only`.")
@click.argument("room")
@account_option
def unmute(user_id: str | None, room: str) -> None:
    """Let ROOM (its id, alias or name) ring again as rooms do: undoes `mute` and `mentions-only`.

    \b
    Example:
      heliograph rules unmute Lunch
    """
    _change(user_id, room, unmute_room, "{} is not muted.")


@click.command("mentions-only", short_help="Let only mentions and keywords of a room ring.")
@click.argument("room")
@account_option
def mentions_only(user_id: str | None, room: str) -> None:
    """Of ROOM (its id, alias or name) let only mentions and keywords ring.

    \b
    Example:
      heliograph rules mentions-only Lunch
    """
    _change(user_id, room, only_mentions, "Of {} only mentions and keywords notify.")


def _change(user_id: str | None, room: str, change: Callable[[Json, RoomId], list[RuleChange]], sentence: str) -> None:
    async def plan(session: RulesSession) -> tuple[Sequence[RuleChange], str]:
        room_id = await session.room_id(room)
        # A homeserver takes rules for misspelled rooms, too. Undoing must work for rooms that were left as well.
        if change is not unmute_room:
            await session.check_joined(room_id)
        return change(session.rules, room_id), sentence.format(session.names.room(room_id))

    change_rules(user_id, plan)
