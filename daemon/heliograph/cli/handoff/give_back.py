"""Switches the pushers of other devices on again after a daemon that was killed before it could.

The service's ExecStopPost does this, and heliograph-leave.service if that was killed as well. Done twice, the second
time does nothing: a pusher that is on is not sent again.

Tests: test_after_a_crash_the_service_gives_the_others_their_voice_back,
test_a_switch_that_was_on_its_way_when_the_daemon_was_killed_is_undone_too.
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
"""The longest wait for one account: below the unit's TimeoutStopSec, after which systemd kills this as well."""

IN_FLIGHT_S = 0.5
"""How long the homeserver may still be at work on a request of the daemon after the daemon was killed."""


async def leave_all() -> list[Finding]:
    """Switches on again for each account that has something switched off. Returns a finding for each of them."""
    # Side by side: one after the other, a homeserver that hangs would leave systemd no time for the others.
    findings = await asyncio.gather(*(_leave(account) for account in list_accounts()))
    return [finding for finding in findings if finding is not None]


async def give_back(account: Account) -> int | None:
    """Switches on again for one account. Returns the number of pushers that were switched on; None: none was off.
    Raises UserError (also if a daemon runs for the account), ServerError, StorageError, SecretsLocked and TimeoutError.
    """
    folder = state_folder(account.user_id)
    if not await asyncio.to_thread((folder / LEDGER_NAME).exists):
        return None
    # Said to be leaving, so that a daemon which starts meanwhile waits for the lock instead of giving up.
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

    # Our own direct pusher is left to the daemon: while nobody syncs, no relay waits for this desktop.
    own = {key for key in switched_off if key[1] == account.pushkey}
    switched_on = set()
    # The time-out begins after the imports, which take long while the machine goes down.
    async with asyncio.timeout(PATIENCE_S), open_session(account) as session:
        homeserver = HomeserverClient(session)
        # Twice: a request of the killed daemon may still be on its way, and switch off again what is on by now.
        for is_last in (False, True):
            for pusher in await homeserver.pushers():
                if pusher.key in switched_off - own and not pusher.is_enabled:
                    await homeserver.set_pusher(replace(pusher, is_enabled=True))
                    switched_on.add(pusher.key)
            if not is_last:
                await asyncio.sleep(IN_FLIGHT_S)
    # Forgotten only now: a kill in between has them switched on twice, and never left off.
    await ledger.set_switched_off(own)
    return len(switched_on)
