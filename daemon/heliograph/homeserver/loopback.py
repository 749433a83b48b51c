"""Listens on this machine for what a browser brings when it comes back from signing in.

https://www.rfc-editor.org/rfc/rfc8252#section-7.3
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from html import escape
from types import TracebackType
from typing import Generic, Self, TypeVar

from aiohttp import web
from multidict import MultiMapping

from heliograph.core.value_type import value_type
from heliograph.errors import UserError
from heliograph.http.listener_log import listener_log

_HOST = "127.0.0.1"
_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>Heliograph</title>
<style>body {{ font: 1.2em sans-serif; max-width: 30em; margin: 20vh auto; text-align: center }}</style>
<h1>{title}</h1><p>{text}</p></html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

T = TypeVar("T")


@value_type
class Page:
    """What the browser shows then."""

    title: str
    text: str
    status: int = 200


NOT_FOUND = Page("Not found", "There is nothing here.", 404)
_TOO_LATE = Page("Too late", "Heliograph has taken an answer already.", 410)


class Unfit(Exception):
    """The browser brought nothing that can be used: the wait goes on."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.title)
        self.page = page


class LoopbackListener(Generic[T]):
    """Listens on a random port of the loopback interface at `path`, and takes one thing. An async context manager.

    `read` is given the query of each request to that path until one is taken, and returns that thing with the page that
    the browser shows. It raises Unfit for all others.
    """

    def __init__(self, path: str, read: Callable[[MultiMapping[str]], tuple[T, Page]]) -> None:
        self._path = path
        self._read = read
        self._authority = ""
        self._brought: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._resources = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the browser has to come back to, while the listener is open."""
        return f"http://{self._authority}{self._path}"

    async def wait(self, timeout_s: float) -> T:
        """Waits for the browser. Raises UserError if it brings nothing within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: a late browser is still answered by this future.
                return await asyncio.shield(self._brought)
        except TimeoutError:
            raise UserError(
                f"The browser did not come back within {timeout_s / 60:.0f} minutes.",
                "Try again, and follow the page in the browser to its end. It has to be a browser on this machine.",
            ) from None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as resources:
            port = await resources.enter_async_context(_listen(self._answer))
            self._authority = f"{_HOST}:{port}"
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._brought.cancel()
        await self._resources.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        # Another Host means that a foreign name points to this address (DNS rebinding), so that a web page of that name
        # could read our answers. Test: test_a_foreign_name_that_points_here_is_refused.
        if request.method != "GET" or request.headers.get("Host") != self._authority:
            return _respond(NOT_FOUND)
        # In constant time: a web page could measure how much of a guessed path was right.
        # Test: test_a_page_that_does_not_know_the_path_cannot_slip_in_a_token.
        if not is_same(request.path, self._path):
            return _respond(NOT_FOUND)
        try:
            brought, page = self._read(request.query)
        except Unfit as unfit:
            return _respond(unfit.page)
        if self._brought.done():
            return _respond(_TOO_LATE)
        self._brought.set_result(brought)
        return _respond(page)


def is_same(given: str, expected: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


@contextlib.asynccontextmanager
async def _listen(answer: web._RequestHandler) -> AsyncIterator[int]:  # type: ignore[name-defined]
    server = web.Server(answer, access_log=None, logger=listener_log(__name__))
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _respond(page: Page) -> web.Response:
    text = _PAGE.format(title=escape(page.title), text=escape(page.text))
    return web.Response(status=page.status, text=text, content_type="text/html", headers=_HEADERS)
