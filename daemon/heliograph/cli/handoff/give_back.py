"""Gives other devices back their voice after a daemon that could not: what the service's ExecStopPost does,
and heliograph-leave.service where that was killed, too. Done twice it does nothing the second time: what is on already
is not sent again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from heliograph.accounts import Account, list_accounts, state_folder
from heliograph.core.finding import Finding, bad, good
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.text.clean import clean_line, count_things
from heliograph.errors import SecretsLocked, ServerError, StorageError, UserError
from heliograph.store.ledger import LEDGER_NAME, SqliteLedger
from heliograph.store.lock import is_held

PATIENCE_S = 10.0
"""For one account: below the unit's TimeoutStopSec."""

IN_FLIGHT_S = 0.5
"""How long a request of the daemon may take to be obeyed after the daemon itself was killed."""


async def leave_all() -> list[Finding]:
    """What was done, or could not be, for each account that has something switched off."""
    findings = await asyncio.gather(*(_leave(account) for account in list_accounts()))
    return [finding for finding in findings if finding is not None]


async def give_back(account: Account) -> int | None:
    """How many pushers were switched on again. None: none was off. Raises UserError (also if a daemon runs for the
    account), ServerError, StorageError, SecretsLocked and TimeoutError.
    """
    folder = state_folder(account.user_id)
    if not await asyncio.to_thread((folder / LEDGER_NAME).exists):
        return None
    ledger = await SqliteLedger.open(folder, is_leaving=True)
    try:
        switched_off = (await ledger.account()).switched_off
        return await _switch_on(account, ledger, switched_off) if switched_off else None
    finally:
        await ledger.close()


async def _leave(account: Account) -> Finding | None:
    if is_held(state_folder(account.user_id)) is not None:
        return good(f"{account.user_id}: Heliograph runs, and hands over by itself.")
    try:
        count = await give_back(account)
    except TimeoutError:
        return bad(f"{account.user_id}: no answer in time, what is silent stays silent.")
    except (UserError, ServerError, StorageError, SecretsLocked) as error:
        return bad(f"{account.user_id}: {clean_line(str(error), 300)}")
    if count is None:
        return None
    return good(f"{account.user_id}: {count_things(count, 'pusher')} switched on again.")


async def _switch_on(account: Account, ledger: SqliteLedger, switched_off: frozenset[PusherKey]) -> int:
    from heliograph.cli.accounts.signed_in import open_session
    from heliograph.homeserver.client import HomeserverClient

    # Our own direct pusher is taken back by the daemon: while nobody syncs, no relay waits for it.
    own = {key for key in switched_off if key[1] == account.pushkey}
    switched_on = set()
    # Not around the imports, which take their time when the machine goes down.
    async with asyncio.timeout(PATIENCE_S), open_session(account) as session:
        homeserver = HomeserverClient(session)
        for is_last in (False, True):
            for pusher in await homeserver.pushers():
                if pusher.key in switched_off - own and not pusher.is_enabled:
                    await homeserver.set_pusher(replace(pusher, is_enabled=True))
                    switched_on.add(pusher.key)
            if not is_last:
                await asyncio.sleep(IN_FLIGHT_S)
    await ledger.set_switched_off(own)
    return len(switched_on)
