"""Signs a device in, in the older ways.

https://spec.matrix.org/v1.18/client-server-api/#legacy-api
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.core.value_type import value_type
from heliograph.errors import LoggedOut, Refused, ServerError, TokenRefused, UserError
from heliograph.homeserver.decoding import one_word
from heliograph.homeserver.flows import LOGIN, Flow, ask_auth_server
from heliograph.homeserver.login_failures import explain, nonsense, somebody_else
from heliograph.homeserver.session import Session

_WHOAMI = "/_matrix/client/v3/account/whoami"
_LASTING_TOKENS = ("mct_", "mpt_")
"""How the access tokens of Matrix Authentication Service begin that are no OAuth 2.0 tokens: of a sign-in in the older
ways, and personal ones."""
_OAUTH_TOKENS = "mat_"
_MAX_ANSWER = 256 * 1024
_MAX_TOKEN = 8192
_MAX_ID = 255
_LOGIN_TIMEOUT_S = 60.0
"""Password hashing is slow on purpose, and small servers are slow as well."""


@value_type
class Device:
    """A signed-in device."""

    user_id: UserId
    device_id: str
    access_token: str = field(repr=False)


async def log_in_with_password(
    session: Session, user_id: UserId, password: str, *, device_name: str, device_id: str | None = None
) -> Device:
    """Signs in with a password. `device_id` names a device that was signed out softly, which is then signed in again.
    Raises UserError."""
    proof = {
        "type": Flow.PASSWORD.value,
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
    }
    return await _log_in(session, user_id, proof, device_name, device_id)


async def log_in_with_token(
    session: Session, user_id: UserId, login_token: str, *, device_name: str, device_id: str | None = None
) -> Device:
    """Signs in with the login token that single sign-on gave; `device_id` as above. Raises UserError."""
    proof = {"type": Flow.TOKEN.value, "token": login_token}
    return await _log_in(session, user_id, proof, device_name, device_id)


async def refuse_oauth_token(session: Session, user_id: UserId, access_token: str) -> None:
    """Raises UserError if this is an OAuth 2.0 access token, as far as its beginning and the server tell: it would
    expire within minutes. `session` is not signed in: the token is sent nowhere before it is known to be of use."""
    if access_token.startswith(_LASTING_TOKENS):
        return
    if access_token.startswith(_OAUTH_TOKENS) or await ask_auth_server(session) is not None:
        raise UserError(
            "This looks like an access token of OAuth 2.0, which expires within minutes and then ends the sign-in.",
            f"Sign in without one: heliograph login {user_id}",
        )


async def recognise(session: Session, user_id: UserId) -> Device:
    """The device to which the session's access token belongs. Raises LoggedOut if the token is no longer good,
    TokenRefused if a fresh one is refused, and UserError for all else, also for the token of another user."""
    try:
        answer = await session.request_json("GET", _WHOAMI, limit=_MAX_ANSWER)
    except (LoggedOut, TokenRefused):
        raise
    except ServerError as error:
        raise explain(error, session) from error
    found = one_word(answer, "user_id", _MAX_ID)
    if found is None:
        raise nonsense(session)
    if found != user_id:
        raise somebody_else(found, user_id)
    device_id = one_word(answer, "device_id", _MAX_ID)
    if device_id is None:
        raise UserError(
            "This access token belongs to no device, so messages could not be decrypted with it.",
            f"Sign in with a password or in the browser: heliograph login {user_id}",
        )
    return Device(user_id, device_id, session.access_token or "")


async def _log_in(session: Session, user_id: UserId, proof: Json, device_name: str, device_id: str | None) -> Device:
    body: dict[str, Any] = {**proof, "initial_device_display_name": device_name}
    if device_id is not None:
        body["device_id"] = device_id
    try:
        answer = await session.request_json("POST", LOGIN, body=body, timeout_s=_LOGIN_TIMEOUT_S, limit=_MAX_ANSWER)
    except LoggedOut as error:
        raise _unaccepted(proof) from error
    except Refused as error:
        # Other codes with 403 say what else is wrong: a closed account, for example.
        is_unaccepted = error.errcode in ("M_FORBIDDEN", "") and error.status == 403
        raise _unaccepted(proof) if is_unaccepted else explain(error, session) from error
    except ServerError as error:
        raise explain(error, session) from error
    found, token = one_word(answer, "user_id", _MAX_ID), one_word(answer, "access_token", _MAX_TOKEN)
    device = one_word(answer, "device_id", _MAX_ID)
    if found is None or token is None or device is None:
        raise nonsense(session)
    # Signed in first, since signing out again needs the new token.
    # Test: test_who_signs_in_as_somebody_else_is_signed_out_again.
    session.sign_in(access_token=token, user_id=user_id, device_id=device)
    if found != user_id:
        await _undo(session)
        raise somebody_else(found, user_id)
    return Device(user_id, device, token)


async def _undo(session: Session) -> None:
    try:
        await session.request("POST", "/_matrix/client/v3/logout", body={}, limit=_MAX_ANSWER)
    except ServerError:
        return  # The device stays in the user's list, where the user can remove it.


def _unaccepted(proof: Json) -> UserError:
    if proof["type"] == Flow.PASSWORD.value:
        return UserError("Wrong user id or password.", "Check both, and try again.")
    return UserError("The server did not accept what the browser brought.", "Sign in again, with the same command.")
