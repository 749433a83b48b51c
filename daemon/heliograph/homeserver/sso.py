"""Signs in by single sign-on: the browser brings a login token to a listener on this machine.

https://spec.matrix.org/v1.16/client-server-api/#client-login-via-sso
"""

from __future__ import annotations

import secrets
from types import TracebackType

from multidict import MultiMapping

from heliograph.homeserver.address import encode_query
from heliograph.homeserver.loopback import LoopbackListener, Page, Unfit
from heliograph.homeserver.session import Session

_MAX_TOKEN = 8192
_ACTION = ("action", "org.matrix.msc3824.action")
"""Names of the parameter that tells signing in from registering (MSC3824): the specification's, and the one before. A
server that knows neither ignores them."""
_NO_TOKEN = Page("That did not work", "The homeserver sent no login token. Start again in the terminal.", 400)
_DONE = Page("That was it", "Heliograph goes on in the terminal. You can close this page.")


class BrowserSignIn:
    """Takes one login token from the browser. An async context manager.

    The path is unguessable, so that no web page can slip us the token of somebody else's account.
    """

    def __init__(self, session: Session) -> None:
        self._homeserver_url = session.homeserver_url
        self._listener = LoopbackListener(f"/{secrets.token_urlsafe(32)}", _read)

    @property
    def url(self) -> str:
        """The URL that the user has to open in a browser."""
        query = {"redirectUrl": self._listener.url} | dict.fromkeys(_ACTION, "login")
        return f"{self._homeserver_url}/_matrix/client/v3/login/sso/redirect?{encode_query(query)}"

    async def login_token(self, timeout_s: float) -> str:
        """Waits for the browser, and returns the login token. Raises UserError if none comes within `timeout_s`."""
        return await self._listener.wait(timeout_s)

    async def __aenter__(self) -> BrowserSignIn:
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.__aexit__(kind, error, trace)


def _read(query: MultiMapping[str]) -> tuple[str, Page]:
    tokens = query.getall("loginToken", [])
    if len(tokens) != 1 or not 0 < len(tokens[0]) <= _MAX_TOKEN:
        raise Unfit(_NO_TOKEN)
    return tokens[0], _DONE
