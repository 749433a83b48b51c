"""Signs a device out, and believes only what the homeserver shows afterwards."""

from __future__ import annotations

import asyncio

from heliograph.errors import AccountLocked, BadAnswer, LoggedOut
from heliograph.homeserver.decoding import one_word
from heliograph.homeserver.session import Session

_WHOAMI = "/_matrix/client/v3/account/whoami"
_MAX_ANSWER = 256 * 1024
_MAX_ID = 255
_MAX_PUSHKEY = 512
_LOOKS_S = (0, 0.5, 1, 2, 4)
"""How long to wait before each look whether an access token has ended."""


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
    await see_end(session)


async def see_end(session: Session) -> None:
    """Returns once the homeserver no longer knows the session's access token, for which it is given some seconds.

    Raises LoggedOut if the token has expired and the device lives on, and another ServerError if nobody confirms the
    end.
    """
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
        app_id = one_word(pusher, "app_id", _MAX_ID)
        if app_id is None or one_word(pusher, "pushkey", _MAX_PUSHKEY) != pushkey:
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
    await end_token(session)


async def end_token(session: Session) -> None:
    """Ends the session's access token, which was got in one of the older ways, and its device with it. What the
    homeserver says is no proof: `see_end` looks. Raises ServerError."""
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
