"""The loops of one signed-in account, and what they tell and ask one another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from functools import partial

from heliograph.accounts import device_name
from heliograph.app.access_tokens import limit_poll, make_renewal
from heliograph.app.account_clients import AccountClients
from heliograph.app.services import AccountServices
from heliograph.app.sync_listener import AccountSyncListener
from heliograph.config.settings import Config
from heliograph.core.connection import Connection
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventId, EventKey, RoomId, is_event_id
from heliograph.core.pushers.fallback import fallback_pusher
from heliograph.core.pushers.handoff import HandoffSettings
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.homeserver.network import has_route
from heliograph.loops.acknowledgements import AcknowledgementLoop
from heliograph.loops.actions import ActionRunner
from heliograph.loops.handoff.loop import HandoffLoop
from heliograph.loops.keys import KeyLoop
from heliograph.loops.mutes import MuteLoop
from heliograph.loops.pushers import PusherLoop, own_pusher
from heliograph.loops.replies import ReplySender
from heliograph.loops.sync import SyncLoop, SyncSettings
from heliograph.ports.gateways import PushRelay
from heliograph.ports.homeserver import Features
from heliograph.ports.ledger import Ledger
from heliograph.system.clock import now_ms


class AccountLoops:
    """Made of the account's clients. No loop knows another: what one has to tell or to ask goes through this object."""

    def __init__(self, services: AccountServices, clients: AccountClients, *, on_turn: Callable[[], None]) -> None:
        """`on_turn` is called after each turn of the sync loop."""
        self._services = services
        self._clients = clients
        self.keys = KeyLoop(
            clients.keys, clients.machine, clock=now_ms, jitter=random.random, troubles=services.notices
        )
        self.trust = DeviceTrust(
            clients.keys, clients.machine, services.notices, clock=now_ms, on_room_keys=self._unlock
        )
        self.sync = self._make_sync(on_turn)
        self.mutes = MuteLoop(clients.room_actions, services.ledger, clock=now_ms, jitter=random.random)
        self.actions = self._make_actions()
        # Shared: both loops read the list of pushers and then set some, and would undo one another's changes.
        lock = asyncio.Lock()
        self.handoff = self._make_handoff(lock)
        self.pushers = self._make_pushers(lock)
        self.renewal = make_renewal(clients.tokens, random.random)
        self.acknowledgements = None if clients.relay is None else self._make_acknowledgements(clients.relay)

    @property
    def is_connected(self) -> bool:
        """True while the sync works."""
        return self.sync.facts.connection.state is Connection.CONNECTED

    def turn(self) -> None:
        """The sync loop made a turn that worked: what wakes with it looks whether it is time."""
        self.pushers.turn()
        self.handoff.turn()
        self.trust.turn()
        if self.renewal is not None:
            self.renewal.turn()
        if self.acknowledgements is not None:
            self.acknowledgements.turn()

    def acknowledge(self, event_ids: Sequence[EventKey]) -> None:
        """Tells the relay that these events need ring nowhere else: they were shown here, or rules keep them silent."""
        if self.acknowledgements is not None:
            self.acknowledgements.take(event_ids)

    # What one loop tells another, or asks

    async def _unlock(self, room_keys: Collection[RoomKey]) -> None:
        await self.sync.unlock(room_keys)

    def _features(self) -> Features:
        return self.sync.facts.features

    def _hush(self, is_hushed: bool) -> None:
        while_away = self._services.shared.config.handoff.while_away
        self._services.delivery.hush(while_away if is_hushed else "ring")

    # How each is made

    def _make_sync(self, on_turn: Callable[[], None]) -> SyncLoop:
        services, config = self._services, self._services.shared.config
        return SyncLoop(
            self._clients.homeserver,
            services.ledger,
            self._clients.encryption,
            SyncSettings(
                config.sync.poll_seconds,
                config.history.days,
                config.privacy.privacy,
                services.shared.sign_out_interval_s,
            ),
            AccountSyncListener(services.delivery, self.keys, self.trust, on_silent=self.acknowledge, on_alive=on_turn),
            clock=now_ms,
            jitter=random.random,
            troubles=services.notices,
            # Asked when it is needed, since the sync loop is made before the pushers'.
            is_listing=lambda: self.pushers.is_listing,
            is_network_up=lambda: has_route(services.account.homeserver),
            limit_poll=partial(limit_poll, self._clients.tokens),
        )

    def _make_actions(self) -> ActionRunner:
        services, clients = self._services, self._clients
        sender = ReplySender(clients.rooms, services.ledger, clients.sender)
        return ActionRunner(
            clients.room_actions,
            services.notices,
            services.delivery,
            services.shared.opener,
            reply=sender.reply,
            decline=sender.decline,
            mute=self.mutes.mute,
            unread_above=partial(_unread_above, services.ledger),
            has_public_receipts=services.shared.config.actions.receipts == "public",
        )

    def _make_handoff(self, lock: asyncio.Lock) -> HandoffLoop:
        services = self._services
        return HandoffLoop(
            self._clients.homeserver,
            services.ledger,
            _handoff_settings(services.shared.config),
            own_pusher(services.account.pushkey, device_name()).key,
            lock,
            self._clients.tokens,
            features=self._features,
            account=lambda: self.sync.facts.account,
            collect=self.sync.collect,
            rest=services.delivery.rest,
            hush=self._hush,
        )

    def _make_pushers(self, lock: asyncio.Lock) -> PusherLoop:
        services = self._services
        fallback = services.shared.config.fallback.fallback
        return PusherLoop(
            self._clients.homeserver,
            services.ledger,
            own_pusher(services.account.pushkey, device_name()),
            clock=now_ms,
            jitter=random.random,
            features=self._features,
            is_connected=lambda: self.is_connected,
            is_handed_over=lambda: self.handoff.is_handed_over,
            on_switch=lambda is_enabled: self.sync.take_pusher_switch(is_enabled=is_enabled),
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


def _handoff_settings(config: Config) -> HandoffSettings:
    fallback = config.fallback.fallback
    return HandoffSettings(
        mode=config.handoff.mode,
        while_away=config.handoff.while_away,
        quiet=config.handoff.quiet,
        fallback=(fallback.app_id, fallback.pushkey) if fallback is not None else None,
    )


async def _unread_above(ledger: Ledger, room_id: RoomId, event_id: EventId) -> list[EventId]:
    """What is unread in the room above this event, newest first. Raises StorageError."""
    position = (await ledger.positions([event_id])).get(event_id, 0)
    unread = await ledger.open_deliveries([room_id])
    return [each.event_id for each in reversed(unread) if each.position < position and is_event_id(each.event_id)]
