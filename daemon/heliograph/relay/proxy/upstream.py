"""The homeserver behind the relay: one HTTP session for requests that pass and for the relay's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from heliograph import __version__
from heliograph.core.events import Json
from heliograph.http.repetition import ask_once
from heliograph.http.unanswered import word_unanswered
from heliograph.relay.proxy.memory import AnswerMemory, Share

CONNECT_S = 10.0
ANSWER_S = 30.0
"""How long one of the relay's own requests may take."""
SILENCE_S = 900.0
"""How long an answer that passes may stand still; longer than any long-poll."""
IDLE_S = 15.0
"""Shorter than homeservers keep idle connections open, so that none is used that they are about to close."""
MAX_ANSWER = 4 * 1024 * 1024
_NOTHING_BY_ITSELF = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

FAILURES = (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError, ValueError)
"""What a request that was not answered raises."""


class NotAnswered(Exception):
    """The homeserver gave no whole answer."""


class TooLarge(NotAnswered):
    """The answer went on beyond its bound, or beyond that of all answers."""


class Answer(msgspec.Struct, frozen=True, weakref=True):
    """A whole, bounded answer to a request of the relay's own."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class Upstream:
    """A session to the homeserver at `base` (a URL); `close` ends it."""

    def __init__(self, base: str) -> None:
        self.memory = AnswerMemory()
        """That of all answers which are read whole."""
        self._base = base.rstrip("/")
        self.is_elsewhere = URL(base).scheme == "https"
        """Behind a name and a certificate of its own, by which it is to be asked for."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            # One session serves all users: a cookie that one request brings would go out with the others.
            cookie_jar=aiohttp.DummyCookieJar(),
            # No bound on connections: each long-poll that waits holds one, and the next request must not wait for them.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            skip_auto_headers=_NOTHING_BY_ITSELF,
            # A /sync is asked once: aiohttp repeats a request whose connection ended, and Synapse answers a repeated
            # one as two minutes before, without the receipts since. Whether to ask again is the client's to say.
            # Test: test_what_the_homeserver_does_not_answer_is_asked_once.
            middlewares=(ask_once,),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
            read_bufsize=64 * 1024,
        )

    async def open(
        self, method: str, target: str, headers: CIMultiDict[str], body: Any = None
    ) -> aiohttp.ClientResponse:
        """The answer up to its headers; the caller releases or closes it. `target` is sent as it is: path and query, or
        a whole http URL, which goes to the homeserver as well, whatever host it names.

        Raises one of FAILURES.
        """
        if self._session.closed:
            # What goes on beside requests may ask once more while the relay ends.
            raise aiohttp.ClientConnectionError("the relay ends")
        # Sent in the very bytes that came: encoded anew, an id with escapes in it could become another one.
        is_whole = not target.startswith("/")
        url = URL(target if is_whole else self._base + target, encoded=True)
        # The homeserver as the proxy: that is how a whole URL stands in the first line of a request.
        proxy = self._base if is_whole else None
        return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False, proxy=proxy)

    async def ask(
        self,
        method: str,
        target: str,
        authorization: Mapping[str, str],
        json: Json | None = None,
        *,
        limit: int = MAX_ANSWER,
    ) -> Answer:
        """A request of the relay's own, with the authorization of the request that it serves. Raises NotAnswered."""
        headers = CIMultiDict(authorization)
        headers["User-Agent"] = f"heliograph-relay/{__version__}"
        body = None
        if json is not None:
            headers["Content-Type"] = "application/json"
            body = msgspec.json.encode(json)
        try:
            with self.memory.share() as share:
                async with asyncio.timeout(ANSWER_S):
                    response = await self.open(method, target, headers, body)
                    try:
                        answer = Answer(response.status, await read_bounded(response.content, limit, share))
                    finally:
                        response.release()
                share.last_as_long_as(answer)
                return answer
        except FAILURES as error:
            path = target.partition("?")[0]
            raise NotAnswered(f"{method} {path} was not answered: {word_unanswered(error)}") from error

    async def close(self) -> None:
        await self._session.close()


async def read_bounded(content: aiohttp.StreamReader, limit: int, share: Share) -> bytes:
    """All of the body, which is taken from the share. Raises TooLarge beyond `limit` bytes, or without room."""
    chunks = bytearray()
    while chunk := await content.readany():
        chunks += chunk
        if len(chunks) > limit:
            raise TooLarge(f"more than {limit} bytes")
        if not share.take(len(chunk)):
            raise TooLarge("too many answers are in memory")
    return bytes(chunks)
