"""Signs devices in and out. https://spec.matrix.org/v1.16/client-server-api/#login"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.core.text.clean import count_things
from heliograph.errors import AccountLocked, BadAnswer, LoggedOut, RateLimited, Refused, ServerError, UserError
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.session import Session

_LOGIN = "/_matrix/client/v3/login"
_WHOAMI = "/_matrix/client/v3/account/whoami"
_AUTH_METADATA = ("/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata")
_LASTING_TOKENS = ("mct_", "mpt_")
"""How the access tokens of Matrix Authentication Service begin that are no OAuth 2.0 tokens: of a sign-in in the older
ways, and personal ones."""
_OAUTH_TOKENS = "mat_"
_MAX_ANSWER = 256 * 1024
_MAX_TOKEN = 8192
_MAX_ID = 255
_LOOKS_S = (0, 0.5, 1, 2, 4)
"""How long to wait before each look whether an access token has ended."""
_LOGIN_TIMEOUT_S = 60.0
"""Password hashing is slow on purpose, and small servers are slow as well."""


class Flow(Enum):
    """The ways to sign in that Heliograph knows."""

    PASSWORD = "m.login.password"  # noqa: S105
    SSO = "m.login.sso"
    TOKEN = "m.login.token"  # noqa: S105


_PREFERRED = ("oauth_aware_preferred", "org.matrix.msc3824.delegated_oidc_compatibility")
"""Marks single sign-on as what the server prefers (MSC3824): its name in the specification, and that of before."""


@dataclass(frozen=True, slots=True)
class OfferedFlows:
    """The ways to sign in that a homeserver offers, as far as Heliograph knows them."""

    flows: frozenset[Flow]
    prefers_sso: bool
    """True if the server wants single sign-on from a client that can do it, though it may take passwords as well: its
    users sign in by OAuth 2.0, and may have no password, or a second factor."""


@dataclass(frozen=True, slots=True)
class Device:
    """A signed-in device."""

    user_id: UserId
    device_id: str
    access_token: str = field(repr=False)


async def login_flows(session: Session) -> OfferedFlows:
    """The ways to sign in that the server offers and we know, at least one. Raises UserError.

    https://spec.matrix.org/v1.18/client-server-api/#get_matrixclientv3login
    """
    try:
        answer = await session.request_json("GET", _LOGIN, limit=_MAX_ANSWER)
    except Refused as error:
        # A server that knows only OAuth 2.0 need not have this endpoint at all.
        if error.status not in (400, 404, 405) or not await has_oauth(session):
            raise _explain(error, session) from error
        raise _only_oauth(session) from None
    except ServerError as error:
        raise _explain(error, session) from error
    flows = answer.get("flows") if isinstance(answer, dict) else None
    offered = [flow for flow in flows if isinstance(flow, dict)] if isinstance(flows, list) else []
    types = [flow.get("type") for flow in offered]
    known = frozenset(flow for flow in Flow if flow.value in types)
    # m.login.token alone is the second half of m.login.sso.
    if known & {Flow.PASSWORD, Flow.SSO}:
        return OfferedFlows(known, any(map(_is_preferred_sso, offered)))
    if await has_oauth(session):
        raise _only_oauth(session)
    raise UserError(
        f"{session.homeserver_url} offers no way to sign in that Heliograph knows.",
        "Ask whoever runs it for an access token, and give it with --access-token-stdin.",
    )


def _is_preferred_sso(flow: Json) -> bool:
    return flow.get("type") == Flow.SSO.value and any(flow.get(mark) is True for mark in _PREFERRED)


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


async def has_oauth(session: Session) -> bool:
    """True if the server signs its users in by OAuth 2.0. Raises UserError if the server does not tell: only an answer
    that no such endpoint exists is a no.

    https://spec.matrix.org/v1.18/client-server-api/#get_matrixclientv1auth_metadata
    """
    for path in _AUTH_METADATA:
        try:
            answer = await session.request_json("GET", path, limit=_MAX_ANSWER)
        except Refused:
            continue
        except BadAnswer as error:
            if error.status in (404, 405):  # of a proxy that passes on only what it knows
                continue
            # Synapse has nothing but a 500 to say while its Matrix Authentication Service is down.
            # Test: test_a_server_that_does_not_tell_whether_it_has_oauth_is_asked_again_later.
            raise UserError(
                f"{session.homeserver_url} does not tell at the moment how it signs in: it {error}.",
                "Try again in some minutes.",
            ) from error
        except ServerError as error:
            raise _explain(error, session) from error
        if isinstance(answer, dict) and isinstance(answer.get("token_endpoint"), str):
            return True
    return False


async def refuse_oauth_token(session: Session, user_id: UserId, access_token: str) -> None:
    """Raises UserError if this is an OAuth 2.0 access token, as far as its beginning and the server tell: it would
    expire within minutes. `session` is not signed in: the token is sent nowhere before it is known to be of use."""
    if access_token.startswith(_LASTING_TOKENS):
        return
    if access_token.startswith(_OAUTH_TOKENS) or await has_oauth(session):
        raise UserError(
            "This looks like an access token of OAuth 2.0, which expires within minutes and then ends the sign-in.",
            f"Sign in without one: heliograph login {user_id}",
        )


async def recognise(session: Session, user_id: UserId) -> Device:
    """The device to which the session's access token belongs. Raises LoggedOut if the token is no longer good, and
    UserError for all else, also for the token of another user."""
    try:
        answer = await session.request_json("GET", _WHOAMI, limit=_MAX_ANSWER)
    except LoggedOut:
        raise
    except ServerError as error:
        raise _explain(error, session) from error
    found = _text(answer, "user_id", _MAX_ID)
    if found is None:
        raise _nonsense(session)
    if found != user_id:
        raise _somebody_else(found, user_id)
    device_id = _text(answer, "device_id", _MAX_ID)
    if device_id is None:
        raise UserError(
            "This access token belongs to no device, so messages could not be decrypted with it.",
            f"Sign in with a password or in the browser: heliograph login {user_id}",
        )
    return Device(user_id, device_id, session.access_token or "")


async def log_out(session: Session, pushkey: str) -> None:
    """Ends the device and its pushers, and returns once the homeserver no longer knows the access token, which may have
    been so before. One refusal of the token may be wrong, so the homeserver is asked once more.

    Raises LoggedOut if the token is no longer good and the device lives on, and another ServerError if nobody confirms
    the end.
    """
    try:
        await _end_device(session, pushkey)
    except LoggedOut as refusal:
        if not await knows_token(session):
            if refusal.soft:
                raise
            return
        await _end_device_after_all(session, pushkey)
    await _see_end(session)


async def _see_end(session: Session) -> None:
    # A 200 is no proof: it may be of something between, and what a server of several processes has ended lives on in
    # the memory of the others for a moment. Test: test_a_logout_that_ends_nothing_is_not_believed.
    for wait_s in _LOOKS_S:
        await asyncio.sleep(wait_s)
        try:
            await session.request("GET", _WHOAMI, limit=_MAX_ANSWER)
        except LoggedOut as gone:
            if gone.soft:
                raise
            return
    raise BadAnswer(200, "says that the device has ended, and still knows its access token")


async def remove_pushers(session: Session, pushkey: str) -> None:
    """Removes all of the user's pushers with this pushkey, whichever device set them. Raises ServerError."""
    answer = await session.request_json("GET", "/_matrix/client/v3/pushers")
    pushers = answer.get("pushers") if isinstance(answer, dict) else None
    for pusher in pushers if isinstance(pushers, list) else ():
        app_id = _text(pusher, "app_id", _MAX_ID)
        if app_id is None or _text(pusher, "pushkey", 512) != pushkey:
            continue
        await session.request(
            "POST",
            "/_matrix/client/v3/pushers/set",
            body={"app_id": app_id, "pushkey": pushkey, "kind": None},
            limit=_MAX_ANSWER,
        )


