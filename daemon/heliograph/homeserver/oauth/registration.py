"""Registers Heliograph as a client of an authorization server.

https://spec.matrix.org/v1.18/client-server-api/#client-registration. A server may give the same id for the same
metadata, so these are the same for every user of a release.
"""

from __future__ import annotations

from heliograph.core.events import Json
from heliograph.errors import Unreachable, UserError
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.oauth.metadata import DEVICE_CODE_GRANT, AuthServer
from heliograph.homeserver.oauth.requests import AuthServerAnswer, post_json

CALLBACK = "/callback"
"""The path to which the browser comes back. Its port is chosen at each sign-in (RFC 8252, section 7.3)."""
_CLIENT_URI = "https://heliograph.github.io/"
_GRANTS = ("authorization_code", "refresh_token", DEVICE_CODE_GRANT)
_MAX_CLIENT_ID = 512


async def register(server: AuthServer) -> str:
    """The id of this client at the authorization server. Raises UserError."""
    try:
        answer = await post_json(server.registration_endpoint, _client_metadata(server))
    except Unreachable as error:
        raise UserError(
            f"{server.issuer} cannot be reached: {error}.", "Check your connection, and try again."
        ) from error
    told = answer.json() or {}
    client_id = told.get("client_id")
    if answer.status in (200, 201) and isinstance(client_id, str) and _is_client_id(client_id):
        return client_id
    raise _refused(server, answer, told)


def _client_metadata(server: AuthServer) -> Json:
    return {
        "client_name": "Heliograph",
        "client_uri": _CLIENT_URI,
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "response_types": ["code"],
        # Only what the server offers: some refuse a registration that asks for more.
        "grant_types": [grant for grant in _GRANTS if grant in server.grant_types or grant == "refresh_token"],
        "redirect_uris": [f"http://127.0.0.1{CALLBACK}"],
    }


def _is_client_id(text: str) -> bool:
    return 0 < len(text) <= _MAX_CLIENT_ID and text.isascii() and text.isprintable()


def _refused(server: AuthServer, answer: AuthServerAnswer, told: Json) -> UserError:
    error = told.get("error")
    if answer.status >= 500 or answer.status in (408, 429) or not isinstance(error, str):
        return UserError(
            f"{server.issuer} does not answer as an authorization server (HTTP {answer.status}).",
            "Try again in some minutes.",
        )
    why = f"{error} {told.get('error_description') or ''}".strip()
    return UserError(
        f"{server.issuer} does not take Heliograph as a client: {plain_line(why)}.",
        "Ask whoever runs the server to allow clients to register themselves.",
    )
