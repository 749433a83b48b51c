"""The relay as a whole: its parts wired together, and its life from the first listening to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from heliograph import __version__
from heliograph.core.text.clean import count_things
from heliograph.errors import EXIT_OK
from heliograph.http.listener_log import listener_log
from heliograph.relay.clock import Clock, WallClock
from heliograph.relay.config import RelayConfig
from heliograph.relay.departure import Departure
from heliograph.relay.gateway.desktops import Desktops
from heliograph.relay.gateway.notify import Gateway
from heliograph.relay.gateway.tokens import UserTokens
from heliograph.relay.listening import listen_at
from heliograph.relay.monitoring import MET_PATH, Monitoring, may_ask
from heliograph.relay.observers import RequestObservers
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.bodies import Bodies
from heliograph.relay.proxy.callers import Callers
from heliograph.relay.proxy.confirmation import Confirmation
from heliograph.relay.proxy.door import READ_AT_ONCE, Door, DoorBounds, Handler
from heliograph.relay.proxy.encounters import Encounters
from heliograph.relay.proxy.goodbye import Goodbye
from heliograph.relay.proxy.proxy import Proxy, answer_expectation, refusal
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
from heliograph.relay.settings import ConfigReload, LiveSettings
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
from heliograph.relay.sync.synthesis import Synthesis
from heliograph.system import systemd
from heliograph.system.activation import take_sockets
from heliograph.system.descriptors import raise_limit
from heliograph.system.hangup import note_hangups
from heliograph.system.log_floods import FloodFilter
from heliograph.system.logs import set_up_log
from heliograph.system.stop_signals import stop_on_signals
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

MAX_LINE = 32 * 1024
"""The longest first line of a request: filters are given in the URL."""
MAX_HEADER = 32 * 1024
IDLE_S = 180.0
"""How long a connection with nothing to do is kept. Reverse proxies keep one shorter, so that none sends a request at
the moment at which it is closed."""
LINGERING_S = 3.0
"""How long what is left of a refused body is thrown away, so that the client can read why."""
GOODBYE_S = 1.5
"""How long requests that do not merely wait may go on after the relay was asked to stop, twice: aiohttp waits for them,
then for their cancellation."""
LINGER_S = 0.1
"""For how long connections that are open are still served then: a request may be on its way."""


@dataclass(frozen=True, slots=True)
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
            config,
            settings,
            clock,
            policy,
            proxies,
            state,
            outbox,
            removal,
            recovery,
            departure,
            goodbye,
            store.written_ms,
            encounters,
            bodies,
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


@dataclass(frozen=True, slots=True)
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
    reading = Reading(outbox, upstream)
    builder = SyncResponseBuilder(state, outbox, listing, Synthesis(upstream), reading)
    twins = UpstreamTwins(
        upstream, state.registry, removal, gateway_url=parts.config.notify_url, refuses=parts.policy.refusal
    )
    direct = DirectPushers(state, twins, removal, listing, now_ms)
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
    confirmation = Confirmation(upstream, now_ms)
    observers = RequestObservers(proxy, callers, state, pushers, outbox, reading, confirmation, parts.bodies)
    return Router(proxy, versions, sync, handler, observers, upkeep, parts.goodbye, parts.encounters)


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


async def run_relay(config: RelayConfig, load: Callable[[], RelayConfig], folder: Path) -> int:
    """Serves until stopped, and returns the exit code. `load` reads the configuration again, on each SIGHUP.

    Raises UserError if the relay cannot begin.
    """
    given = take_sockets()
    stop = stop_on_signals()
    asked = note_hangups(stop)
    async with open_relay(config, folder) as relay, contextlib.AsyncExitStack() as stack:
        if config.monitor:
            await stack.enter_async_context(_serve_monitor(relay, await listen_at(config.monitor, "monitor")))
        await stack.enter_async_context(serve(relay, await listen_at(config.listen, given=given)))
        whom = "desktops elsewhere" if config.gateway_only else config.homeserver
        known = count_things(relay.state.registry.users, "user is", "users are")
        log.info("Heliograph relay %s listens at %s for %s; %s known", __version__, config.listen, whom, known)
        # What is loaded by now stays, so the collector need not look at it again.
        gc.freeze()
        # Once it listens: units that wait for the relay may connect from here on.
        systemd.ready(f"at {config.listen} for {whom}")
        reload = ConfigReload(config, load, partial(_take, relay.settings))
        # Pushes under way come to their end first, and everybody is served meanwhile.
        await _until_stopped(relay.outbox, reload.run(asked), stop)
        systemd.stopping()
        # Those who come to a socket of systemd's wait for the next process.
        relay.door.close()
        relay.goodbye.say()
        await asyncio.sleep(LINGER_S)
    return EXIT_OK


def _take(settings: LiveSettings, config: RelayConfig) -> None:
    settings.take(config)
    set_up_log(config.log_level, form=config.log_format, flood=FloodFilter())


@contextlib.asynccontextmanager
async def serve(
    relay: Relay, listeners: Sequence[socket.socket], *, goodbye_s: float = GOODBYE_S
) -> AsyncIterator[None]:
    """Serves an open relay at these sockets for as long as the block lasts, and closes them."""
    runner = web.AppRunner(
        relay.application,
        # A client that goes away takes its long-poll at the homeserver with it.
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        logger=listener_log("heliograph.relay.requests"),
        max_line_size=MAX_LINE,
        max_field_size=MAX_HEADER,
        read_bufsize=READ_AT_ONCE,
        keepalive_timeout=IDLE_S,
        lingering_time=LINGERING_S,
        shutdown_timeout=goodbye_s,
    )
    await runner.setup()
    assert runner.server is not None
    relay.door.open(listeners, runner.server)
    try:
        yield
    finally:
        relay.door.close()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _serve_monitor(relay: Relay, listeners: Sequence[socket.socket]) -> AsyncIterator[None]:
    runner = web.AppRunner(relay.monitor, access_log=None)
    await runner.setup()
    try:
        for listener in listeners:
            await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


async def _until_stopped(outbox: Outbox, reloading: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    sending = start(outbox.run(), name="pushes")
    stopping = start(stop.wait(), name="stop")
    beside = start(reloading, name="settings")
    try:
        await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            # Sending ends by itself only if the database is damaged, and raises what the relay ends with.
            sending.result()
    finally:
        for task in (sending, stopping, beside):
            task.cancel()
        await asyncio.gather(sending, stopping, beside, return_exceptions=True)
