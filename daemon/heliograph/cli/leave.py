"""Gives other devices back their voice after a daemon that could not: what the service's ExecStopPost does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from heliograph.accounts import Account, list_accounts, state_folder
from heliograph.core.fallback import Finding
from heliograph.core.pusher import PusherKey
from heliograph.core.text import clean_line
from heliograph.errors import SecretsLocked, ServerError, StateError, StorageError, UserError
from heliograph.store.ledger import SqliteLedger, open_readonly
from heliograph.store.lock import is_held

PATIENCE_S = 10.0
"""For one account: below the unit's TimeoutStopSec."""


async def leave_all() -> list[Finding]:
    """What was done, or could not be, for each account that had something switched off."""
    findings = await asyncio.gather(*(_leave(account) for account in list_accounts()))
    return [finding for finding in findings if finding is not None]


async def give_back(account: Account) -> int | None:
    """How many pushers were switched on again. None: none was off. Raises UserError, ServerError, StorageError,
    SecretsLocked and TimeoutError. Only while no daemon runs for the account.
    """
    async with asyncio.timeout(PATIENCE_S):
        return await _switch_on(account) if await _switched_off(account) else None


async def _leave(account: Account) -> Finding | None:
    try:
        if is_held(state_folder(account.user_id)) is None:
            count = await give_back(account)
        else:
            count = None
            if await _switched_off(account):
                return Finding(True, f"{account.user_id}: Heliograph runs, and hands over by itself.")
    except TimeoutError:
        return Finding(False, f"{account.user_id}: no answer in time, what is silent stays silent.")
    except (UserError, ServerError, StorageError, SecretsLocked) as error:
        return Finding(False, f"{account.user_id}: {clean_line(str(error), 300)}")
    if count is None:
        return None
    return Finding(True, f"{account.user_id}: {count} {'pusher' if count == 1 else 'pushers'} switched on again.")


async def _switched_off(account: Account) -> frozenset[PusherKey]:
    try:
        reader = await open_readonly(state_folder(account.user_id))
    except StateError:
        # It never ran, or the daemon that writes it is another version: nothing that could be read here.
        return frozenset()
    try:
        return (await reader.account()).switched_off
    finally:
        await reader.close()


async def _switch_on(account: Account) -> int:
    from heliograph.cli.signed_in import open_session
    from heliograph.homeserver.client import HomeserverClient

    ledger = await SqliteLedger.open(state_folder(account.user_id))
    try:
        async with open_session(account) as session:
            homeserver = HomeserverClient(session)
            switched_off = (await ledger.account()).switched_off
            # Our own direct pusher is taken back by the daemon: while nobody syncs, no relay waits for it.
            own = {key for key in switched_off if key[1] == account.pushkey}
            count = 0
            for pusher in await homeserver.pushers():
                if pusher.key in switched_off - own and not pusher.is_enabled:
                    await homeserver.set_pusher(replace(pusher, is_enabled=True))
                    count += 1
            await ledger.set_switched_off(own)
    finally:
        await ledger.close()
    return count
