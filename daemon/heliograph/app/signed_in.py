"""One account while it is signed in: its clients, its Olm machine and its loops, from the access token to the sign-out.

Everything here is made anew with each sign-in, and again after a fault; `app.account` has what lasts longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any

from heliograph.accounts import Account, device_name, state_folder
from heliograph.app.account_status import compose_status
from heliograph.app.services import AccountServices
from heliograph.app.sync_listener import AccountSyncListener
from heliograph.config.settings import Config
from heliograph.core.connection import Connection, ConnectionState
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey
from heliograph.core.popups.actions import ActionRequest
from heliograph.core.pushers.fallback import fallback_pusher
from heliograph.core.pushers.handoff import HandoffSettings, Signs
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.identity.senders import Senders
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.sending import RoomSender
from heliograph.errors import LoggedOut, StorageError, UserError
from heliograph.gateways.relay import PushRelayClient
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.media import Media
from heliograph.homeserver.network import has_route
from heliograph.homeserver.room_actions import RoomActionsClient
from heliograph.homeserver.rooms import RoomsClient
from heliograph.homeserver.session import Session
from heliograph.loops.acknowledgements import AcknowledgementLoop
from heliograph.loops.actions import ActionRunner
from heliograph.loops.handoff import HandoffLoop
from heliograph.loops.keys import KeyLoop
from heliograph.loops.mutes import MuteLoop
from heliograph.loops.pushers import PusherLoop, own_pusher
from heliograph.loops.replies import ReplySender
from heliograph.loops.sync import SyncLoop, SyncSettings
from heliograph.ports.encryption import Encryption
from heliograph.ports.gateways import PushRelay
from heliograph.ports.homeserver import Features
from heliograph.secrets.secret import Secret
from heliograph.store.sign_out_file import forget_sign_out
from heliograph.system.clock import now_ms
from heliograph.system.tasks import start, start_beside

log = logging.getLogger(__name__)

LAST_ACTION_S = 2.0
"""How long the end waits for what the user wanted done: a reply that was just typed."""
NOT_TOLD = "no token for it; set it again: heliograph fallback set ... --relay URL"
"""Why the relay is not told what was shown."""


@contextlib.asynccontextmanager
async def open_signed_in(services: AccountServices, secret: Secret) -> AsyncIterator[SignedInAccount]:
    """The account, signed in as `secret` says. Its keys and connections are closed with the block, the newest first.

    Raises UserError if its keys cannot be read.
    """
    account = services.account
    async with contextlib.AsyncExitStack() as stack:
        machine = await Machine.open(
            state_folder(account.user_id), account.user_id, account.device_id, secret.pickle_key, now_ms=now_ms()
        )
        stack.push_async_callback(machine.close)
        relay = await stack.enter_async_context(_open_relay(services, secret))
        signed_in = SignedInAccount(services, secret, machine, relay)
        stack.push_async_callback(signed_in.close)
        yield signed_in


@contextlib.asynccontextmanager
async def _open_relay(services: AccountServices, secret: Secret) -> AsyncIterator[PushRelay | None]:
    """None: the fallback goes through no relay that is a gateway only."""
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


class SignedInAccount:
    """`run` syncs until the sign-out, `close` ends all that runs beside it. `relay` is one that is a gateway only."""

    def __init__(self, services: AccountServices, secret: Secret, machine: Machine, relay: PushRelay | None) -> None:
        self._services = services
        self._http = _connect(
            services.account, secret, on_progress=self._feed_watchdog, on_logged_out=self._check_token
        )
        homeserver, keys = HomeserverClient(self._http), KeysClient(self._http)
        self.fetch_picture = Media(self._http).thumbnail
        self._keys = KeyLoop(keys, machine, clock=now_ms, jitter=random.random, troubles=services.notices)
        self.trust = _make_trust(services, keys, machine, on_room_keys=self._unlock)
        self._sync = self._make_sync(homeserver, _make_encryption(services, keys, machine))
        self._mutes = MuteLoop(RoomActionsClient(self._http), services.ledger, clock=now_ms, jitter=random.random)
        sender = RoomSender(keys, machine, services.shared.config.encryption.send_to)
        self._actions = _make_actions(services, self._http, sender, self._mutes)
        lock = asyncio.Lock()
        self.handoff = self._make_handoff(homeserver, lock)
        self._pushers = self._make_pushers(homeserver, lock)
        self._acknowledgements = None if relay is None else self._make_acknowledgements(relay)
        self._tasks: list[asyncio.Task[Any]] = []
        self._token_check: asyncio.Task[object] | None = None
        """Asks whether the access token is still good."""
        self._was_connected = False

    # What is known of it

    @property
    def connection(self) -> ConnectionState:
        """How the account stands with its homeserver."""
        return self._sync.facts.connection

    @property
    def last_sync_ms(self) -> int | None:
        """When the latest sync of this sign-in was committed, in milliseconds since 1970; None: there was none."""
        return self._sync.facts.last_sync_ms

    @property
    def status(self) -> AccountStatus:
        """What its loops know now."""
        return compose_status(
            self._services.account,
            self._sync.facts,
            self._pushers,
            self.handoff.state,
            self.trust.standing,
            self._tell_relay(),
        )

    def _tell_relay(self) -> str:
        """What became of telling the relay, in words for the user."""
        if self._acknowledgements is not None:
            return self._acknowledgements.state
        return NOT_TOLD if self._services.shared.config.fallback.relay else "none"

    # From the daemon

    async def run(self) -> LoggedOut:
        """Runs until the homeserver has confirmed that this device is signed out, or until it is cancelled.

        Raises UserError if only the user can mend what is wrong.
        """
        with contextlib.suppress(StorageError):
            # What could not be read before the start may be in the key backup by now.
            self.trust.want({each.key for each in await self._services.ledger.locked_events(None)})
        loops = (self._pushers, self.handoff, self._keys, self.trust, self._mutes, self._acknowledgements)
        self._tasks += [start(each.run(), name=type(each).__name__) for each in loops if each is not None]
        try:
            return await self._sync.run()
        except UserError:
            await self.handoff.give_back()
            raise

    async def close(self) -> None:
        """What the user has asked for gets two seconds; then every loop and every connection ends."""
        await self._actions.finish(LAST_ACTION_S)
        tasks = self._tasks if self._token_check is None else [*self._tasks, self._token_check]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.close()

    def take_signs(self, signs: Signs) -> None:
        """Whether the user is here."""
        self.handoff.take_signs(signs)
        if self._acknowledgements is not None:
            self._acknowledgements.wake()

    def take_rang(self, rung: Sequence[Delivery]) -> None:
        """These were shown first just now."""
        self._acknowledge([each.event_id for each in rung])

    async def nudge(self, why: str) -> None:
        """The network or the machine came back."""
        self._mutes.look()
        await self._sync.nudge(why)

    async def do(self, request: ActionRequest) -> None:
        """Returns when it is done. Raises UserError if it is not."""
        await self._actions.do(request)

    def take_request(self, request: ActionRequest) -> None:
        """Has it done beside, and says so if that does not work."""
        self._actions.take(request)

    # From the loops

    def _check_token(self) -> None:
        """Some request was told that the access token is no longer good: the sync is to find out at once, and alone
        decides, since that is the account's matter. To every other loop it is one more answer to wait out.

        Tests: test_a_token_that_only_a_side_request_is_refused_ends_nothing,
        test_a_token_that_a_side_request_is_refused_is_asked_about_at_once.
        """
        if self._token_check is None or self._token_check.done():
            self._token_check = start_beside(self._sync.collect(), name="asking whether the token is good")

    def _take_turn(self) -> None:
        """The sync loop made a turn: what wakes with it looks whether it is time."""
        self._feed_watchdog()
        if self._is_connected():
            self._note_connected()
            self._pushers.turn()
            self.handoff.turn()
            self.trust.turn()
            if self._acknowledgements is not None:
                self._acknowledgements.turn()
        self._services.shared.on_change()

    def _note_connected(self) -> None:
        if not self._was_connected:
            self._was_connected = True
            forgetting = asyncio.to_thread(forget_sign_out, self._services.account.user_id)
            start_beside(forgetting, name="forgetting a sign-out")

    def _feed_watchdog(self) -> None:
        self._services.shared.watchdog.beat(self._services.account.user_id)

    def _acknowledge(self, event_ids: Sequence[EventKey]) -> None:
        if self._acknowledgements is not None:
            self._acknowledgements.take(event_ids)

    async def _unlock(self, room_keys: Collection[RoomKey]) -> None:
        await self._sync.unlock(room_keys)

    # What one loop knows and another asks for

    def _features(self) -> Features:
        return self._sync.facts.features

    def _is_connected(self) -> bool:
        return self.connection.state is Connection.CONNECTED

    def _hush(self, is_hushed: bool) -> None:
        while_away = self._services.shared.config.handoff.while_away
        self._services.delivery.hush(while_away if is_hushed else "ring")

    # How it is put together. Loops that tell one another do so through methods of this object.

    def _make_sync(self, homeserver: HomeserverClient, encryption: Encryption) -> SyncLoop:
        services, config = self._services, self._services.shared.config
        return SyncLoop(
            homeserver,
            services.ledger,
            encryption,
            SyncSettings(
                config.sync.poll_seconds,
                config.history.days,
                config.privacy.privacy,
                services.shared.sign_out_interval_s,
            ),
            AccountSyncListener(
                services.delivery,
                self._keys,
                self.trust,
                on_silent=self._acknowledge,
                on_alive=self._take_turn,
            ),
            clock=now_ms,
            jitter=random.random,
            troubles=services.notices,
            is_listing=lambda: self._pushers.is_listing,
            is_network_up=lambda: has_route(services.account.homeserver),
        )

    def _make_handoff(self, homeserver: HomeserverClient, lock: asyncio.Lock) -> HandoffLoop:
        services = self._services
        return HandoffLoop(
            homeserver,
            services.ledger,
            _handoff_settings(services.shared.config),
            _own_pusher(services).key,
            lock,
            features=self._features,
            account=lambda: self._sync.facts.account,
            collect=self._sync.collect,
            rest=services.delivery.rest,
            hush=self._hush,
        )

    def _make_pushers(self, homeserver: HomeserverClient, lock: asyncio.Lock) -> PusherLoop:
        services = self._services
        fallback = services.shared.config.fallback.fallback
        return PusherLoop(
            homeserver,
            services.ledger,
            _own_pusher(services),
            clock=now_ms,
            jitter=random.random,
            features=self._features,
            is_connected=self._is_connected,
            is_handed_over=lambda: self.handoff.is_handed_over,
            on_switch=lambda is_enabled: self._sync.take_pusher_switch(is_enabled=is_enabled),
            fallback=fallback_pusher(fallback, device_name()) if fallback is not None else None,
            lock=lock,
            on_pushers=self.handoff.take_pushers,
            troubles=services.notices,
        )

    def _make_acknowledgements(self, relay: PushRelay) -> AcknowledgementLoop:
        return AcknowledgementLoop(
            relay,
            is_present=lambda: self.handoff.state.rings_here,
            clock=now_ms,
            jitter=random.random,
            troubles=self._services.notices,
        )


def _connect(
    account: Account, secret: Secret, *, on_progress: Callable[[], None], on_logged_out: Callable[[], None]
) -> Session:
    return Session(
        account.homeserver,
        access_token=secret.access_token,
        user_id=account.user_id,
        device_id=account.device_id,
        on_progress=on_progress,
        on_logged_out=on_logged_out,
    )


def _make_trust(
    services: AccountServices,
    keys: KeysClient,
    machine: Machine,
    on_room_keys: Callable[[Collection[RoomKey]], Awaitable[None]],
) -> DeviceTrust:
    return DeviceTrust(keys, machine, services.notices, clock=now_ms, on_room_keys=on_room_keys)


def _make_encryption(services: AccountServices, keys: KeysClient, machine: Machine) -> Encryption:
    policy = services.shared.config.encryption.unverified_senders
    return machine if policy == "show" else Senders(machine, machine, keys, policy, clock=now_ms)


def _make_actions(services: AccountServices, http: Session, sender: RoomSender, mutes: MuteLoop) -> ActionRunner:
    return ActionRunner(
        RoomActionsClient(http),
        services.notices,
        services.delivery,
        services.shared.opener,
        reply=ReplySender(RoomsClient(http), services.ledger, sender).reply,
        mute=mutes.mute,
        has_public_receipts=services.shared.config.actions.receipts == "public",
    )


def _own_pusher(services: AccountServices) -> Pusher:
    return own_pusher(services.account.pushkey, device_name())


def _handoff_settings(config: Config) -> HandoffSettings:
    fallback = config.fallback.fallback
    return HandoffSettings(
        mode=config.handoff.mode,
        while_away=config.handoff.while_away,
        quiet=config.handoff.quiet,
        fallback=(fallback.app_id, fallback.pushkey) if fallback is not None else None,
    )
