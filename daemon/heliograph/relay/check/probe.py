"""A room of the check's own, with one event in it, and a pusher that is to fire. All of it is removed again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote, urlsplit

from heliograph.core.finding import Finding, bad, good
from heliograph.core.value_type import value_type
from heliograph.relay.check.asking import API, ask, outcome_of, text_in
from heliograph.relay.config import RelayConfig
from heliograph.relay.monitoring import MET_PATH
from heliograph.relay.proxy.upstream import Upstream

APP_ID = "io.github.heliograph.check"
LOOKS = 40
PAUSE_S = 0.5
_CURE = "`homeserver` has to lead every request of a client to a process that serves it: docs/relay.md, workers."


@value_type
class ProbeRoom:
    """The room's path in the API, and its event's id, escaped."""

    path: str
    event_id: str


@contextlib.asynccontextmanager
async def a_room(homeserver: Upstream, authorization: Mapping[str, str]) -> AsyncIterator[ProbeRoom | Finding]:
    """A room with an event; a Finding: which step of the way there failed, and how."""
    answer = await ask(homeserver, "POST", f"{API}/createRoom", authorization, {})
    room_id = text_in(answer, "room_id")
    if not room_id:
        yield bad(f"The homeserver makes no room: POST /createRoom: {outcome_of(answer)}.", _CURE)
        return
    path = f"{API}/rooms/{quote(room_id, safe='')}"
    try:
        answer = await ask(homeserver, "PUT", f"{path}/send/{APP_ID}/{secrets.token_hex(8)}", authorization, {})
        event_id = text_in(answer, "event_id")
        if event_id:
            yield ProbeRoom(path, quote(event_id, safe=""))
        else:
            yield bad(f"The homeserver takes no event: PUT /send: {outcome_of(answer)}.", _CURE)
    finally:
        for action in ("leave", "forget"):
            await ask(homeserver, "POST", f"{path}/{action}", authorization, {})


async def look_whether_it_pushes(
    config: RelayConfig, homeserver: Upstream, relay: Upstream, authorization: Mapping[str, str], room: ProbeRoom
) -> Finding:
    """Registers a pusher that nobody knows, makes it fire, and asks the relay whether its pushkey came."""
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
    answer = await ask(homeserver, "POST", f"{API}/pushers/set", authorization, pusher)
    if answer is None or not answer.is_good:
        return bad(
            f"The homeserver takes no pusher for {config.notify_url}: POST /pushers/set: {outcome_of(answer)}.",
            "Dendrite wants https; conduwuit and its kin want a public address.",
        )
    try:
        # A message of one's own is read: Synapse pushes the unread count then, to which it ignores `rejected` in the
        # answer; so the relay is asked whether the pushkey came.
        # Test: test_a_gateway_that_the_homeserver_reaches_is_proved_and_nothing_is_left.
        answer = await ask(homeserver, "POST", f"{room.path}/receipt/m.read/{room.event_id}", authorization, {})
        if answer is None or not answer.is_good:
            return bad(f"The homeserver takes no receipt: POST /receipt: {outcome_of(answer)}.", _CURE)
        for _ in range(LOOKS):
            met = await ask(relay, "GET", f"{MET_PATH}/{pushkey}")
            if met is not None and met.json().get("met") is True:
                return good(f"The homeserver reaches the gateway at {config.notify_url}.")
            await asyncio.sleep(PAUSE_S)
        return _unreached(config)
    finally:
        # Whatever came of it: a pusher that is left would fail at the homeserver for as long as it is there.
        removal = {"kind": None, "app_id": APP_ID, "pushkey": pushkey}
        await ask(homeserver, "POST", f"{API}/pushers/set", authorization, removal)


def _unreached(config: RelayConfig) -> Finding:
    host = urlsplit(config.notify_url).hostname or ""
    network = f"{host}/{128 if ':' in host else 32}" if host.replace(".", "").isdigit() or ":" in host else "ADDRESS/32"
    return bad(
        f"Each step was answered well, but the homeserver did not push to {config.notify_url} within "
        f"{int(LOOKS * PAUSE_S)} s.",
        "Synapse pushes to no private address (its ip_range_blacklist), and says so in its log only. Allow this one in "
        f'homeserver.yaml, and restart it:\n        ip_range_whitelist: ["{network}"]\n    '
        "Otherwise a firewall is in between; or this homeserver pushes messages only: have somebody write to this user "
        "while the check waits.",
    )
