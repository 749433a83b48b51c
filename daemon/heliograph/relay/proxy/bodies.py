"""Reads bodies of requests whole, within one bound for all that are in memory at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.limits import group_of
from heliograph.relay.proxy.proxy import refusal

MOST = 64 * 1024 * 1024
MOST_OF_CLIENT = 16 * 1024 * 1024
"""Bytes of the bodies of one client: a homeserver's pushes have some kilobytes each. Clients whom no trusted proxy
names count as one."""
BODY_S = 20.0
"""How long a body may take to come."""
RETRY_MS = 5_000
SLOW, TOO_LARGE, BUSY = 408, 413, 503


class Unread(Exception):
    """The body was not read: it is too large, or too slow, or there is no memory for it now. `status` tells which."""

    def __init__(self, status: int, errcode: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.errcode = errcode

    def refusal(self) -> web.Response:
        """The answer to the request."""
        more = {"retry_after_ms": RETRY_MS} if self.status == BUSY else {}
        response = refusal(self.status, self.errcode, str(self), **more)
        # What is left of the body is not worth reading.
        response.force_close()
        return response


class Bodies:
    """`read` holds its share of the bound for as long as its block lasts."""

    def __init__(
        self, proxies: Proxies, *, most: int = MOST, most_of_client: int = MOST_OF_CLIENT, seconds: float = BODY_S
    ) -> None:
        self._proxies = proxies
        self._most = most
        self._most_of_client = most_of_client
        self._seconds = seconds
        self._of_client: Counter[str] = Counter()
        self.held = 0
        """Bytes that are in memory now."""

    @contextlib.asynccontextmanager
    async def read(self, request: web.Request, limit: int) -> AsyncIterator[bytes]:
        """The whole body, of no more than `limit` bytes. Raises Unread."""
        # A length that is told saves the reading. What is read is
        # counted all the same, since lengths may lie or be missing.
        if (request.content_length or 0) > limit:
            raise _too_large()
        client = group_of(self._proxies.client_of(request) or "")
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    while chunk := await request.content.readany():
                        body += chunk
                        self._take(client, len(chunk))
                        if len(body) > limit:
                            raise _too_large()
            except TimeoutError:
                raise Unread(SLOW, "M_UNKNOWN", "The body did not come in time") from None
            yield bytes(body)
        finally:
            self._give_back(client, len(body))

    def _take(self, client: str, size: int) -> None:
        self.held += size
        self._of_client[client] += size
        if self.held > self._most or self._of_client[client] > self._most_of_client:
            raise Unread(BUSY, "M_LIMIT_EXCEEDED", "Too many bodies are being read at the moment")

    def _give_back(self, client: str, size: int) -> None:
        self.held -= size
        self._of_client[client] -= size
        if not self._of_client[client]:
            del self._of_client[client]


def _too_large() -> Unread:
    return Unread(TOO_LARGE, "M_TOO_LARGE", "The body is too large")
