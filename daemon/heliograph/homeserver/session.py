"""Sends one request to the homeserver and reads its answer, over matrix-nio's HTTP session. Each failure becomes a
ServerError."""

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
from heliograph.homeserver.lasting_token import LastingToken
from heliograph.http.repetition import ask_once
from heliograph.http.unanswered import word_unanswered
from heliograph.ports.tokens import AccessTokens

MAX_ANSWER = 8 * 1024 * 1024
"""The most bytes of an answer, unless the request allows for more."""

_MAX_FAILURE = 64 * 1024
_PIECE = 64 * 1024
_KEPT_S = 300.0
_PIECE_S = 10.0
"""An answer that is under way may take longer than its deadline, as long as _PIECE bytes arrive within this time."""


class Session:
    """Talks to one homeserver as one device, or as nobody yet. Sockets are kept open between requests."""

    def __init__(
        self,
        homeserver_url: str,
        *,
        access_token: str | None = None,
        tokens: AccessTokens | None = None,
        user_id: UserId | None = None,
        device_id: str = "",
        on_progress: Callable[[], None] = lambda: None,
        on_logged_out: Callable[[], None] = lambda: None,
    ) -> None:
        """`tokens` gives the access token of each request; `access_token` is one that lasts, in place of that.

        `on_progress` is called while a large answer keeps coming, which may take minutes over a slow line.
        `on_logged_out` is called before a request raises LoggedOut: a dead token concerns the account, not one loop.

        Raises UserError if an access token must not be sent to this URL (`address.check_homeserver_url`).
        """
        self.homeserver_url = check_homeserver_url(homeserver_url)
        self._nio = AsyncClient(self.homeserver_url)
        self._tokens: AccessTokens
        self.sign_in(access_token=access_token or "", user_id=user_id, device_id=device_id)
        if tokens is not None:
            self._tokens = tokens
        self._on_progress = on_progress
        self._on_logged_out = on_logged_out
        self._running: set[asyncio.Timeout] = set()
        self._is_closed = False
        self.server_date = ""
        """The header Date of the last answer, by which `heliograph doctor` finds a wrong clock."""

    @property
    def access_token(self) -> str | None:
        """The access token of the latest request, or the one that lasts; None: there is none."""
        return self._access_token or None

    @property
    def user_id(self) -> UserId:
        """The user as whom this session is signed in. It must be."""
        assert self._user_id is not None
        return self._user_id

    @property
    def device_id(self) -> str:
        return str(self._nio.device_id or "")

    def sign_in(self, *, access_token: str, user_id: UserId | None, device_id: str) -> None:
        """Makes all later requests as this device, with an access token that lasts; "": with none."""
        self._access_token = access_token
        self._tokens = LastingToken(access_token)
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
        """Sends a request, and returns the body of a successful answer, of at most `limit` bytes. Redirects are not
        followed. Raises ServerError.

        `path` begins with a slash, and its segments are quoted already (`address.segment`). Connecting, headers and
        body share `timeout_s`; only a body that keeps coming may take longer. `once`: if the connection ends without an
        answer, the request is not sent again (`http.repetition`).
        """
        if self._is_closed:
            raise Unreachable("the connection to the homeserver is closed")
        address = self.homeserver_url + path + (f"?{encode_query(query)}" if query else "")
        scope = asyncio.timeout(timeout_s)
        self._running.add(scope)
        try:
            async with scope:
                return await self._send(method, URL(address, encoded=True), body, limit, scope, once=once)
        except LoggedOut:
            self._on_logged_out()
            raise
        except TimeoutError:
            # `drop_connections` ends requests by their time-out as well, and has taken this one out of the set.
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
        """Like `request`, and decodes the answer. Raises BadAnswer if that is not JSON."""
        answer = await self.request(method, path, query=query, body=body, timeout_s=timeout_s, limit=limit)
        try:
            return msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise bad_answer(200, answer) from None

    async def drop_connections(self) -> None:
        """Closes all sockets, idle or not, since after suspend they may be half-open. Running requests raise
        Dropped."""
        running, self._running = self._running, set()
        for scope in running:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
        # `_http` makes a new session for the next request. matrix-nio itself has nothing under way in the old one.
        http, self._nio.client_session = self._nio.client_session, None
        if http is not None:
            await http.close()

    async def close(self) -> None:
        """Closes all sockets for good. Later requests raise Unreachable."""
        self._is_closed = True
        await self.drop_connections()
        await self._tokens.close()

    async def _send(
        self, method: str, url: URL, body: Json | None, limit: int, scope: asyncio.Timeout, *, once: bool
    ) -> bytes:
        """Sends the request, and once more with another access token if the homeserver refuses the first."""
        token = await self._tokens.fresh()
        for _ in range(2):
            self._access_token = token
            try:
                answer = await self._exchange(method, url, token, body, limit, scope, once=once)
            except LoggedOut:
                renewed = await self._tokens.renew(token)
                if renewed is None:
                    raise
                token = renewed
            else:
                self._tokens.note_accepted(token)
                return answer
        # Another process was quicker twice: the next request has the newest.
        raise Unreachable("the access token was renewed meanwhile")

    async def _exchange(
        self, method: str, url: URL, token: str, body: Json | None, limit: int, scope: asyncio.Timeout, *, once: bool
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
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
            # The status is known: a body that breaks off does not turn a refusal into "no answer".
            answer = b""
            with contextlib.suppress(aiohttp.ClientPayloadError):
                answer, _ = await _read(response.content, _MAX_FAILURE, scope, self._on_progress)
            raise failure(response.status, response.headers, answer)

    def _http(self) -> aiohttp.ClientSession:
        """matrix-nio's HTTP session. Made here, since the one that matrix-nio makes takes cookies and sends no
        User-Agent of ours. Test: test_a_redirect_is_not_followed."""
        http: aiohttp.ClientSession | None = self._nio.client_session
        if http is None:
            http = self._nio.client_session = aiohttp.ClientSession(
                # aiohttp wakes up at this interval to look through idle sockets, also while only a poll waits.
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEPT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"Heliograph/{__version__}"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return http


async def _read(
    content: aiohttp.StreamReader, limit: int, scope: asyncio.Timeout, on_progress: Callable[[], None]
) -> tuple[bytes, bool]:
    """The body, and True if it ended within `limit` bytes."""
    pieces: list[bytes] = []
    size = credit = 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        credit += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], False
        # Each _PIECE bytes buy _PIECE_S seconds more: a slow line gets through, and one that drips byte by byte does
        # not hold the request for ever. Test: test_a_drip_does_not_hold_a_request_open.
        deadline = scope.when()
        if credit >= _PIECE and deadline is not None and not scope.expired():
            credit = 0
            scope.reschedule(max(deadline, asyncio.get_running_loop().time() + _PIECE_S))
            on_progress()
    return b"".join(pieces), True
