"""What a homeserver tells of its authorization server.

https://spec.matrix.org/v1.18/client-server-api/#get_matrixclientv1auth_metadata
"""

from __future__ import annotations

from yarl import URL

from heliograph.core.events import Json
from heliograph.core.value_type import value_type
from heliograph.errors import BadAnswer, Refused, UserError
from heliograph.homeserver.address import is_safe_url
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.session import Session

_PATHS = ("/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata")
_MAX_ANSWER = 256 * 1024
_MAX_NAMES = 64
_MAX_NAME = 256
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@value_type
class AuthServer:
    """An authorization server. Each URL is https, or http on this machine if the homeserver is there too."""

    homeserver: str
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str
    revocation_endpoint: str
    device_authorization_endpoint: str
    """Empty if the server has none."""
    account_management_uri: str
    """Where users manage their account and sessions in a browser; empty if the server does not tell."""
    account_management_actions: tuple[str, ...]
    """What can be asked of that page (MSC4191)."""
    grant_types: frozenset[str]
    names_issuer: bool
    """True if the browser brings the issuer along with the code (RFC 9207)."""

    @property
    def gives_device_codes(self) -> bool:
        return bool(self.device_authorization_endpoint) and DEVICE_CODE_GRANT in self.grant_types


async def find_auth_server(session: Session) -> AuthServer | None:
    """The authorization server of the session's homeserver; None: it has none, and users sign in in the older ways.

    Only an answer that no such endpoint exists means None. Raises ServerError if nothing else can be told, and
    UserError if what the homeserver tells cannot be used.
    """
    for path in _PATHS:
        try:
            answer = await session.request_json("GET", path, limit=_MAX_ANSWER)
        except Refused:
            continue
        except BadAnswer as error:
            if error.status in (404, 405):  # of a proxy that passes on only what it knows
                continue
            raise
        if isinstance(answer, dict) and "token_endpoint" in answer:
            return _read(answer, session.homeserver_url)
    return None


def _read(told: Json, homeserver: str) -> AuthServer:
    def url(name: str) -> str:
        found = told.get(name)
        if not isinstance(found, str) or not is_safe_url(found, homeserver):
            shown = f"as {name} {plain_line(found, 100)!r}" if isinstance(found, str) else f"no {name}"
            raise UserError(
                f"{homeserver} signs in by OAuth 2.0, and names {shown}, which cannot be used.",
                "Tell whoever runs the server.",
            )
        return found

    def optional_url(name: str) -> str:
        found = told.get(name)
        return found if isinstance(found, str) and is_safe_url(found, homeserver) else ""

    issuer = url("issuer")
    if URL(issuer).query_string:  # RFC 8414, section 2
        raise UserError(
            f"{homeserver} names an OAuth 2.0 issuer that is none: {plain_line(issuer, 100)!r}.",
            "Tell whoever runs the server.",
        )
    return AuthServer(
        homeserver=homeserver,
        issuer=issuer,
        authorization_endpoint=url("authorization_endpoint"),
        token_endpoint=url("token_endpoint"),
        registration_endpoint=url("registration_endpoint"),
        revocation_endpoint=url("revocation_endpoint"),
        device_authorization_endpoint=optional_url("device_authorization_endpoint"),
        account_management_uri=optional_url("account_management_uri"),
        account_management_actions=_names(told.get("account_management_actions_supported")),
        # RFC 8414, section 2, says what an absent list means.
        grant_types=frozenset(_names(told.get("grant_types_supported", ["authorization_code"]))),
        names_issuer=told.get("authorization_response_iss_parameter_supported") is True,
    )


def _names(told: object) -> tuple[str, ...]:
    found = told[:_MAX_NAMES] if isinstance(told, list) else []
    return tuple(each for each in found if isinstance(each, str) and 0 < len(each) <= _MAX_NAME and each.isprintable())
