"""Watches how long the access token still lives that a handoff needs: without one nothing can be switched on again."""

from __future__ import annotations

import asyncio

from heliograph.core.oauth.token_life import LEFT_FOR_HANDOFF_S, handoff_left
from heliograph.errors import Unreachable
from heliograph.ports.tokens import AccessTokens

RENEWAL_S = 1.0
"""How long switching off waits for a renewal. A user who leaves meanwhile waits behind it."""


class TokenWatch:
    """Says when the desktop has to let go, since its token ends and could not be renewed."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self._is_ending = False

    @property
    def is_ending(self) -> bool:
        """True from a minute before the end of a token that nobody renews until there is another."""
        left_s = self._left_s()
        # Nothing can be switched with one that has ended. So who had time for a handoff stays away, and a daemon that
        # begins with such a token, as after each night, gets the next one with its first request.
        if left_s is None or left_s[0] > 0:
            self._is_ending = left_s is not None and left_s[1] <= 0
        return self._is_ending

    def wait_s(self) -> float | None:
        """In how many seconds to look again; None: nothing changes by itself."""
        left_s = self._left_s()
        return None if left_s is None or left_s[1] <= 0 else left_s[1]

    async def demand(self) -> None:
        """Returns if the token lives long enough for what is switched off to be switched on again. Raises ServerError
        if no such token can be had within a second."""
        try:
            async with asyncio.timeout(RENEWAL_S):
                await self._tokens.fresh(least_left_s=LEFT_FOR_HANDOFF_S)
        except TimeoutError:
            raise Unreachable("the access token ends soon, and is not renewed yet") from None

    def _left_s(self) -> tuple[float, float] | None:
        """How long the token lives, and how long until a handoff is due, in seconds. None: it lasts."""
        left_s, life_s = self._tokens.left_s(), self._tokens.life_s()
        if left_s is None or life_s is None:
            return None
        return left_s, left_s - handoff_left(life_s)
