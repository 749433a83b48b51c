"""Changes push rules for the subcommands: reads the rules, has the subcommand plan, asks the homeserver for what
differs, and says what holds now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from heliograph.cli.accounts.signed_in import choose_account, open_session
from heliograph.core.ids import RoomId, is_room_id
from heliograph.core.push.desired_rule import Refusal, split_name
from heliograph.core.push.listed_rules import find_rule
from heliograph.core.push.phrases import Names
from heliograph.core.push.rule import KINDS
from heliograph.core.push.rule_change import RuleChange
from heliograph.core.push.rules import Ruleset
from heliograph.core.text.clean import clean_line
from heliograph.errors import EXIT_USAGE, Refused, StateError, StorageError, UserError

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.core.events import Json
    from heliograph.core.room import RoomFacts
    from heliograph.homeserver.session import Session

_CANDIDATES = 10
_MOST_ASKED = 1_000
"""The most rooms about which the homeserver is asked to find one by its name: some 4 s of work for it."""
_LINE = 500


class RulesSession:
    """One account's push rules as the homeserver had them when the session was opened."""

    def __init__(self, account: Account, session: Session, rules: Json, rooms: Sequence[RoomFacts]) -> None:
        self.user_id = account.user_id
        self.rules = rules
        """The object `global` of the push rules."""
        self.names = Names(account.user_id)
        self._session = session
        self._rooms: Sequence[RoomFacts] = ()
        self._learn(rooms)

    @property
    def ruleset(self) -> Ruleset:
        """The rules as the core reads them, when the session was opened."""
        return Ruleset.parse(self.rules)

    async def rule_name(self, text: str) -> tuple[str, str]:
        """Kind and id of the rule KIND/ID, where a room rule may have the room's alias or name as ID. Raises
        UserError."""
        kind, rule_id = split_name(text)
        return kind, await self.rule_id(kind, rule_id)

    async def existing_rule(self, text: str) -> tuple[str, str]:
        """Kind and id as from `rule_name`, also without KIND/ if only one rule has this id. Raises UserError."""
        kinds = [kind for kind in KINDS if find_rule(self.rules, kind, text) is not None]
        if len(kinds) > 1:
            named = " or ".join(f"{kind}/{_plain(text)}" for kind in kinds)
            raise UserError(f"Several rules are called {_plain(text)!r}.", f"Say which: {named}.", exit_code=EXIT_USAGE)
        return (kinds[0], text) if kinds else await self.rule_name(text)

    async def check_joined(self, room_id: RoomId) -> None:
        """Raises UserError if the user is not in this room, as far as ledger and homeserver know."""
        from heliograph.homeserver.directory import fetch_joined_rooms

        if any(room.room_id == room_id for room in self._rooms):
            return
        try:
            joined = await fetch_joined_rooms(self._session)
        except Refused:
            return  # Who cannot be asked is believed to be in it.
        if room_id in joined:
            return
        raise UserError(
            f"You are not in {_plain(room_id)}.",
            "Check the id, or give the room's name or alias.",
            exit_code=EXIT_USAGE,
        )

    async def rule_id(self, kind: str, text: str) -> str:
        """The id of a rule: of a room rule, the id of the room that `text` names; else `text`. Raises UserError."""
        is_id = kind != "room" or find_rule(self.rules, kind, text) is not None
        return text if is_id else await self.room_id(text)

    def rule(self, kind: str, rule_id: str) -> str:
        """The rule in words: KIND/ID, with the room's name behind it if this is a room rule."""
        return f"{kind}/{self.names.room(rule_id) if kind == 'room' else rule_id}"

    async def room_id(self, text: str) -> RoomId:
        """The id of the room with this id, alias or name. Raises UserError."""

        text = text.strip()
        if is_room_id(text):
            return text
        if text.startswith("#") and ":" in text:
            return await self._by_alias(text)
        return await self._by_name(text)

    async def _by_alias(self, alias: str) -> RoomId:
        from heliograph.homeserver.directory import resolve_alias

        # The ledger's word saves a request. A room may claim any alias: where two do, the homeserver says whose it is.
        known = [room.room_id for room in self._rooms if room.canonical_alias == alias]
        try:
            return known[0] if len(known) == 1 else await resolve_alias(self._session, alias)
        except Refused as refusal:
            raise UserError(
                f"There is no room {_plain(alias)}: {refusal}.", "Check the spelling, or give the room's id (!...)."
            ) from refusal

    async def _by_name(self, name: str) -> RoomId:
        """The id of the room of this name. The ledger knows the rooms that had news. Only if none of these is called
        so, the homeserver is asked about other rooms, which costs it 4 ms each."""
        from heliograph.core.room_search import find_rooms

        found = find_rooms(name, self._rooms, self.user_id)
        if not found.exact:
            self._learn(await self._ask_rooms())
            found = find_rooms(name, self._rooms, self.user_id)
        match found.exact:
            case [room]:
                return room.room_id
            case []:
                hint = "Check the spelling, or give its id (!...) or its alias (#...)."
                if found.similar:
                    hint = f"Perhaps one of these: {self._listed(found.similar)}."
                raise UserError(f"No room of yours is called {_plain(name)!r}.", hint, exit_code=EXIT_USAGE)
        raise UserError(
            f"Several rooms are called {_plain(name)!r}.",
            f"Say which one by its id: {self._listed(found.exact)}.",
            exit_code=EXIT_USAGE,
        )

    def _learn(self, rooms: Sequence[RoomFacts]) -> None:
        self._rooms = [*self._rooms, *rooms]
        self.names = Names(self.user_id, {room.room_id: room.title(self.user_id) for room in self._rooms})

    async def _ask_rooms(self) -> Sequence[RoomFacts]:
        from heliograph.homeserver.directory import fetch_joined_rooms
        from heliograph.homeserver.room_facts import RoomFactsSource

        known = {room.room_id for room in self._rooms}
        unknown = [room_id for room_id in await fetch_joined_rooms(self._session) if room_id not in known]
        return list((await RoomFactsSource(self._session).fetch(unknown[:_MOST_ASKED])).values())

    def _listed(self, rooms: Sequence[RoomFacts]) -> str:
        shown = [self.names.room(room.room_id) for room in rooms[:_CANDIDATES]]
        return ", ".join([*shown, f"and {len(rooms) - _CANDIDATES} more"] if len(rooms) > _CANDIDATES else shown)

    async def apply(self, changes: Sequence[RuleChange]) -> None:
        """Makes these changes in order. Raises UserError if the homeserver refuses one, and other ServerErrors."""
        from heliograph.homeserver.push_rules import change_push_rules

        # One at a time and in order: a rule has to be there before it can be switched.
        for number, change in enumerate(changes):
            try:
                await change_push_rules(self._session, change)
            except Refused as refusal:
                done = f" {number} of {len(changes)} steps are done." if number else ""
                raise UserError(
                    f"The homeserver {refusal}.{done}", _HINTS.get(refusal.errcode, _HINTS[""])
                ) from refusal


