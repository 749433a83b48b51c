"""One GET /sync of a direct device, from its coming to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

from aiohttp import web

from heliograph.relay.model.carried import Key
from heliograph.relay.state.connections import DeviceConnection

MAX_TIMEOUT_MS = 3_600_000
_TIMEOUTS = 20
"""How many there are for requests that are to be answered at once, in ms from 0 on."""


@dataclass(slots=True)
class Poll:
    """The client's request, and how the homeserver is asked for its answer."""

    request: web.Request
    key: Key
    since: str
    authorization: Mapping[str, str]
    connection: DeviceConnection
    wake: asyncio.Event
    """Set by every push for the device."""
    deadline: float
    """When the client expects an answer, in s of the loop's clock."""
    target: str
    """Path and query of the next request to the homeserver."""
    is_short: bool = False
    """Whether that request waits less than the client would."""
    tried: frozenset[str] = frozenset()
    """Event ids that already ended a wait of this poll in vain."""

    is_cut_short: bool = False
    """Whether a push ended that request before it was answered."""
    is_patient: bool = False
    """An answer did not know yet what a push had told of, so the next request is given more time."""

    @property
    def rest_ms(self) -> int:
        return int(1000 * (self.deadline - asyncio.get_running_loop().time()))

    def ask_at_once(self) -> None:
        """The next request is to be answered without waiting."""
        # Not twice the same timeout, nor in the poll by which a client repeats this one: homeservers keep the answer
        # to a request for its repetition, and that answer lacks what came since.
        # Test: test_no_poll_of_a_device_asks_at_once_as_the_one_before_did.
        self.target = with_timeout(self.target, self.connection.repeats % _TIMEOUTS)
        self.connection.repeats += 1
        self.is_short = True

    def ask_for_the_rest(self) -> None:
        """The next request waits for as long as the client still does."""
        self.target = with_timeout(self.target, self.rest_ms)
        self.is_short = False


def deadline_of(request: web.Request) -> float:
    """When the client that asks now expects an answer, in s of the loop's clock."""
    try:
        timeout_ms = max(0, min(int(request.query.get("timeout", "0")), MAX_TIMEOUT_MS))
    except ValueError:
        timeout_ms = 0
    return asyncio.get_running_loop().time() + timeout_ms / 1000


def with_timeout(target: str, timeout_ms: int) -> str:
    """The same request with another `timeout`; every other byte as it was."""
    path, _, query = target.partition("?")
    # Decoded only to be compared: the filter among them must arrive in the very bytes that the client chose.
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != "timeout"]
    return f"{path}?{'&'.join([*kept, 'timeout=' + quote(str(timeout_ms))])}"
