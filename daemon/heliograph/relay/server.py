"""The relay as a whole: what it is made of, and its life from the first listening to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from heliograph import __version__
from heliograph.core.text.clean import count_things
from heliograph.errors import EXIT_CONFIG, EXIT_OK, UserError
from heliograph.http.listener_log import listener_log
from heliograph.relay.clock import Clock, WallClock
from heliograph.relay.config import RelayConfig
from heliograph.relay.gateway.desktops import Desktops
from heliograph.relay.gateway.notify import Gateway
from heliograph.relay.monitoring import MET_PATH, Monitoring, may_ask
from heliograph.relay.observers import RequestObservers
from heliograph.relay.proxy.callers import Callers
from heliograph.relay.proxy.proxy import Proxies, Proxy, refusal
from heliograph.relay.proxy.upstream import Upstream
from heliograph.relay.proxy.versions import Versions
from heliograph.relay.pushers.direct_devices import DirectDevices
from heliograph.relay.pushers.handler import Pushers
from heliograph.relay.pushers.twins import UpstreamTwins
from heliograph.relay.queue.forwarding import Forwarder
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.queue.targets import TargetPolicy, parse_networks
from heliograph.relay.routes import Router
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.state.connections import DeviceConnections
from heliograph.relay.state.registry import Registry
from heliograph.relay.store.sqlite.store import open_sqlite
from heliograph.relay.sync.handler import DirectSync
from heliograph.relay.sync.listing import Listing
from heliograph.relay.sync.response import SyncResponseBuilder
from heliograph.system import systemd
from heliograph.system.stop_signals import stop_on_signals
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

MAX_LINE = 32 * 1024
"""Of a request: filters are given in the URL."""
MAX_HEADER = 32 * 1024
GOODBYE_S = 3.0
"""How long requests may go on after the relay was asked to stop."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Relay:
    """The parts that others look at."""

    config: RelayConfig
    application: web.Application
    registry: Registry
    connections: DeviceConnections
    outbox: Outbox


@contextlib.asynccontextmanager
async def open_relay(config: RelayConfig, state: Path, clock: Clock | None = None) -> AsyncIterator[Relay]:
    """A relay that is ready to be served; the caller runs `outbox.run()`. Raises StateError, StorageError."""
    clock = clock or WallClock()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_sqlite(state))
        policy = TargetPolicy(parse_networks(config.allow_networks), config.allow_http_loopback)
        forwarder = Forwarder(policy)
        stack.push_async_callback(forwarder.close)
        registry = await Registry.load(store.pushers)
        carried = await CarriedNotifications.load(store.carried)
        outbox = await Outbox.open(store.pushes, registry, forwarder, clock)
        connections = DeviceConnections(registry, carried, clock.now_ms)
        proxies = Proxies(parse_networks(config.trusted_proxies))
        gateway = Gateway(registry, connections, outbox, clock, caller_of=proxies.client_of)
        application = web.Application()
        application.add_routes(gateway.routes())
        relay = Relay(config, application, registry, connections, outbox)
        if config.gateway_only:
            desktops = Desktops(
                {digest: user for user, digest in config.users.items()},
                registry,
                connections,
                outbox,
                clock,
                gateway_url=config.notify_url,
                refuses=policy.refusal,
                caller_of=proxies.client_of,
            )
            application.add_routes(desktops.routes())
            monitoring = Monitoring(registry, connections, outbox, gateway, None)
            rest = _not_found
        else:
            upstream = Upstream(config.homeserver)
            stack.push_async_callback(upstream.close)
            monitoring = Monitoring(registry, connections, outbox, gateway, upstream)
            rest = _stand_beside(upstream, relay, carried, clock, proxies, policy).handle
        _offer(application, monitoring, rest, proxies, Proxies(parse_networks(config.operators)))
        yield relay


