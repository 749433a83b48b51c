"""Proves that the homeserver reaches the relay's gateway, and that clients are led through the relay."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from multidict import CIMultiDict

from heliograph.core.finding import Finding, bad, doubtful, good
from heliograph.relay.check.asking import ask, outcome_of, text_in
from heliograph.relay.check.leaving import look_at_leaving
from heliograph.relay.check.probe import APP_ID, ProbeRoom, a_room, look_whether_it_pushes
from heliograph.relay.check.public import domain_of, find_public_url, look_at_public, look_at_signing_in
from heliograph.relay.check.signing_in import Credentials, SignedIn, has_authentication_service, sign_in
from heliograph.relay.config import RelayConfig
from heliograph.relay.gateway.notify import UNKNOWN_PUSHKEY
from heliograph.relay.monitoring import MET_PATH
from heliograph.relay.proxy.upstream import FAILURES, Upstream
from heliograph.relay.proxy.versions import DIRECT_PUSH
from heliograph.system.clock import now_ms


async def check_relay(
    config: RelayConfig, credentials: Credentials, public_url: str = "", folder: Path | None = None
) -> AsyncIterator[Finding]:
    """Yields findings along the way of a push, up to the first that blocks it; then those of the public address, and
    what leaving would do.

    `public_url`: where clients reach the homeserver; empty: where the user's domain says. `folder` has relay.db; None:
    that is not looked at. Nothing is left at the homeserver.
    """
    async for finding in _check_ways(config, credentials, public_url):
        yield finding
    if folder is not None:
        yield await look_at_leaving(folder, now_ms(), is_gateway_only=config.gateway_only)


async def _check_ways(config: RelayConfig, credentials: Credentials, public_url: str) -> AsyncIterator[Finding]:
    host, port = config.reachable_address
    # The gateway is asked by its own URL: behind a proxy it may stand elsewhere than `listen`.
    gateway = urlsplit(config.notify_url)
    async with contextlib.AsyncExitStack() as stack:
        homeserver = await _open(stack, config.homeserver)
        relay = await _open(stack, f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        beside = await _open(stack, f"{gateway.scheme}://{gateway.netloc}")
        yield (finding := await _look_at_homeserver(config, homeserver))
        if not finding.is_good:
            return
        yield (finding := await _look_at_relay(config, relay))
        if not finding.is_good:
            return
        # A bad answer blocks nothing here: the homeserver may reach
        # the gateway by a network that this machine does not.
        yield await _look_at_gateway(config, beside, gateway.path)
        public_url = public_url or await find_public_url(domain_of(credentials.user))
        public = await _open(stack, public_url) if public_url else None
        signed_in = await sign_in(homeserver, public, credentials)
        if isinstance(signed_in, Finding):
            yield signed_in
            return
        stack.push_async_callback(signed_in.leave)
        room = await stack.enter_async_context(a_room(homeserver, signed_in.authorization))
        if isinstance(room, Finding):
            yield room
            return
        yield await look_whether_it_pushes(config, homeserver, relay, signed_in.authorization, room)
        if not config.gateway_only:
            async for finding in _look_past_the_proxy(public_url, homeserver, relay, signed_in, room):
                yield finding


async def _open(stack: contextlib.AsyncExitStack, url: str) -> Upstream:
    server = Upstream(url)
    stack.push_async_callback(server.close)
    return server


async def _look_at_homeserver(config: RelayConfig, homeserver: Upstream) -> Finding:
    versions = await ask(homeserver, "GET", "/_matrix/client/versions")
    if versions is None or not isinstance(versions.json().get("versions"), list):
        return bad(
            f"No homeserver answers at {config.homeserver}: GET /versions: {outcome_of(versions)}.",
            "Is `homeserver` right?",
        )
    if (await _name_of(homeserver)).startswith("Synapse/"):
        return good(
            f"The homeserver answers at {config.homeserver}, as one process of Synapse. If yours has workers, "
            "`homeserver` should lead to all of them: docs/relay.md."
        )
    return good(f"The homeserver answers at {config.homeserver}.")


async def _name_of(homeserver: Upstream) -> str:
    """What answers there, as the header `Server` has it."""
    try:
        answer = await homeserver.open("GET", "/_matrix/client/versions", CIMultiDict())
    except FAILURES:
        return ""
    answer.release()
    return str(answer.headers.get("Server", ""))


async def _look_at_relay(config: RelayConfig, relay: Upstream) -> Finding:
    answer = await ask(relay, "GET", f"{MET_PATH}/nobody")
    if answer is None:
        return bad(f"No relay answers at {config.listen}.", "Start it: systemctl start heliograph-relay")
    if answer.json().get("met") is not False:
        return bad(
            f"What answers at {config.listen} is no relay ({outcome_of(answer)}).",
            "Is `listen` right? ss -ltnp says what has that port.",
        )
    if config.gateway_only:
        return good(f"The relay answers at {config.listen}, as a gateway only.")
    versions = await ask(relay, "GET", "/_matrix/client/versions")
    flags = versions.json().get("unstable_features") if versions is not None else None
    if isinstance(flags, Mapping) and flags.get(DIRECT_PUSH) is True:
        return good(f"The relay answers at {config.listen}, and offers direct push.")
    return bad(
        f"The relay at {config.listen} does not offer direct push: GET /versions: {outcome_of(versions)}.",
        "Is its `homeserver` the same?",
    )


async def _look_at_gateway(config: RelayConfig, gateway: Upstream, path: str) -> Finding:
    pushkey = secrets.token_urlsafe(16)
    push = {"notification": {"devices": [{"app_id": APP_ID, "pushkey": pushkey}]}}
    answer = await ask(gateway, "POST", path, body=push)
    # Only the relay says so of a pushkey that nobody knows.
    if text_in(answer, "errcode") == UNKNOWN_PUSHKEY:
        return good(f"The gateway answers at {config.notify_url}.")
    return bad(
        f"The gateway does not answer this machine at {config.notify_url} ({outcome_of(answer)}).",
        "Is `gateway_url` right? If the homeserver reaches another network than this machine does, go on reading.",
    )


async def _look_past_the_proxy(
    url: str, homeserver: Upstream, relay: Upstream, signed_in: SignedIn, room: ProbeRoom
) -> AsyncIterator[Finding]:
    domain = domain_of(signed_in.user_id)
    url = url or await find_public_url(domain)
    if not url:
        yield doubtful(
            f"Whether clients are led through the relay was not looked at: {domain} does not tell the homeserver's "
            "public address in /.well-known/matrix/client.",
            "Give it: --public-url https://matrix.example.org",
        )
        return
    public = Upstream(url)
    try:
        async for finding in look_at_public(url, public, relay, signed_in, room):
            yield finding
        if await has_authentication_service(homeserver):
            yield await look_at_signing_in(url, public)
    finally:
        await public.close()
