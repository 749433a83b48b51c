"""Signs in by single sign-on: the browser brings a login token to a listener on this machine.

https://spec.matrix.org/v1.16/client-server-api/#client-login-via-sso
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator
from types import TracebackType

from aiohttp import web

from heliograph.errors import UserError
from heliograph.homeserver.address import encode_query
from heliograph.homeserver.session import Session
from heliograph.http.listener_log import listener_log

_HOST = "127.0.0.1"
_MAX_TOKEN = 8192
_ACTION = ("action", "org.matrix.msc3824.action")
"""Names of the parameter that tells signing in from registering (MSC3824): the specification's, and the one before. A
server that knows neither ignores them."""
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


class BrowserSignIn:
    """Listens on a random port of the loopback interface, and takes one login token. An async context manager.

    The path is unguessable, so that no web page can slip us the token of somebody else's account.
    """

    def __init__(self, session: Session) -> None:
        self._homeserver_url = session.homeserver_url
        self._state = secrets.token_urlsafe(32)
        self._authority = ""
        self._token: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._resources = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """The URL that the user has to open in a browser."""
        back = f"http://{self._authority}/{self._state}"
        query = {"redirectUrl": back} | dict.fromkeys(_ACTION, "login")
        return f"{self._homeserver_url}/_matrix/client/v3/login/sso/redirect?{encode_query(query)}"

    async def login_token(self, timeout_s: float) -> str:
        """Waits for the browser, and returns the login token. Raises UserError if none comes within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: a late browser is still answered by this future.
                return await asyncio.shield(self._token)
        except TimeoutError:
            raise UserError(
                f"The browser did not come back within {timeout_s / 60:.0f} minutes.",
                "Try again, and follow the page in the browser to its end. It has to be a browser on this machine.",
            ) from None

    async def __aenter__(self) -> BrowserSignIn:
        async with contextlib.AsyncExitStack() as resources:
            port = await resources.enter_async_context(_listen(self._answer))
            self._authority = f"{_HOST}:{port}"
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._token.cancel()
        await self._resources.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        # Another Host means that a foreign name points to this address (DNS rebinding), so that a web page of that name
        # could read our answers. Test: test_a_foreign_name_that_points_here_is_refused.
        if request.method != "GET" or request.headers.get("Host") != self._authority:
            return _page(404, "Not found", "There is nothing here.")
        # In constant time: a web page could measure how much of a guessed path was right.
        # Test: test_a_page_that_does_not_know_the_path_cannot_slip_in_a_token.
        if not hmac.compare_digest(request.path.encode(), f"/{self._state}".encode()):
            return _page(404, "Not found", "There is nothing here.")
        tokens = request.query.getall("loginToken", [])
        if len(tokens) != 1 or not 0 < len(tokens[0]) <= _MAX_TOKEN:
            return _page(400, "That did not work", "The homeserver sent no login token. Start again in the terminal.")
        if self._token.done():
            return _page(410, "Too late", "Heliograph has taken a login token already.")
        self._token.set_result(tokens[0])
        return _page(200, "That was it", "Heliograph goes on in the terminal. You can close this page.")


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


def _page(status: int, title: str, text: str) -> web.Response:
    return web.Response(
        status=status, text=_PAGE.format(title=title, text=text), content_type="text/html", headers=_HEADERS
    )
