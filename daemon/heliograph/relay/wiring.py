"""The relay as a whole: its parts wired together. `server` serves it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from heliograph.core.value_type import value_type
from heliograph.relay.clock import Clock, WallClock
from heliograph.relay.config import RelayConfig
from heliograph.relay.departure import Departure
from heliograph.relay.gateway.desktops import Desktops
from heliograph.relay.gateway.notify import Gateway
from heliograph.relay.gateway.tokens import UserTokens
from heliograph.relay.monitoring import MET_PATH, Monitoring, may_ask
from heliograph.relay.observers import RequestObservers
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.bodies import Bodies
from heliograph.relay.proxy.callers import Callers
from heliograph.relay.proxy.confirmation import Confirmation
from heliograph.relay.proxy.door import Door, DoorBounds, Handler
from heliograph.relay.proxy.encounters import Encounters
from heliograph.relay.proxy.goodbye import Goodbye
from heliograph.relay.proxy.proxy import Proxy, answer_expectation, refusal
from heliograph.relay.proxy.sliding import SlidingDevices
from heliograph.relay.proxy.upstream import Upstream
from heliograph.relay.proxy.versions import Versions
from heliograph.relay.pushers.direct import DirectPushers
from heliograph.relay.pushers.handler import PusherHandler
from heliograph.relay.pushers.http import HttpPushers
from heliograph.relay.pushers.pushers import UserPushers
from heliograph.relay.pushers.reconciliation import PusherReconciliation
from heliograph.relay.pushers.recovery import PusherRecovery
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.renewal import TwinRenewal
from heliograph.relay.pushers.restoration import PusherRestoration
from heliograph.relay.pushers.twins import UpstreamTwins
from heliograph.relay.pushers.upkeep import PusherUpkeep
from heliograph.relay.queue.forwarding import Forwarder
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.queue.targets import TargetPolicy
from heliograph.relay.routes import Router
from heliograph.relay.settings import LiveSettings
from heliograph.relay.state.state import RelayState
from heliograph.relay.store.lock import hold_folder
from heliograph.relay.store.sqlite.store import open_sqlite
from heliograph.relay.sync.acknowledgements import SyncAcknowledgements
from heliograph.relay.sync.grace import Grace
from heliograph.relay.sync.handler import DirectSync
from heliograph.relay.sync.listing import Listing
from heliograph.relay.sync.nudge import Nudge
from heliograph.relay.sync.reading import Reading
from heliograph.relay.sync.response import SyncResponseBuilder
from heliograph.relay.sync.rooms_left import RoomsLeft
from heliograph.relay.sync.synthesis import Synthesis
from heliograph.system.descriptors import raise_limit


@value_type
class Relay:
    """An open relay: the parts that its server and tests look at."""

    config: RelayConfig
    settings: LiveSettings
    application: web.Application
    monitor: web.Application
    """What answers at `config.monitor`."""
    door: Door
    state: RelayState
    outbox: Outbox
    goodbye: Goodbye


@contextlib.asynccontextmanager
async def open_relay(
    config: RelayConfig, folder: Path, clock: Clock | None = None, bounds: DoorBounds | None = None
) -> AsyncIterator[Relay]:
    """A relay that is ready to be served; the caller runs `outbox.run()`. `folder` has the database, and `bounds` are
    those of its connections.

    Raises StateError, StorageError.
    """
    clock, bounds = clock or WallClock(), bounds or DoorBounds.for_descriptors(raise_limit())
    settings = LiveSettings(config)
    policy = TargetPolicy(settings.allow_networks, config.allow_http_loopback)
    async with contextlib.AsyncExitStack() as stack:
        # Closed in reverse order: the database when nothing can write any more, and last the lock on its folder.
        stack.enter_context(hold_folder(folder))
        store = await stack.enter_async_context(open_sqlite(folder))
        forwarder = Forwarder(policy)
        stack.push_async_callback(forwarder.close)
        state = await RelayState.load(store, clock.now_ms)
        outbox = await Outbox.open(store.pushes, state.registry, forwarder, clock)
        await stack.enter_async_context(state.presence.kept_up())
        upstream: Upstream | None = None
        if not config.gateway_only:
            upstream = Upstream(config.homeserver)
            stack.push_async_callback(upstream.close)
        proxies = Proxies(settings.trusted_proxies)
        departure = await stack.enter_async_context(Departure.watched(folder))
        recovery = PusherRecovery(state.registry, gateway_url=config.notify_url, refuses=policy.refusal)
        bodies, removal = Bodies(proxies), PusherRemoval(state, outbox)
        goodbye = Goodbye()
        encounters = Encounters()
        parts = _Parts(
            config=config,
            settings=settings,
            clock=clock,
            policy=policy,
            proxies=proxies,
            state=state,
            outbox=outbox,
            removal=removal,
            recovery=recovery,
            departure=departure,
            goodbye=goodbye,
            written_ms=store.written_ms,
            encounters=encounters,
            bodies=bodies,
        )
        gateway = Gateway(
            state.registry,
            state,
            outbox,
            clock,
            recovery,
            bodies,
            is_trusted=Proxies(settings.operators).have_sent,
        )
        monitoring = Monitoring(state, outbox, gateway, upstream, encounters)
        door = Door(proxies, bounds)
        application = web.Application(middlewares=[door.greet])
        _serve(application, parts, upstream, gateway, monitoring)
        yield Relay(config, settings, application, _monitor(monitoring), door, state, outbox, goodbye)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of both kinds of relay: beside a homeserver, and a gateway only."""

    config: RelayConfig
    settings: LiveSettings
    clock: Clock
    policy: TargetPolicy
    proxies: Proxies
    state: RelayState
    outbox: Outbox
    removal: PusherRemoval
    recovery: PusherRecovery
    departure: Departure
    goodbye: Goodbye
    written_ms: int
    encounters: Encounters
    bodies: Bodies


