"""Serves the relay: its life from the first listening to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from heliograph import __version__
from heliograph.core.text.clean import count_things
from heliograph.errors import EXIT_OK
from heliograph.http.listener_log import listener_log
from heliograph.relay.config import RelayConfig
from heliograph.relay.listening import listen_at
from heliograph.relay.proxy.door import READ_AT_ONCE
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.settings import ConfigReload, LiveSettings
from heliograph.relay.wiring import Relay, open_relay
from heliograph.system import systemd
from heliograph.system.activation import take_sockets
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
