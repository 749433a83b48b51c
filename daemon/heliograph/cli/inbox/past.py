"""Reads from the ledgers which messages rang before, and erases that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from heliograph.accounts import Account, state_folder
from heliograph.control.client import ask, ask_property
from heliograph.core.ids import is_user_id
from heliograph.core.summary.unread import Rung, newest_first
from heliograph.errors import UserError
from heliograph.store.ledger import LEDGER_NAME, SqliteLedger
from heliograph.store.lock import is_held
from heliograph.store.reader import LedgerReader, open_readonly


async def read_history(accounts: Sequence[Account], limit: int) -> list[tuple[str, Rung]]:
    """The last `limit` messages that rang, newest first, each with its account's user id. An account that never ran has
    none. Raises StateError for a ledger that cannot be read."""
    found: dict[str, list[Rung]] = {}
    for account in accounts:
        folder = state_folder(account.user_id)
        if not (folder / LEDGER_NAME).exists():
            continue
        ledger = await open_readonly(folder)
        try:
            rung = await ledger.history(limit)
            found[account.user_id] = [await _named(ledger, account, each) for each in rung]
        finally:
            await ledger.close()
    # Cut once more: each account gave up to `limit`, as all of the newest may be of one account.
    return newest_first(found)[:limit]


async def _named(ledger: LedgerReader, account: Account, rung: Rung) -> Rung:
    """The message with names of room and sender. The ledger erases them together with the text, but knows the names of
    the room's members still."""
    senders = [rung.sender] if is_user_id(rung.sender) else []
    record = await ledger.room(rung.room_id, senders)
    if record is None:
        return rung
    facts = record.facts
    named = replace(rung, sender_name=facts.name_of(rung.sender) if facts.names.get(rung.sender) else "")
    is_known = facts.heroes or facts.canonical_alias
    return replace(named, title=facts.title(account.user_id)) if rung.title == rung.room_id and is_known else named


async def erase_history(accounts: Sequence[Account], *, with_unread: bool) -> int:
    """Erases the history, by the running daemon if there is one, else here. Returns the number of messages. Raises
    UserError."""
    folders = [state_folder(account.user_id) for account in accounts]
    # A running daemon has the ledgers locked.
    if any(is_held(folder) is not None for folder in folders):
        return int(await ask("EraseHistory", "b", with_unread))
    count = 0
    for folder in folders:
        if (folder / LEDGER_NAME).exists():
            count += await _erase(await SqliteLedger.open(folder, is_leaving=True), with_unread=with_unread)
    return count


async def _erase(ledger: SqliteLedger, *, with_unread: bool) -> int:
    try:
        return await ledger.erase_history(with_unread=with_unread)
    finally:
        await ledger.close()


async def ask_quiet() -> str:
    """Why nothing pops up now, in words; "" if it is not quiet, or no daemon answers."""
    try:
        return str(await ask_property("QuietReason") or "")
    except UserError:
        return ""