def _serve(
    application: web.Application, parts: _Parts, upstream: Upstream | None, gateway: Gateway, monitoring: Monitoring
) -> None:
    """Gives the application every path of the relay. `upstream` is None where no homeserver is behind it."""
    application.on_response_prepare.append(parts.goodbye.note_answer)
    application.add_routes(gateway.routes())
    if upstream is None:
        application.add_routes(_take_desktops(parts).routes())
        rest: Handler = _not_found
    else:
        rest = _stand_beside(upstream, parts).handle
    _offer(application, monitoring, rest, parts)


def _take_desktops(parts: _Parts) -> Desktops:
    """The requests of desktops to a relay that is a gateway only."""
    return Desktops(
        UserTokens(parts.settings.users, parts.clock),
        parts.state,
        parts.removal,
        parts.outbox,
        parts.bodies,
        gateway_url=parts.config.notify_url,
        refuses=parts.policy.refusal,
    )


def _stand_beside(upstream: Upstream, parts: _Parts) -> Router:
    """The part of the relay that stands between the homeserver and its clients."""
    state, outbox, removal, now_ms = parts.state, parts.outbox, parts.removal, parts.clock.now_ms
    proxy = Proxy(upstream, parts.proxies)
    callers = Callers(upstream, now_ms)
    versions = Versions(upstream, proxy, parts.departure)
    listing = Listing(upstream, now_ms)
    sliding = SlidingDevices()
    reading = Reading(outbox, upstream)
    confirmation = Confirmation(upstream, now_ms)
    rooms_left = RoomsLeft(state, outbox, confirmation)
    builder = SyncResponseBuilder(state, outbox, listing, Synthesis(upstream), reading, rooms_left)
    twins = UpstreamTwins(
        upstream, state.registry, removal, gateway_url=parts.config.notify_url, refuses=parts.policy.refusal
    )
    direct = DirectPushers(state, twins, removal, listing, confirmation, sliding, now_ms)
    http = HttpPushers(state.registry, twins, direct, removal, parts.policy.refusal_of)
    restoration = PusherRestoration(parts.departure, state.registry, twins, direct, removal)
    reconciliation = PusherReconciliation(state.registry, twins, direct, removal, restoration)
    renewal = TwinRenewal(state, twins, listing, outbox, parts.written_ms, now_ms)
    pushers = UserPushers(
        state.registry, twins, direct, http, reconciliation, renewal, removal, now_ms, parts.recovery, parts.departure
    )
    upkeep = PusherUpkeep(callers, state.registry, pushers, parts.departure, parts.recovery, now_ms)
    acknowledgements = SyncAcknowledgements(callers, state, outbox, upkeep)
    sync = DirectSync(proxy, state, acknowledgements, builder, Nudge(upstream), Grace())
    handler = PusherHandler(proxy, callers, versions, state.registry, pushers, parts.bodies)
    observers = RequestObservers(
        proxy, callers, state, pushers, outbox, reading, confirmation, rooms_left, parts.bodies
    )
    return Router(proxy, versions, sync, handler, observers, upkeep, parts.goodbye, parts.encounters, sliding)


def _offer(application: web.Application, monitoring: Monitoring, rest: Handler, parts: _Parts) -> None:
    """Health and metrics for operators, and `rest` for everything that nothing else answers."""
    operators = Proxies(parts.settings.operators)

    def for_operators(answer: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await (answer if may_ask(request, parts.proxies, operators) else rest)(request)

        return handle

    application.router.add_get("/health", for_operators(monitoring.health))
    application.router.add_get("/metrics", for_operators(monitoring.metrics))
    application.router.add_get(f"{MET_PATH}/{{pushkey}}", monitoring.met)
    # Last, since aiohttp takes the first route that fits.
    application.router.add_route("*", "/{path:.*}", rest, expect_handler=answer_expectation)


def _monitor(monitoring: Monitoring) -> web.Application:
    application = web.Application()
    application.router.add_get("/health", monitoring.health)
    application.router.add_get("/metrics", monitoring.metrics)
    return application


async def _not_found(request: web.Request) -> web.StreamResponse:
    return refusal(404, "M_UNRECOGNIZED", "This is a push gateway, not a homeserver")
