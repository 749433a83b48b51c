"""The client of a push gateway: asks what the gateway is, and pushes as a homeserver does."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from heliograph import __version__
from heliograph.core.events import Json
from heliograph.core.pushers.fallback import GatewayAnswer
from heliograph.errors import AnswerTooLarge, Unreachable
from heliograph.http.unanswered import word_unanswered

_TIMEOUT_S = 20.0
_MAX_ANSWER = 1024 * 1024


class PushGateway:
    """An async context manager. Redirects are not followed, as homeservers do not follow them either.

    Every call is bounded in time and size, and raises Unreachable if no whole answer came.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PushGateway:
        self._http = aiohttp.ClientSession(
            timeout=self._timeout,
            # No homeserver keeps a gateway's cookies, so a test that did would see what no push sees.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"Heliograph/{__version__}", "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def ask(self, url: str) -> GatewayAnswer:
        """GET: a gateway of UnifiedPush says in its answer that it is one."""
        answer, _ = await self._exchange("GET", url)
        return answer

    async def push(self, url: str, push: Json) -> GatewayAnswer:
        """POSTs a push, as a homeserver does."""
        answer, _ = await self._exchange("POST", url, push)
        return answer

    async def listing(self, url: str) -> tuple[int, str]:
        """GETs the list of pushes that arrived in a topic of ntfy: status and text of the answer."""
        answer, text = await self._exchange("GET", url)
        return answer.status, text

    async def _exchange(self, method: str, url: str, body: Json | None = None) -> tuple[GatewayAnswer, str]:
        assert self._http is not None
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._http.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                # Bounded: the URL is whatever the user typed.
                text = await _read(response)
                return GatewayAnswer(response.status, _decode(text), response.headers.get("Retry-After", "")), text
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(word_unanswered(error)) from error


async def _read(response: aiohttp.ClientResponse) -> str:
    pieces: list[bytes] = []
    size = 0
    # Counted piece by piece, after decompression: neither a declared length nor a compressed size bounds anything.
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_ANSWER:
            raise AnswerTooLarge(f"the answer has more than {_MAX_ANSWER} bytes")
    return b"".join(pieces).decode(errors="replace")


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