def _stand_beside(
    upstream: Upstream,
    relay: Relay,
    carried: CarriedNotifications,
    clock: Clock,
    proxies: Proxies,
    policy: TargetPolicy,
) -> Router:
    """What is between the homeserver and its clients."""
    registry, connections, outbox = relay.registry, relay.connections, relay.outbox
    proxy = Proxy(upstream, proxies)
    callers = Callers(upstream, clock.now_ms)
    versions = Versions(upstream, proxy)
    listing = Listing(upstream, clock.now_ms)
    builder = SyncResponseBuilder(upstream, carried, connections, listing, outbox)
    sync = DirectSync(upstream, proxy, callers, registry, carried, connections, builder, outbox, clock.now_ms)
    twins = UpstreamTwins(upstream, registry, gateway_url=relay.config.notify_url, refuses=policy.refusal)
    direct = DirectDevices(carried, connections, listing, twins, clock.now_ms)
    pushers = Pushers(upstream, proxy, callers, registry, twins, direct, connections, versions, outbox)
    return Router(proxy, versions, sync, pushers, RequestObservers(proxy, callers, registry, carried, pushers, outbox))


def _offer(
    application: web.Application, monitoring: Monitoring, rest: Handler, proxies: Proxies, operators: Proxies
) -> None:
    """Health and metrics for operators, and `rest` for everything that nothing else answers."""

    def for_operators(answer: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await (answer if may_ask(request, proxies, operators) else rest)(request)

        return handle

    application.router.add_get("/health", for_operators(monitoring.health))
    application.router.add_get("/metrics", for_operators(monitoring.metrics))
    application.router.add_get(f"{MET_PATH}/{{pushkey}}", for_operators(monitoring.met))
    application.router.add_route("*", "/{path:.*}", rest)


async def _not_found(request: web.Request) -> web.StreamResponse:
    return refusal(404, "M_UNRECOGNIZED", "This is a push gateway, not a homeserver")


async def run(config: RelayConfig, state: Path, stop: asyncio.Event | None = None) -> int:
    """Serves until stopped. The exit code. Raises UserError if it cannot begin."""
    stop = stop or stop_on_signals()
    async with open_relay(config, state) as relay:
        runner = runner_of(relay)
        await runner.setup()
        try:
            await _listen(runner, config)
            whom = "desktops elsewhere" if config.gateway_only else config.homeserver
            known = count_things(relay.registry.users, "user is", "users are")
            log.info("Heliograph relay %s listens at %s for %s; %s known", __version__, config.listen, whom, known)
            gc.freeze()
            systemd.ready(f"at {config.listen} for {whom}")
            await _until_stopped(relay.outbox, stop)
            systemd.stopping()
        finally:
            await runner.cleanup()
    return EXIT_OK


def runner_of(relay: Relay, *, shutdown_timeout: float = GOODBYE_S) -> web.AppRunner:
    """What serves it."""
    return web.AppRunner(
        relay.application,
        # A client that goes away takes its long-poll at the homeserver with it.
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        logger=listener_log("heliograph.relay.requests"),
        max_line_size=MAX_LINE,
        max_field_size=MAX_HEADER,
        shutdown_timeout=shutdown_timeout,
    )


async def _listen(runner: web.AppRunner, config: RelayConfig) -> None:
    host, port = config.address
    try:
        await web.TCPSite(runner, host or None, port, backlog=1024, reuse_address=True).start()
    except OSError as error:
        raise UserError(
            f"The relay cannot listen at {config.listen}: {error.strerror or error}",
            "Choose another address with --listen, or stop what has it: ss -ltnp",
            exit_code=EXIT_CONFIG,
        ) from error


async def _until_stopped(outbox: Outbox, stop: asyncio.Event) -> None:
    sending = start(outbox.run(), name="pushes")
    stopping = start(stop.wait(), name="stop")
    try:
        await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, stopping):
            task.cancel()
        await asyncio.gather(sending, stopping, return_exceptions=True)
