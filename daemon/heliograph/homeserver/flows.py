"""The ways to sign in that a homeserver offers: OAuth 2.0, or the older ones of /login."""

from __future__ import annotations

from enum import Enum

from heliograph.core.events import Json
from heliograph.core.value_type import value_type
from heliograph.errors import BadAnswer, Refused, ServerError, UserError
from heliograph.homeserver.login_failures import explain
from heliograph.homeserver.oauth.metadata import AuthServer, find_auth_server
from heliograph.homeserver.session import Session

LOGIN = "/_matrix/client/v3/login"
_MAX_ANSWER = 256 * 1024


class Flow(Enum):
    """The older ways to sign in that Heliograph knows."""

    PASSWORD = "m.login.password"  # noqa: S105
    SSO = "m.login.sso"
    TOKEN = "m.login.token"  # noqa: S105


_PREFERRED = ("oauth_aware_preferred", "org.matrix.msc3824.delegated_oidc_compatibility")
"""Marks single sign-on as what the server prefers (MSC3824): its name in the specification, and that of before."""


@value_type
class OfferedFlows:
    """The older ways to sign in that a homeserver offers, as far as Heliograph knows them."""

    flows: frozenset[Flow]
    prefers_sso: bool
    """True if the server wants single sign-on from a client that can do it, though it may take passwords as well: its
    users sign in by OAuth 2.0, and may have no password, or a second factor."""


async def ask_auth_server(session: Session) -> AuthServer | None:
    """`find_auth_server`, for a command: raises UserError alone."""
    try:
        return await find_auth_server(session)
    except BadAnswer as error:
        # Synapse has nothing but a 500 to say while its Matrix Authentication Service is down.
        # Test: test_a_server_that_does_not_tell_whether_it_has_oauth_is_asked_again_later.
        raise UserError(
            f"{session.homeserver_url} does not tell at the moment how it signs in: it {error}.",
            "Try again in some minutes.",
        ) from error
    except ServerError as error:
        raise explain(error, session) from error


async def login_flows(session: Session) -> OfferedFlows:
    """The older ways to sign in that the server offers and we know, at least one. Raises UserError.

    https://spec.matrix.org/v1.18/client-server-api/#get_matrixclientv3login
    """
    try:
        answer = await session.request_json("GET", LOGIN, limit=_MAX_ANSWER)
    except Refused as error:
        # A server that knows only OAuth 2.0 need not have this endpoint at all.
        if error.status not in (400, 404, 405) or not await ask_auth_server(session):
            raise explain(error, session) from error
        raise _only_oauth(session) from None
    except ServerError as error:
        raise explain(error, session) from error
    flows = answer.get("flows") if isinstance(answer, dict) else None
    offered = [flow for flow in flows if isinstance(flow, dict)] if isinstance(flows, list) else []
    types = [flow.get("type") for flow in offered]
    known = frozenset(flow for flow in Flow if flow.value in types)
    # m.login.token alone is the second half of m.login.sso.
    if known & {Flow.PASSWORD, Flow.SSO}:
        return OfferedFlows(known, any(map(_is_preferred_sso, offered)))
    if await ask_auth_server(session):
        raise _only_oauth(session)
    raise UserError(
        f"{session.homeserver_url} offers no way to sign in that Heliograph knows.",
        "Ask whoever runs it for an access token, and give it with --access-token-stdin.",
    )


def _is_preferred_sso(flow: Json) -> bool:
    return flow.get("type") == Flow.SSO.value and any(flow.get(mark) is True for mark in _PREFERRED)


def _only_oauth(session: Session) -> UserError:
    return UserError(
        f"{session.homeserver_url} signs in by OAuth 2.0 alone.",
        "Leave out --sso and --password-stdin.",
    )