async def _end_device(session: Session, pushkey: str) -> None:
    # Pushers first: the token that removes them ends with the device, and not every server removes them itself.
    # Test: test_logging_out_removes_our_pushers_and_the_device.
    try:
        await remove_pushers(session, pushkey)
    except LoggedOut as gone:
        # An expired token still ends its device, and the homeserver may then see to the pushers.
        # Test: test_an_expired_token_still_ends_its_device.
        if not gone.soft:
            raise
    await session.request("POST", "/_matrix/client/v3/logout", body={}, limit=_MAX_ANSWER)


async def _end_device_after_all(session: Session, pushkey: str) -> None:
    try:
        await _end_device(session, pushkey)
    except LoggedOut as error:
        if await knows_token(session):
            raise BadAnswer(401, "refuses the access token, which it knows when it is asked whose that is") from error


async def knows_token(session: Session) -> bool:
    """True if the homeserver knows the session's access token, by GET /account/whoami. Raises ServerError if that
    cannot be told."""
    try:
        await session.request("GET", _WHOAMI, limit=_MAX_ANSWER)
    except LoggedOut:
        return False
    except AccountLocked:
        return True
    return True


async def _log_in(session: Session, user_id: UserId, proof: Json, device_name: str, device_id: str | None) -> Device:
    body: dict[str, Any] = {**proof, "initial_device_display_name": device_name}
    if device_id is not None:
        body["device_id"] = device_id
    try:
        answer = await session.request_json("POST", _LOGIN, body=body, timeout_s=_LOGIN_TIMEOUT_S, limit=_MAX_ANSWER)
    except LoggedOut as error:
        raise _unaccepted(proof) from error
    except Refused as error:
        # Other codes with 403 say what else is wrong: a closed account, for example.
        is_unaccepted = error.errcode in ("M_FORBIDDEN", "") and error.status == 403
        raise _unaccepted(proof) if is_unaccepted else _explain(error, session) from error
    except ServerError as error:
        raise _explain(error, session) from error
    found, token = _text(answer, "user_id", _MAX_ID), _text(answer, "access_token", _MAX_TOKEN)
    device = _text(answer, "device_id", _MAX_ID)
    if found is None or token is None or device is None:
        raise _nonsense(session)
    # Signed in first, since signing out again needs the new token.
    # Test: test_who_signs_in_as_somebody_else_is_signed_out_again.
    session.sign_in(access_token=token, user_id=user_id, device_id=device)
    if found != user_id:
        await _undo(session)
        raise _somebody_else(found, user_id)
    return Device(user_id, device, token)


