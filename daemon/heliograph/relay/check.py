"""Proves that the homeserver reaches the relay's gateway.

A pusher that nobody knows is registered for a moment, and made to fire by reading an event of one's own. The relay
tells whether its pushkey came.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from heliograph.core.finding import Finding, bad, good
from heliograph.relay.config import RelayConfig
from heliograph.relay.gateway.notify import UNKNOWN_PUSHKEY
from heliograph.relay.monitoring import MET_PATH
from heliograph.relay.proxy.upstream import Answer, NotAnswered, Upstream
from heliograph.relay.proxy.versions import DIRECT_PUSH

APP_ID = "io.github.heliograph.check"
LOOKS = 40
PAUSE_S = 0.5
_API = "/_matrix/client/v3"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access token, or a user's password to get one with."""

    token: str = ""
    user: str = ""
    password: str = ""


async def check_relay(config: RelayConfig, credentials: Credentials) -> AsyncIterator[Finding]:
    """Yields findings along the way of a push, up to the first that blocks it. Nothing is left at the homeserver."""
    homeserver = Upstream(config.homeserver)
    host, port = config.reachable_address
    relay = Upstream(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    # The gateway is asked by its own URL: behind a proxy it may stand elsewhere than `listen`.
    gateway = urlsplit(config.notify_url)
    beside = Upstream(f"{gateway.scheme}://{gateway.netloc}")
    try:
        versions = await _ask(homeserver, "GET", "/_matrix/client/versions")
        if versions is None or not isinstance(versions.json().get("versions"), list):
            yield bad(f"No homeserver answers at {config.homeserver}.", "Is `homeserver` right?")
            return
        yield good(f"The homeserver answers at {config.homeserver}.")
        yield (finding := await _look_at_relay(config, relay))
        if not finding.is_good:
            return
        # A bad answer blocks nothing here: the homeserver may reach
        # the gateway by a network that this machine does not.
        yield await _look_at_gateway(config, beside, gateway.path)
        signed_in = await _sign_in(homeserver, credentials)
        if isinstance(signed_in, Finding):
            yield signed_in
            return
        try:
            yield await _prove(config, homeserver, relay, signed_in)
        finally:
            if not credentials.token:
                # A token that the user gave stays valid.
                await _ask(homeserver, "POST", f"{_API}/logout", signed_in, {})
    finally:
        for server in (homeserver, relay, beside):
            await server.close()


async def _look_at_relay(config: RelayConfig, relay: Upstream) -> Finding:
    answer = await _ask(relay, "GET", f"{MET_PATH}/nobody")
    if answer is None:
        return bad(f"No relay answers at {config.listen}.", "Start it: systemctl start heliograph-relay")
    if answer.json().get("met") is not False:
        return bad(
            f"What answers at {config.listen} is no relay.",
            "Is `listen` right? ss -ltnp says what has that port.",
        )
    if config.gateway_only:
        return good(f"The relay answers at {config.listen}, as a gateway only.")
    versions = await _ask(relay, "GET", "/_matrix/client/versions")
    flags = versions.json().get("unstable_features") if versions is not None else None
    if isinstance(flags, Mapping) and flags.get(DIRECT_PUSH) is True:
        return good(f"The relay answers at {config.listen}, and offers direct push.")
    return bad(f"The relay at {config.listen} does not offer direct push.", "Is its `homeserver` the same?")


async def _look_at_gateway(config: RelayConfig, gateway: Upstream, path: str) -> Finding:
    pushkey = secrets.token_urlsafe(16)
    push = {"notification": {"devices": [{"app_id": APP_ID, "pushkey": pushkey}]}}
    answer = await _ask(gateway, "POST", path, body=push)
    # Only the relay says so of a pushkey that nobody knows.
    if answer is not None and answer.json().get("errcode") == UNKNOWN_PUSHKEY:
        return good(f"The gateway answers at {config.notify_url}.")
    what = "no answer" if answer is None else f"status {answer.status}"
    return bad(
        f"The gateway does not answer this machine at {config.notify_url} ({what}).",
        "Is `gateway_url` right? If the homeserver reaches another network than this machine does, go on reading.",
    )


async def _sign_in(homeserver: Upstream, credentials: Credentials) -> dict[str, str] | Finding:
    """The header that authorizes requests, or the finding that says why there is none."""
    token = credentials.token
    if not token:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": credentials.user},
            "password": credentials.password,
            "initial_device_display_name": "Heliograph's check of the relay",
        }
        answer = await _ask(homeserver, "POST", f"{_API}/login", body=body)
        token = _of(answer, "access_token")
        if not token:
            return bad(f"{credentials.user} cannot sign in: {_why(answer)}.", "Give another user.")
    return {"Authorization": f"Bearer {token}"}


