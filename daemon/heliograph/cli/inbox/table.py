"""Writes the inbox and the history as tables. Strangers' texts are cleaned before they reach the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from heliograph.cli.inbox.rooms import shown_title, tables_in
from heliograph.cli.output.table import lay_out, terminal_width, word_time
from heliograph.core.delivery import State
from heliograph.core.summary.unread import Rung
from heliograph.core.text.clean import clean_line
from heliograph.system.clock import now_ms

_TITLE = 30
_SENDER = 120
"""Characters. Longer than a title, so that a user id beside a name is not cut off."""
_TEXT = 300


def show_inbox(rooms: Sequence[dict[str, Any]], *, all_messages: bool) -> Iterator[str]:
    """The inbox as lines: number, room, unread messages, the newest text. `all_messages`: the texts of all of them."""
    if not rooms:
        yield "Nothing is unread."
        return
    has_accounts = len({room.get("account") for room in rooms}) > 1
    rows = [row for room in rooms for row in _room_rows(room, all_messages=all_messages, has_accounts=has_accounts)]
    yield from lay_out(rows, terminal_width())


def _room_rows(room: dict[str, Any], *, all_messages: bool, has_accounts: bool) -> Iterator[Sequence[str]]:
    messages = tables_in(room, "messages")
    mark = "@" if room.get("highlights") else " "
    title = shown_title(room)
    account = [clean_line(str(room.get("account")), _TITLE)] if has_accounts else []
    shown = messages if all_messages else messages[-1:]
    number = room.get("number")
    head = ["-" if number is None else str(number), f"{mark}{room.get('unread')}", *account, title]
    # Beyond the most messages that an inbox tells, rooms come without any: they are listed even so.
    for message in reversed(shown) if shown else [{}]:
        yield [*head, _when(message.get("sent_ms")), _say(message)]
        head = [""] * len(head)


def _say(message: dict[str, Any]) -> str:
    text = clean_line(str(message.get("text", "")), _TEXT)
    sender = clean_line(str(message.get("sender_name") or ""), _SENDER)
    return f"{sender}: {text}" if sender else text


def show_history(rung: Sequence[tuple[str, Rung]], *, has_accounts: bool, quiet: str = "") -> Iterator[str]:
    """The history as lines: when, where, from whom, and what became of it. `quiet`: why nothing pops up now."""
    if not rung:
        yield "Nothing rang yet."
        return
    rows = []
    for account, each in rung:
        became = _became(each, quiet)
        where = [clean_line(account, _TITLE)] if has_accounts else []
        who = clean_line(each.sender_name or each.sender, _SENDER)
        rows.append([_when(each.sent_ms), *where, clean_line(each.title, _TITLE), who, became])
    yield from lay_out(rows, terminal_width())


def _became(rung: Rung, quiet: str) -> str:
    """What became of a message, and the reason unless that is the same word."""
    state, why = rung.state.value, clean_line(rung.why, _TEXT)
    if rung.state is State.PENDING:
        return f"held back: {why or quiet}" if why or quiet else "waits to be shown"
    return state if why in ("", state) else f"{state} ({why})"


def _when(ms: object) -> str:
    return word_time(ms, now_ms()) if isinstance(ms, int) else "?"