_HINTS = {
    "M_NOT_FOUND": "Another client may have changed it meanwhile: see `heliograph rules list`.",
    "M_UNRECOGNIZED": "This homeserver does not know such rules.",
    "": "See `heliograph rules list` for what is there, and change what it refuses.",
}


@contextlib.asynccontextmanager
async def open_rules(account: Account) -> AsyncIterator[RulesSession]:
    """A session with the account's push rules, for the length of the block. Raises UserError, SecretsLocked and
    ServerError; a Refusal that the block raises becomes a UserError."""
    from heliograph.homeserver.push_rules import fetch_push_rules

    async with open_session(account) as session:
        rules = (await fetch_push_rules(session))["global"]
        try:
            yield RulesSession(account, session, rules, await known_rooms(account.user_id))
        except Refusal as refusal:
            raise UserError(_plain(refusal.title), _plain(refusal.hint)) from refusal


def change_rules(
    user_id: str | None, plan: Callable[[RulesSession], Awaitable[tuple[Sequence[RuleChange], str]]]
) -> None:
    """Makes the changes that `plan` returns, and prints the sentence beside them, which says what holds now."""
    account = choose_account(user_id)

    async def change() -> tuple[bool, str]:
        async with open_rules(account) as rules:
            changes, sentence = await plan(rules)
            await rules.apply(changes)
            return bool(changes), sentence

    is_changed, sentence = asyncio.run(change())
    click.echo(clean_line(sentence if is_changed else f"Nothing to do: {sentence}", _LINE))


async def known_rooms(user_id: str) -> list[RoomFacts]:
    """The rooms that the ledger knows. Empty if the ledger cannot be read, as before the first `heliograph run`."""
    from heliograph.accounts import state_folder
    from heliograph.store.reader import open_readonly

    try:
        reader = await open_readonly(state_folder(user_id))
        try:
            return [record.facts for record in await reader.rooms()]
        finally:
            await reader.close()
    except (StateError, StorageError):
        return []


def _plain(text: str) -> str:
    return clean_line(text, _LINE)
