"""Requests and answers that pass through unchanged, a piece at a time: no body is ever held whole here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.upstream import FAILURES, Upstream

log = logging.getLogger(__name__)

_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    )
)
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded")
_OF_BODY = ("content-length", "content-type", "content-encoding")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Date",
}


class Proxy:
    """Forwards requests: `handle` those that no other part of the relay answers."""

    def __init__(self, upstream: Upstream, proxies: Proxies) -> None:
        self._upstream = upstream
        self.proxies = proxies
        self.memory = upstream.memory
        """That of the homeserver's answers which are read whole."""

    def headers(self, request: web.BaseRequest, leave_out: Collection[str] = ()) -> CIMultiDict[str]:
        """The headers for the homeserver. `leave_out` in lower case."""
        # Behind https the homeserver has a name of its own, which its certificate and its routing go by.
        headers = _end_to_end(request.headers, (*leave_out, "host") if self._upstream.is_elsewhere else leave_out)
        # Only a trusted proxy may say where a request came from: of others the headers are replaced.
        peer = request.remote or "unknown"
        is_trusted = self.proxies.are_trusted(peer)
        before = headers.getall("X-Forwarded-For", []) if is_trusted else []
        proto = headers.get("X-Forwarded-Proto") if is_trusted else None
        host = headers.get("X-Forwarded-Host") if is_trusted else None
        for name in _FORWARDED:
            headers.popall(name, None)
        headers["X-Forwarded-For"] = ", ".join([*before, peer])
        headers["X-Forwarded-Proto"] = proto or request.scheme
        if host:
            headers["X-Forwarded-Host"] = host
        return headers

    def can_pass(self, request: web.BaseRequest) -> bool:
        """Whether the request has a target that can be asked for at the homeserver."""
        has_host = request.raw_path.startswith("http://") and not self._upstream.is_elsewhere
        return request.method != "CONNECT" and (request.raw_path.startswith("/") or has_host)

    async def open(
        self, request: web.BaseRequest, target: str, leave_out: Collection[str] = ()
    ) -> aiohttp.ClientResponse:
        """The beginning of the homeserver's answer to this request without a body, with another path and query.

        `leave_out` are headers in lower case. The caller releases the answer. Raises FAILURES.
        """
        # A body of a GET means nothing (RFC 9110, 9.3.1), so it stays here, and with it what describes it.
        # Test: test_a_poll_with_a_body_is_a_poll.
        return await self._upstream.open(request.method, target, self.headers(request, (*leave_out, *_OF_BODY)))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Passes the request on, and the homeserver's answer back as it comes."""
        return await self.forward(request)

    async def forward(
        self,
        request: web.BaseRequest,
        body: bytes | None = None,
        then: Callable[[bytes], Awaitable[None]] | None = None,
        *,
        shown: int = 0,
    ) -> web.StreamResponse:
        """The homeserver's answer, after `then` if the answer is good. `body` is that of a request that was read.

        `then` is called with the answer's body, if that is wanted and has no more than `shown` bytes.
        """
        # aiohttp counts the length of a body that it gets whole. An answer that is looked into comes as text.
        leave_out = (*(("content-length",) if body else ()), *(("accept-encoding",) if shown else ()))
        sent: Any = body
        if body is None and request.body_exists:
            sent = request.content
        try:
            answer = await self._upstream.open(
                request.method, target_of(request), self.headers(request, leave_out), sent
            )
        except FAILURES as error:
            return not_answered(error)
        try:
            begun = b""
            if then is not None and 200 <= answer.status < 300:
                begun = await _beginning(answer, shown)
                await then(begun if len(begun) <= shown else b"")
            return await self.stream(request, answer, begun)
        finally:
            # Closes the connection if the answer was not read to its end.
            answer.release()

    async def stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, begun: bytes = b""
    ) -> web.StreamResponse:
        """Passes the answer on. `begun` is the part of its body that was read already."""
        headers = _end_to_end(answer.headers)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        try:
            await response.prepare(request)
            if begun:
                await response.write(begun)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientConnectionResetError, ConnectionResetError):
            pass  # the client went away
        except FAILURES as error:
            # The headers are sent: only a cut connection tells that this is not the whole.
            log.info("The homeserver broke off an answer: %r", error)
            if request.transport is not None:
                request.transport.abort()
        return response


async def _beginning(answer: aiohttp.ClientResponse, shown: int) -> bytes:
    """The answer's body, or somewhat more than `shown` bytes of it; what came, if the homeserver breaks it off."""
    begun = bytearray()
    with contextlib.suppress(*FAILURES):
        while shown and len(begun) <= shown and (chunk := await answer.content.readany()):
            begun += chunk
    return bytes(begun)


def target_of(request: web.BaseRequest) -> str:
    """Path and query, in the very bytes the client sent; before them scheme and host if they were sent, too."""
    return request.rel_url.raw_path_qs if request.raw_path.startswith("/") else request.raw_path


async def answer_expectation(request: web.Request) -> None:
    """Has the client send its body if it waits for leave to. What else it may expect is the homeserver's to know.

    Test: test_an_expectation_that_nobody_knows_is_passed_over_as_synapse_does.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def answer_headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers for an answer whose body was changed: without those that describe the old one."""
    return _end_to_end(headers, ("content-length", "etag", "content-md5", "digest", "last-modified"))


def json_response(body: Any, status: int = 200) -> web.Response:
    """An answer of the relay's own. Browsers may read it, as those of the homeserver."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=CORS)


def refusal(status: int, errcode: str, why: str, **more: Any) -> web.Response:
    return json_response({"errcode": errcode, "error": why, **more}, status)


def not_answered(why: BaseException | str) -> web.Response:
    log.info("The homeserver did not answer: %s", why if isinstance(why, str) else repr(why))
    return refusal(502, "M_UNKNOWN", "The homeserver does not answer. Try again later.")


def _end_to_end(headers: CIMultiDictProxy[str], leave_out: Collection[str] = ()) -> CIMultiDict[str]:
    # `Connection` names further headers that are for the next hop alone (RFC 9110, 7.6.1).
    named = {name.strip().lower() for line in headers.getall("Connection", []) for name in line.split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low not in _HOP_BY_HOP and low not in named and low not in leave_out:
            kept.add(name, value)
    return kept
