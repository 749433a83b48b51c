"""Reads the state of accounts from their ledgers, without changing them, for when no daemon answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from heliograph.accounts import Account, state_folder
from heliograph.cli.accounts.account_page import tell_sign_in
from heliograph.core.delivery import State
from heliograph.core.value_type import value_type
from heliograph.errors import StateError, StorageError
from heliograph.store.ledger import LEDGER_NAME
from heliograph.store.lock import is_held
from heliograph.store.reader import open_readonly
from heliograph.store.sign_out_file import sign_out_of


@value_type
class StoppedAccount:
    """The state of one account. `problem`: why the ledger tells nothing."""

    user_id: str
    homeserver: str
    pid: int | None = None
    """The id of the process that has the account but does not answer; 0: unknown; None: no process has it."""
    last_sync_ms: int | None = None
    pending: int = 0
    shown: int = 0
    silent: int = 0
    """The number of pushers that a killed daemon has left switched off."""
    problem: str | None = None
    signed_out: str | None = None
    """How the homeserver signed the device out (`SignOut`); None: the device is signed in."""
    sign_in: dict[str, Any] | None = None
    """As the running daemon has it (`core.status.SignInStatus`)."""

    def as_json(self) -> dict[str, Any]:
        """The state as JSON, under the names of the daemon's own status, as far as they are known."""
        return {"state": "not running" if self.pid is None else "not answering", **asdict(self)}


async def look_into_ledgers(accounts: Sequence[Account]) -> list[StoppedAccount]:
    """The state of each account, in their order, also of one whose ledger cannot be read."""
    return [replace(await _look(account), sign_in=await tell_sign_in(account)) for account in accounts]


async def _look(account: Account) -> StoppedAccount:
    folder = state_folder(account.user_id)
    pid = is_held(folder)
    how = sign_out_of(account)
    signed_out = how.value if how is not None else None
    if not (folder / LEDGER_NAME).exists():
        never = "never started yet"
        return StoppedAccount(account.user_id, account.homeserver, pid, problem=never, signed_out=signed_out)
    try:
        reader = await open_readonly(folder)
        try:
            state, counts = await reader.account(), await reader.counts()
        finally:
            await reader.close()
    except (StateError, StorageError) as error:
        return StoppedAccount(account.user_id, account.homeserver, pid, problem=str(error), signed_out=signed_out)
    return StoppedAccount(
        account.user_id,
        account.homeserver,
        pid,
        last_sync_ms=state.last_sync_ms or None,
        pending=counts.get(State.PENDING.value, 0),
        shown=counts.get(State.SHOWN.value, 0),
        signed_out=signed_out,
        # Our own pusher rings nowhere else: it is left to the daemon, as in `cli/handoff/give_back.py`.
        silent=sum(pushkey != account.pushkey for _, pushkey in state.switched_off),
    )
