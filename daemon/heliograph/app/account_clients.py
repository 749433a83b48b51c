"""What one signed-in account has of the world: its homeserver by several clients, its Olm machine, and its relay."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial

from heliograph.accounts import state_folder
from heliograph.app.services import AccountServices
from heliograph.core.value_type import value_type
from heliograph.encryption.identity.senders import Senders
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.sending import RoomSender
from heliograph.gateways.relay import PushRelayClient
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.media import Media
from heliograph.homeserver.room_actions import RoomActionsClient
from heliograph.homeserver.rooms import RoomsClient
from heliograph.homeserver.session import Session
from heliograph.ports.encryption import Encryption
from heliograph.ports.gateways import PushRelay
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets.secret import Secret
from heliograph.system.clock import now_ms

log = logging.getLogger(__name__)


@value_type
class AccountClients:
    """The clients of one sign-in. Those of the homeserver share the connections of `session`."""

    session: Session
    tokens: AccessTokens
    homeserver: HomeserverClient
    keys: KeysClient
    rooms: RoomsClient
    room_actions: RoomActionsClient
    media: Media
    machine: Machine
    encryption: Encryption
    """The machine, with what the user wants of unverified senders."""
    sender: RoomSender
    relay: PushRelay | None
    """A relay that is a gateway only; None: the fallback goes through no such relay."""


def make_clients(
    services: AccountServices,
    tokens: AccessTokens,
    machine: Machine,
    relay: PushRelay | None,
    *,
    on_logged_out: Callable[[], None],
) -> AccountClients:
    """`on_logged_out` is called when the homeserver says to any of them that the access token is no longer good."""
    account, config = services.account, services.shared.config.encryption
    session = Session(
        account.homeserver,
        tokens=tokens,
        user_id=account.user_id,
        device_id=account.device_id,
        on_progress=partial(services.shared.watchdog.beat, account.user_id),
        on_logged_out=on_logged_out,
    )
    keys, policy = KeysClient(session), config.unverified_senders
    return AccountClients(
        session,
        tokens,
        HomeserverClient(session),
        keys,
        RoomsClient(session),
        RoomActionsClient(session),
        Media(session),
        machine,
        machine if policy == "show" else Senders(machine, machine, keys, policy, clock=now_ms),
        RoomSender(keys, machine, config.send_to),
        relay,
    )


@contextlib.asynccontextmanager
async def open_machine(services: AccountServices, secret: Secret) -> AsyncIterator[Machine]:
    """The account's Olm machine, for the length of the block. Raises UserError if its keys cannot be read."""
    account = services.account
    machine = await Machine.open(
        state_folder(account.user_id),
        account.user_id,
        account.device_id,
        secret.pickle_key,
        now_ms=now_ms(),
        on_loss=lambda loss: services.notices.tell("The disk has damaged an encryption key", loss.value),
    )
    try:
        yield machine
    finally:
        await machine.close()


@contextlib.asynccontextmanager
async def open_relay(services: AccountServices, secret: Secret) -> AsyncIterator[PushRelay | None]:
    """The client of the relay, for the length of the block. None: the fallback goes through no relay that is a gateway
    only, or there is no token for that relay."""
    url = services.shared.config.fallback.relay
    if not url:
        yield None
        return
    if not secret.relay_token:
        log.warning("%s has no token for the relay %s: other devices ring, too", services.account.user_id, url)
        yield None
        return
    async with PushRelayClient(url, secret.relay_token, services.account.device_id) as relay:
        yield relay
