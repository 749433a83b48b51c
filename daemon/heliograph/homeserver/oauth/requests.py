"""Sends one request to an authorization server.

What answers may be a proxy or a captive portal in between, so that an answer is handed on as it came: the caller judges
it. Nothing of a request or an answer is logged, since both hold codes and tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field

import aiohttp
import msgspec
from yarl import URL

from heliograph import __version__
from heliograph.core.events import Json
from heliograph.core.value_type import value_type
from heliograph.errors import Unreachable
from heliograph.homeserver.answer import retry_after_s
from heliograph.http.unanswered import word_unanswered

_TIMEOUT_S = 60.0
_MAX_ANSWER = 64 * 1024


@value_type
class AuthServerAnswer:
    """An answer with any status, from whoever gave it. `body` is cut off somewhat beyond _MAX_ANSWER bytes."""

    status: int
    content_type: str
    """As its header has it; empty if there was none."""
    retry_after_s: float | None
    """How long to wait before the next request, by the header Retry-After."""
    body: bytes = field(repr=False)

    def json(self) -> Json | None:
        """The object in the body; None if that is no JSON object, or does not call itself JSON."""
        if self.content_type.partition(";")[0].strip().lower() != "application/json":
            return None
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


async def post_form(url: str, form: Mapping[str, str]) -> AuthServerAnswer:
    """Sends a form, as RFC 6749 wants it. Raises Unreachable if no whole answer comes within a minute."""
    return await _post(url, data=dict(form))


async def post_json(url: str, body: Json) -> AuthServerAnswer:
    """Sends JSON, as RFC 7591 wants it. Raises Unreachable as above."""
    return await _post(url, data=msgspec.json.encode(body), headers={"Content-Type": "application/json"})


async def _post(
    url: str, *, data: bytes | dict[str, str], headers: Mapping[str, str] | None = None
) -> AuthServerAnswer:
    # A connection of its own for each request: these are minutes apart, and after suspend a kept one may be half-open.
    own = {"Accept": "application/json", "User-Agent": f"Heliograph/{__version__}", **(headers or {})}
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=own) as http,
            # A redirect is not followed, since it would carry the token elsewhere.
            # Test: test_a_redirect_does_not_carry_the_token_elsewhere.
            http.post(URL(url, encoded=True), data=data, allow_redirects=False) as response,
        ):
            content_type = response.headers.get("Content-Type", "")
            body = await _read(response.content)
            return AuthServerAnswer(response.status, content_type, retry_after_s(response.headers), body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(word_unanswered(error)) from error


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER:
            break
    return bytes(body)
