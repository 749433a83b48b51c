"""Asks whether a homeserver has moved to OAuth 2.0, when a device was signed out that knows only the older ways."""

from __future__ import annotations

import asyncio

from heliograph.errors import ServerError, UserError
from heliograph.homeserver.session import Session

ANSWER_S = 20.0
"""How long the end of an account waits for the answer."""


async def has_moved_to_oauth(homeserver_url: str) -> bool:
    """True if users sign in there by OAuth 2.0 now. Without an answer in 20 seconds they do not, as far as we know."""
    # Only here: an account seldom ends.
    from heliograph.homeserver.oauth.metadata import find_auth_server

    session = Session(homeserver_url)
    try:
        async with asyncio.timeout(ANSWER_S):
            return await find_auth_server(session) is not None
    except UserError:  # It does, by endpoints that cannot be used.
        return True
    except (ServerError, TimeoutError):
        return False
    finally:
        await session.close()
