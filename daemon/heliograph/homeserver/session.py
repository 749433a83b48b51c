"""One request to the homeserver and its answer, over matrix-nio's HTTP session. Every failure is a ServerError."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
from nio import AsyncClient  # type: ignore[import-untyped]
from yarl import URL

from heliograph import __version__
from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.errors import AnswerTooLarge, Dropped, LoggedOut, Unreachable
from heliograph.homeserver.address import check_homeserver_url, encode_query
from heliograph.homeserver.answer import bad_answer, failure
from heliograph.http.repetition import ask_once
from heliograph.http.unanswered import word_unanswered

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer, unless the request allows for more."""

_MAX_FAILURE = 64 * 1024
_PIECE = 64 * 1024
_KEPT_S = 300.0
_PIECE_S = 10.0
"""An answer that is under way may take longer than its deadline, as long as a piece arrives in this time."""


class Session:
    """Talks to one homeserver as one device, or as nobody yet. Sockets are kept open between requests."""

    def __init__(
        self,
        homeserver_url: str,
        *,
        access_token: str | None = None,
        user_id: UserId | None = None,
        device_id: str = "",
        on_progress: Callable[[], None] = lambda: None,
        on_logged_out: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_progress` is called while a large answer keeps coming, which over a slow line may take minutes, and
        `on_logged_out` before any request raises LoggedOut: whoever made it, the token is the account's matter.

        Raises UserError if the URL is not one that a token may be sent to.
        """
        self.homeserver_url = check_homeserver_url(homeserver_url)
        self._nio = AsyncClient(self.homeserver_url)
        self.sign_in(access_token=access_token or "", user_id=user_id, device_id=device_id)
        self._on_progress = on_progress
        self._on_logged_out = on_logged_out
        self._running: set[asyncio.Timeout] = set()
        self._is_closed = False
        self.server_date = ""
        """The header Date of the last answer."""

    @property
    def access_token(self) -> str | None:
        return self._nio.access_token or None

    @property
    def user_id(self) -> UserId:
        """Of the device that it is signed in as; there must be one."""
        assert self._user_id is not None
        return self._user_id

    @property
    def device_id(self) -> str:
        return str(self._nio.device_id or "")

    def sign_in(self, *, access_token: str, user_id: UserId | None, device_id: str) -> None:
        """From now on requests are made as this device."""
        self._nio.access_token = access_token
        self._user_id = user_id
        self._nio.user_id = user_id or ""
        self._nio.device_id = device_id

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        timeout_s: float = 30,
        limit: int = MAX_ANSWER,
        once: bool = False,
    ) -> bytes:
        """The body of a successful answer, of at most `limit` bytes. Redirects are not followed.

        `path` begins with a slash, its segments are quoted already (`address.segment`). Connecting, headers and body
        share `timeout_s`; only a body that keeps coming may take longer. `once`: it is not sent again on another
        connection where the first ends without an answer. Raises ServerError.
        """
        if self._is_closed:
            raise Unreachable("the connection to the homeserver is closed")
        address = self.homeserver_url + path + (f"?{encode_query(query)}" if query else "")
        scope = asyncio.timeout(timeout_s)
        self._running.add(scope)
        try:
            async with scope:
                return await self._exchange(method, URL(address, encoded=True), body, limit, scope, once=once)
        except LoggedOut:
            self._on_logged_out()
            raise
        except TimeoutError:
            is_dropped = scope not in self._running
            raise (Dropped() if is_dropped else Unreachable("no answer in time")) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(word_unanswered(error)) from error
        finally:
            self._running.discard(scope)

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        timeout_s: float = 30,
        limit: int = MAX_ANSWER,
    ) -> object:
        """Like `request`, decoded. An answer that is not JSON is a BadAnswer."""
        answer = await self.request(method, path, query=query, body=body, timeout_s=timeout_s, limit=limit)
        try:
            return msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise bad_answer(200, answer) from None

    async def drop_connections(self) -> None:
        """Close every socket, idle or not: after suspend they may be half-open. A running request is Unreachable."""
        running, self._running = self._running, set()
        for scope in running:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
        # matrix-nio waits for nothing here, and makes no new session before the next request.
        http, self._nio.client_session = self._nio.client_session, None
        if http is not None:
            await http.close()

    async def close(self) -> None:
        """Close every socket, for good."""
        self._is_closed = True
        await self.drop_connections()

    async def _exchange(
        self, method: str, url: URL, body: Json | None, limit: int, scope: asyncio.Timeout, *, once: bool
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if self._nio.access_token:
            headers["Authorization"] = f"Bearer {self._nio.access_token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        # Not `AsyncClient.send`: it follows redirects, which would carry the token elsewhere.
        async with self._http().request(
            method, url, data=data, headers=headers, allow_redirects=False, middlewares=(ask_once,) if once else ()
        ) as response:
            self.server_date = response.headers.get("Date", "")
            if 200 <= response.status < 300:
                if (response.content_length or 0) > limit:
                    raise AnswerTooLarge(f"the answer has {response.content_length} bytes, over {limit}")
                answer, is_whole = await _read(response.content, limit, scope, self._on_progress)
                if not is_whole:
                    raise AnswerTooLarge(f"the answer has more than {limit} bytes")
                return answer
            answer = b""
            with contextlib.suppress(aiohttp.ClientPayloadError):
                answer, _ = await _read(response.content, _MAX_FAILURE, scope, self._on_progress)
            raise failure(response.status, response.headers, answer)

    def _http(self) -> aiohttp.ClientSession:
        """matrix-nio's HTTP session, made here since the one it would make takes cookies and has no name."""
        http: aiohttp.ClientSession | None = self._nio.client_session
        if http is None:
            http = self._nio.client_session = aiohttp.ClientSession(
                # aiohttp looks through idle sockets at this interval, also while a poll waits on its own.
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEPT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"Heliograph/{__version__}"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return http


async def _read(
    content: aiohttp.StreamReader, limit: int, scope: asyncio.Timeout, on_progress: Callable[[], None]
) -> tuple[bytes, bool]:
    """The body, and whether that was all of it within `limit`."""
    pieces: list[bytes] = []
    size = credit = 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        credit += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], False
        deadline = scope.when()
        if credit >= _PIECE and deadline is not None and not scope.expired():
            credit = 0
            scope.reschedule(max(deadline, asyncio.get_running_loop().time() + _PIECE_S))
            on_progress()
    return b"".join(pieces), True
