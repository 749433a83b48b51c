"""Signs in in the browser: the authorization code grant, with a listener on this machine.

RFC 6749 section 4.1, with proof (RFC 7636), on loopback (RFC 8252), and with the issuer checked (RFC 9207).
"""

from __future__ import annotations

import secrets
from dataclasses import field
from types import TracebackType

from multidict import MultiMapping

from heliograph.core.ids import UserId
from heliograph.core.oauth.authorization import prove_by, scope_for
from heliograph.core.value_type import value_type
from heliograph.errors import UserError
from heliograph.homeserver.address import encode_query
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.loopback import NOT_FOUND, LoopbackListener, Page, Unfit, is_same
from heliograph.homeserver.oauth.metadata import AuthServer
from heliograph.homeserver.oauth.registration import CALLBACK

_MAX_CODE = 4096
_READ = ("code", "error", "iss")
_DONE = Page("That was it", "Heliograph goes on in the terminal. You can close this page.")
_NOT_DONE = Page("Not signed in", "You can close this page, and go back to the terminal.")
_GARBLED = Page("That did not work", "The server sent no code. Start again in the terminal.", 400)
_FOREIGN = "another issuer"


@value_type
class AuthorizationCode:
    """A code, and what else is needed to redeem it, once."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


@value_type
class _Brought:
    """What the browser brought: a code, or else why there is none."""

    code: str = field(repr=False)
    error: str


class BrowserAuthorization:
    """Takes one authorization code from the browser. An async context manager."""

    def __init__(self, server: AuthServer, client_id: str, user_id: UserId, device_id: str) -> None:
        self._server = server
        self._client_id = client_id
        self._user_id = user_id
        self._scope = scope_for(device_id)
        # Ties the answer to this sign-in: a web page that does not know the state cannot slip us a code of its own.
        self._state = secrets.token_urlsafe(32)
        self._proof = prove_by(secrets.token_bytes(48))
        self._listener = LoopbackListener(CALLBACK, self._read)

    @property
    def url(self) -> str:
        """The URL that the user has to open in a browser."""
        query = {
            "response_type": "code",
            "response_mode": "query",
            "client_id": self._client_id,
            "redirect_uri": self._listener.url,
            "scope": self._scope,
            "state": self._state,
            "code_challenge": self._proof.challenge,
            "code_challenge_method": "S256",
            # Fills in the name (MSC4198), for who has several accounts there.
            "login_hint": f"mxid:{self._user_id}",
        }
        endpoint = self._server.authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{encode_query(query)}"

    async def code(self, timeout_s: float) -> AuthorizationCode:
        """Waits for the browser. Raises UserError if it brings no code within `timeout_s`."""
        brought = await self._listener.wait(timeout_s)
        if brought.error:
            raise _explain(brought.error, self._server)
        return AuthorizationCode(brought.code, self._proof.verifier, self._listener.url)

    async def __aenter__(self) -> BrowserAuthorization:
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.__aexit__(kind, error, trace)

    def _read(self, query: MultiMapping[str]) -> tuple[_Brought, Page]:
        states = query.getall("state", [])
        if len(states) != 1 or not is_same(states[0], self._state):
            raise Unfit(NOT_FOUND)
        # A parameter that comes twice may have been added by somebody else (RFC 6749, section 3.1).
        if any(len(query.getall(name, [])) > 1 for name in _READ):
            raise Unfit(_GARBLED)
        issuer, code, error = (query.get(name, "") for name in ("iss", "code", "error"))
        # Another server may have been given our state; its code must not go to this one (RFC 9207, section 2.4).
        if issuer != self._server.issuer and (issuer or self._server.names_issuer):
            return _Brought("", _FOREIGN), _NOT_DONE
        if error:
            return _Brought("", error), _NOT_DONE
        if not 0 < len(code) <= _MAX_CODE:
            raise Unfit(_GARBLED)
        return _Brought(code, ""), _DONE


def _explain(error: str, server: AuthServer) -> UserError:
    match error:
        case "access_denied":
            return UserError("The sign-in was cancelled in the browser.", "Run the command again to sign in.")
        case "server_error" | "temporarily_unavailable":
            return UserError(f"{server.issuer} cannot sign anybody in at the moment.", "Try again in some minutes.")
    if error == _FOREIGN:
        return UserError(
            f"The browser came back from another server than {server.issuer}, so nothing of that was used.",
            "Run the command again, and go on only in the page that it opens.",
        )
    return UserError(
        f"{server.issuer} does not let Heliograph sign in: {plain_line(error, 100)}.", "Tell whoever runs the server."
    )