async def _undo(session: Session) -> None:
    try:
        await session.request("POST", "/_matrix/client/v3/logout", body={}, limit=_MAX_ANSWER)
    except ServerError:
        return  # The device stays in the user's list, where the user can remove it.


def _text(answer: object, key: str, limit: int) -> str | None:
    """The value of this key if it is a printable text without spaces, as ids and tokens are; else None."""
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        return None
    return value if value.isprintable() and " " not in value else None


def _explain(error: ServerError, session: Session) -> UserError:
    server = session.homeserver_url
    match error:
        case RateLimited():
            wait = count_things(round(error.after), "second") if error.after else "some minutes"
            return UserError(f"{server} had too many attempts to sign in lately.", f"Wait {wait} and try again.")
        case Refused(errcode="M_USER_DEACTIVATED"):
            return UserError("This account was closed.", "It cannot sign in any more; ask whoever runs the server.")
        case AccountLocked():
            return UserError("This account is locked.", "Ask whoever runs the server to unlock it.")
        case Refused():
            return UserError(
                f"{server} does not let us sign in: it {error}.", "Try another way: see `heliograph login --help`."
            )
        case BadAnswer():
            return UserError(
                f"{server} does not answer as a homeserver: it {error}.", "Check the URL, and try again later."
            )
    return UserError(f"{server} cannot be reached: {error}.", "Check your connection, and try again.")


def _unaccepted(proof: Json) -> UserError:
    if proof["type"] == Flow.PASSWORD.value:
        return UserError("Wrong user id or password.", "Check both, and try again.")
    return UserError("The server did not accept what the browser brought.", "Sign in again, with the same command.")


def _nonsense(session: Session) -> UserError:
    return UserError(
        f"{session.homeserver_url} gave an answer that is not one to signing in.",
        "Check the URL; if it is right, tell whoever runs the server.",
    )


def _somebody_else(found: str, wanted: str) -> UserError:
    return UserError(
        f"That signs in {plain_line(found)}, not {wanted}.",
        f"If that is you: heliograph login {plain_line(found)}",
    )


def _only_oauth(session: Session) -> UserError:
    return UserError(
        f"{session.homeserver_url} signs in through OAuth 2.0 only, which Heliograph does not speak yet.",
        "Ask whoever runs it for a compatibility token for a device of its own "
        "(mas-cli manage issue-compatibility-token), and give it with --access-token-stdin.",
    )
