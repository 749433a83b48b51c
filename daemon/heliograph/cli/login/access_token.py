"""Signs in with an access token that the user has already."""

from __future__ import annotations

from heliograph.cli.login.ways import Proven
from heliograph.core.ids import UserId
from heliograph.errors import LoggedOut, UserError
from heliograph.homeserver.login import recognise, refuse_oauth_token
from heliograph.homeserver.session import Session


async def take_access_token(session: Session, user_id: UserId, access_token: str) -> Proven:
    """The device of this access token. Raises UserError."""
    await refuse_oauth_token(session, user_id, access_token)
    # A piped token may be anybody's: whoami says whose it is, and of which device.
    session.sign_in(access_token=access_token, user_id=user_id, device_id="")
    try:
        return Proven(await recognise(session, user_id))
    except LoggedOut:
        raise UserError(
            "The server does not know this access token.",
            f"Get a fresh one, or sign in without: heliograph login {user_id}",
        ) from None
