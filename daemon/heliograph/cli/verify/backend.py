"""Chooses who verifies: the running daemon, which has the device's keys, or this process if no daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from functools import partial

from heliograph.accounts import Account, state_folder
from heliograph.app.access_tokens import open_tokens
from heliograph.app.verification_api import VerificationApi
from heliograph.control.verification import VerificationClient, Verifying
from heliograph.core.ids import UserId
from heliograph.core.notification import Notification
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.olm.machine import Machine
from heliograph.errors import EXIT_NEEDS_LOGIN, LoggedOut, SecretsLocked, ServerError, UserError
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.session import Session
from heliograph.loops.keys import KeyLoop
from heliograph.ports.homeserver import SyncRequest
from heliograph.ports.notices import Cure
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from heliograph.store.ledger import SqliteLedger
from heliograph.system.clock import now_ms
from heliograph.system.tasks import keep_running, start

log = logging.getLogger(__name__)

_POLL_MS = 10_000
_AGAIN_S = 2.0
_PUBLISHED_LOOKS = 30


class _Unheard:
    """`ports.notices.Notices` of a verification in the terminal, where the command itself tells and asks."""

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None: ...
    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None: ...
    def withdraw(self, key: str) -> None: ...


@contextlib.asynccontextmanager
async def open_verifying(account: Account) -> AsyncIterator[Verifying]:
    """A `Verifying` for the length of the block. Raises UserError if neither the daemon nor this process can verify."""
    client = await VerificationClient.connect()
    if client is not None:
        try:
            yield client
        finally:
            client.close()
        return
    async with _alone(account) as verifying:
        yield verifying


@contextlib.asynccontextmanager
async def _alone(account: Account) -> AsyncIterator[Verifying]:
    """Verifies in this process, with as much of the daemon as that needs. To-device events are kept, and messages of
    rooms are left to the daemon's next start."""
    secret = await _load(account)
    folder, user_id = state_folder(account.user_id), account.user_id
    # Closed in reverse: the tasks first, which use all the others, and the ledger's lock last.
    async with contextlib.AsyncExitStack() as stack:
        # The ledger's lock keeps a daemon from using the same keys meanwhile.
        ledger = await SqliteLedger.open(folder)
        stack.push_async_callback(ledger.close)
        tokens = await open_tokens(account, secret)
        session = Session(account.homeserver, tokens=tokens, user_id=user_id, device_id=account.device_id)
        stack.push_async_callback(session.close)
        machine = await Machine.open(folder, user_id, account.device_id, secret.pickle_key, now_ms=now_ms())
        stack.push_async_callback(machine.close)
        keys = KeysClient(session)
        trust = DeviceTrust(keys, machine, _Unheard(), clock=now_ms)
        key_loop = KeyLoop(keys, machine, clock=now_ms, jitter=random.random, troubles=_Unheard())
        token = (await ledger.account()).next_batch
        syncing = partial(_sync, HomeserverClient(session), machine, key_loop, trust, token)
        tasks = [
            start(keep_running("sync", syncing), name="sync"),
            start(key_loop.run(), name="keys"),
            start(trust.run(), name="device trust"),
        ]
        stack.push_async_callback(_end, tasks)
        # Before other devices can verify this one, its keys have to be at the homeserver.
        await _wait_published(keys, user_id, account.device_id)
        trust.turn()
        signed_in: dict[str, DeviceTrust] = {user_id: trust}
        yield VerificationApi(signed_in.get)


async def _load(account: Account) -> Secret:
    store = open_secrets(account.secrets)
    try:
        # Not `load_secret`: for a person who waits at the terminal, a locked keyring has a cure of its own.
        text = await store.load(account.user_id)
    except SecretsLocked as error:
        raise UserError(f"The {store.name} is locked.", "Unlock it, then try again.") from error
    if text is None:
        raise UserError(
            f"The access token of {account.user_id} is gone from the {store.name}.",
            f"Log in again: heliograph login {account.user_id}",
            exit_code=EXIT_NEEDS_LOGIN,
        )
    return decode_secret(account.user_id, text, is_oauth=account.oauth is not None)


async def _sync(
    homeserver: HomeserverClient, machine: Machine, key_loop: KeyLoop, trust: DeviceTrust, token: str | None
) -> None:
    """Syncs for to-device events alone. The token in the ledger stays as it is: messages of rooms are not
    acknowledged."""
    while True:
        try:
            sync = await homeserver.sync(
                # As little of rooms as a filter can ask for: their messages are left to the daemon.
                SyncRequest(token, 0 if token is None else _POLL_MS, event_types=frozenset(), timeline_limit=1)
            )
        except LoggedOut:
            return
        except ServerError as trouble:
            log.info("Trying again: %s", trouble)
            await asyncio.sleep(_AGAIN_S)
            continue
        token = sync.next_batch
        if sync.to_device:
            # On disk before the next /sync acknowledges them: the homeserver then deletes them.
            trust.take_received((await machine.take(sync.to_device)).outcomes)
        key_loop.take_counts(sync.one_time_keys, sync.has_unused_fallback_key)


async def _wait_published(keys: KeysClient, user_id: UserId, device_id: str) -> None:
    try:
        for _ in range(_PUBLISHED_LOOKS):
            published = await keys.query_keys([user_id])
            if device_id in published.devices.get(user_id, {}):
                return
            await asyncio.sleep(0.5)
    except LoggedOut as gone:
        raise UserError(
            f"{user_id} is signed out.", f"Log in again: heliograph login {user_id}", exit_code=EXIT_NEEDS_LOGIN
        ) from gone
    except ServerError as trouble:
        raise UserError(f"The homeserver cannot be asked: {trouble}.", "Try again later.") from trouble
    raise UserError("The device's keys could not be published.", "Try again later, or see: heliograph run")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
