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


@dataclass(slots=True)
class Poll:
    """What its request says, and where it hears of pushes."""

    request: web.Request
    key: Key
    since: str
    authorization: Mapping[str, str]
    connection: DeviceConnection
    wake: asyncio.Event
    deadline: float
    """Of the loop's clock: when the client expects an answer."""

    @property
    def rest_ms(self) -> int:
        return int(1000 * (self.deadline - asyncio.get_running_loop().time()))


def deadline_of(request: web.Request) -> float:
    """When who asks now expects an answer, by the loop's clock."""
    try:
        timeout_ms = max(0, min(int(request.query.get("timeout", "0")), MAX_TIMEOUT_MS))
    except ValueError:
        timeout_ms = 0
    return asyncio.get_running_loop().time() + timeout_ms / 1000


def with_timeout(target: str, timeout_ms: int) -> str:
    """The same request with another `timeout`; every other byte as it was."""
    path, _, query = target.partition("?")
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != "timeout"]
    return f"{path}?{'&'.join([*kept, 'timeout=' + quote(str(timeout_ms))])}"
