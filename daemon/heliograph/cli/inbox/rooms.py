"""Loads the inbox, and has the daemon do something with one of its rooms."""

from __future__ import annotations

import difflib
import os
from typing import Any

from heliograph.accounts import list_accounts, state_folder
from heliograph.cli.inbox.numbering import find_number, number_rooms
from heliograph.control.client import ask, ask_inbox
from heliograph.core.summary.unread import MOST_MESSAGES, UnreadRoom, inbox_as_json
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.errors import EXIT_CONFIG, EXIT_USAGE, StateError, UserError

_TITLE = 100
MAX_SHOWN_TITLE = 30
"""The most characters of a room's name in the table."""


@value_type
class InboxListing:
    """The inbox as `--json` prints it, and sentences about what is missing in it."""

    inbox: dict[str, Any]
    problems: tuple[str, ...] = ()

    @property
    def rooms(self) -> list[dict[str, Any]]:
        """The rooms, each with its `number`, which is None if the disk did not keep the numbers."""
        rooms: list[dict[str, Any]] = self.inbox["rooms"]
        return rooms


async def load_inbox() -> InboxListing:
    """The inbox by the running daemon, or else by the ledgers. Raises UserError."""
    accounts = list_accounts()
    if not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    inbox = await ask_inbox()
    problems: list[str] = []
    if inbox is None:
        inbox, problems = await _read_ledgers([account.user_id for account in accounts])
    rooms = tables_in(inbox, "rooms")
    numbered = number_rooms([_key(room) for room in rooms])
    listed = [{"number": number, **room} for number, room in zip(numbered.numbers, rooms, strict=True)]
    if numbered.problem is not None:
        problems.append(
            f"Numbers of new rooms could not be kept: {numbered.problem}. "
            "Make room on the disk, or call a room by its name."
        )
    return InboxListing({**inbox, "rooms": listed}, tuple(problems))


async def act(member: str, room: str | None, *words: str) -> str:
    """Has the daemon do something with a room, which `room` names by number, name or id; None: the newest one with a
    highlight, or else the newest. Returns the room's name. Raises UserError.
    """
    # Found here and not by the daemon, since a number means what this machine's last listing showed.
    rooms = (await load_inbox()).rooms
    account, room_id, title = _most_important(rooms) if room is None else _find(rooms, room)
    if member == "Open":
        # The activation token that a bar or launcher got from the desktop lets the client come to the front.
        words = (os.environ.get("XDG_ACTIVATION_TOKEN", ""),)
    await ask(member, "ss" + "s" * len(words), account, room_id, *words)
    return title


def tables_in(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list `key`. All else is left out: the daemon may be of another version."""
    values = table.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


async def _read_ledgers(user_ids: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The inbox, and sentences about accounts that are missing in it."""
    from heliograph.store.ledger import LEDGER_NAME
    from heliograph.store.reader import open_readonly

    found: dict[str, tuple[UnreadRoom, ...]] = {}
    problems: list[str] = []
    for user_id in user_ids:
        folder = state_folder(user_id)
        if not (folder / LEDGER_NAME).exists():
            continue  # Not yet started.
        try:
            ledger = await open_readonly(folder)
        except StateError as error:
            problems.append(f"What {user_id} has unread is not known: {error}. {error.hint}")
            continue
        try:
            found[user_id] = await ledger.unread(MOST_MESSAGES)
        finally:
            await ledger.close()
    return inbox_as_json(found), problems


def _most_important(rooms: list[dict[str, Any]]) -> tuple[str, str, str]:
    if not rooms:
        raise UserError("Nothing is unread.", "Open your Matrix client itself.")
    return _described(next((room for room in rooms if room.get("highlights")), rooms[0]))


def _find(rooms: list[dict[str, Any]], wanted: str) -> tuple[str, str, str]:
    # Python refuses to read thousands of digits, and takes digits of other scripts; neither is a number of ours.
    key = find_number(int(wanted)) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 9 else None
    for room in rooms:
        if _key(room) == key or room.get("room_id") == wanted:
            return _described(room)
    if key is not None:
        # The room was read meanwhile and left the inbox; the user means it all the same.
        return (*key, key[1])
    return _described(_by_name(rooms, wanted))


def _by_name(rooms: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """The room of this name, in upper or lower case, in full or as the table shortens it. Raises UserError unless it is
    exactly one."""
    name = _folded(wanted)
    called = [room for room in rooms if name and name in (_folded(_title(room)), _folded(shown_title(room)))]
    if len(called) == 1:
        return called[0]
    what = clean_line(wanted, _TITLE)
    if called:
        raise UserError(
            f"Several rooms in the inbox are called {what!r}.",
            f"Give the number of one: {_listed(called)}.",
            exit_code=EXIT_USAGE,
        )
    like = [room for room in rooms if name and name in _folded(_title(room))]
    near = difflib.get_close_matches(name, [_folded(_title(room)) for room in rooms], n=3)
    # A part of the name is the better guess; misspelled names are looked at only if no name has it.
    like = like or [room for room in rooms if _folded(_title(room)) in near]
    hint = f"Did you mean {_listed(like)}?" if like else "See what is in it: heliograph inbox"
    raise UserError(f"There is no {what!r} in the inbox.", hint, exit_code=EXIT_USAGE)


def shown_title(room: dict[str, Any]) -> str:
    """The room's name, shortened for the table."""
    return clean_line(str(room.get("title")), MAX_SHOWN_TITLE) or "(no name)"


def _title(room: dict[str, Any]) -> str:
    return clean_line(str(room.get("title")), _TITLE)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _listed(rooms: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{_title(room)} ({room.get('room_id') if room['number'] is None else room['number']})" for room in rooms[:10]
    )


def _described(room: dict[str, Any]) -> tuple[str, str, str]:
    return (*_key(room), _title(room))


def _key(room: dict[str, Any]) -> tuple[str, str]:
    return str(room.get("account")), str(room.get("room_id"))
