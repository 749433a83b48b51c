"""Finds out which rooms the names in the configuration stand for, by what the ledgers know when the daemon starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from heliograph.accounts import Account, state_folder
from heliograph.config.names import Resolved, resolve_names, with_ids
from heliograph.config.settings import Config
from heliograph.core.room import RoomFacts
from heliograph.errors import StateError, StorageError

log = logging.getLogger(__name__)


async def read_names(config: Config, accounts: Sequence[Account]) -> Resolved:
    """The rooms for the names in the configuration. An account whose ledger cannot be read has none."""
    rooms = {account.user_id: await _rooms_of(account) for account in accounts}
    return resolve_names(config, rooms)


async def with_named_rooms(config: Config, accounts: Sequence[Account]) -> Config:
    """The configuration with the ids of the rooms that it names. They hold until the daemon ends.

    Names are looked up no more after that: by a join or a rename, a stranger's room would get what the name grants, and
    be the only one of that name that the ledger knows. Hiding needs no id: any room is hidden while it has the name.
    Tests: test_a_name_in_the_configuration_stands_for_the_room_that_has_it_at_the_start,
    test_a_room_that_takes_a_configured_name_later_is_hidden_by_it_and_granted_nothing.
    """
    resolved = await read_names(config, accounts)
    for name, found in resolved.items():
        if not found:
            log.info("No room, or more than one, is called %.100r in the configuration", name)
    return with_ids(config, resolved)


async def _rooms_of(account: Account) -> Sequence[RoomFacts]:
    # Only now, so that `heliograph config` loads no database unless there is an account.
    from heliograph.store.ledger import LEDGER_NAME
    from heliograph.store.reader import open_readonly

    folder = state_folder(account.user_id)
    if not await asyncio.to_thread((folder / LEDGER_NAME).exists):
        return ()
    try:
        ledger = await open_readonly(folder)
        try:
            return [record.facts for record in await ledger.rooms()]
        finally:
            await ledger.close()
    except (StateError, StorageError) as error:
        log.info("The rooms of %s cannot be read: %s", account.user_id, error)
        return ()