async def _prove(
    config: RelayConfig, homeserver: Upstream, relay: Upstream, authorization: Mapping[str, str]
) -> Finding:
    pushkey = secrets.token_urlsafe(16)
    pusher = {
        "kind": "http",
        "app_id": APP_ID,
        "pushkey": pushkey,
        "app_display_name": "Heliograph's check of the relay",
        "device_display_name": "heliograph relay check",
        "lang": "en",
        "data": {"url": config.notify_url, "format": "event_id_only"},
        "append": True,
    }
    answer = await _ask(homeserver, "POST", f"{_API}/pushers/set", authorization, pusher)
    if answer is None or not answer.is_good:
        return bad(
            f"The homeserver takes no pusher for {config.notify_url}: {_why(answer)}.",
            "Dendrite wants https; conduwuit and its kin want a public address.",
        )
    room_id: object = None
    try:
        room_id = await _fire(homeserver, authorization)
        for _ in range(LOOKS):
            met = await _ask(relay, "GET", f"{MET_PATH}/{pushkey}")
            if met is not None and met.json().get("met") is True:
                return good(f"The homeserver reaches the gateway at {config.notify_url}.")
            await asyncio.sleep(PAUSE_S)
        return _unreached(config)
    finally:
        # Whatever came of it: a pusher that is left would fail at the homeserver for as long as it is there.
        removal = {"kind": None, "app_id": APP_ID, "pushkey": pushkey}
        await _ask(homeserver, "POST", f"{_API}/pushers/set", authorization, removal)
        if isinstance(room_id, str):
            for action in ("leave", "forget"):
                await _ask(homeserver, "POST", f"{_API}/rooms/{quote(room_id, safe='')}/{action}", authorization, {})


async def _fire(homeserver: Upstream, authorization: Mapping[str, str]) -> object:
    """Makes the homeserver push, and returns the id of the room that is to be left.

    A message of one's own is read: Synapse pushes the unread count then, to which it ignores `rejected` in the answer;
    so the relay is asked whether the pushkey came.
    Test: test_a_gateway_that_the_homeserver_reaches_is_proved_and_nothing_is_left.
    """
    room_id = _of(await _ask(homeserver, "POST", f"{_API}/createRoom", authorization, {}), "room_id")
    room = f"{_API}/rooms/{quote(room_id, safe='')}"
    event = await _ask(homeserver, "PUT", f"{room}/send/{APP_ID}/{secrets.token_hex(8)}", authorization, {})
    event_id = _of(event, "event_id")
    await _ask(homeserver, "POST", f"{room}/receipt/m.read/{quote(event_id, safe='')}", authorization, {})
    return room_id


def _unreached(config: RelayConfig) -> Finding:
    host = urlsplit(config.notify_url).hostname or ""
    network = f"{host}/{128 if ':' in host else 32}" if host.replace(".", "").isdigit() or ":" in host else "ADDRESS/32"
    return bad(
        f"The homeserver did not push to {config.notify_url} within {int(LOOKS * PAUSE_S)} s.",
        "Synapse pushes to no private address (its ip_range_blacklist), and says so in its log only. Allow this one in "
        f'homeserver.yaml, and restart it:\n        ip_range_whitelist: ["{network}"]\n    '
        "Otherwise a firewall is in between; or this homeserver pushes messages only: have somebody write to this user "
        "while the check waits.",
    )


async def _ask(
    server: Upstream, method: str, path: str, authorization: Mapping[str, str] | None = None, body: Any = None
) -> Answer | None:
    try:
        return await server.ask(method, path, authorization or {}, body)
    except NotAnswered:
        return None


def _of(answer: Answer | None, name: str) -> str:
    value = answer.json().get(name) if answer is not None else None
    return value if isinstance(value, str) else ""


def _why(answer: Answer | None) -> str:
    if answer is None:
        return "it did not answer"
    told = answer.json()
    error = told.get("error")
    return error[:200].rstrip(".") if isinstance(error, str) and error.isprintable() else f"status {answer.status}"
