"""Renews the access token at half of its life, so that whatever the daemon does next has one that lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from heliograph.core.oauth.token_life import renewal_age
from heliograph.errors import ServerError, TokenRefused
from heliograph.ports.tokens import AccessTokens
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

LONGEST_REST_S = 15.0
SHORTEST_REST_S = 1.0
"""The rests after a renewal that failed. How often the token endpoint is asked is for the tokens to say."""


class RenewalLoop:
    """Renews the tokens of one account. `jitter` gives numbers in [0, 1), so that devices do not renew all at once."""

    def __init__(self, tokens: AccessTokens, *, jitter: Callable[[], float]) -> None:
        self._tokens = tokens
        self._jitter = jitter
        self._woken = asyncio.Event()

    def turn(self) -> None:
        """The sync loop made a turn. After sleep that comes sooner than the end of a wait here, whose clock stood."""
        self._woken.set()

    async def run(self) -> None:
        """Renews until it is cancelled."""
        await keep_running("renewal", self._run, jitter=self._jitter)

    async def _run(self) -> None:
        jitter = self._jitter()
        while (life_s := self._tokens.life_s()) is not None:
            wait_s = renewal_age(life_s, jitter) - (life_s - (self._tokens.left_s() or 0))
            if wait_s > 0:
                await self._rest(wait_s)
                continue
            try:
                await self._tokens.fresh(least_left_s=life_s)
                jitter = self._jitter()
            except ServerError as trouble:
                # Told and judged elsewhere: whoever sends a request without a living token gets the same error.
                log.info("The access token was not renewed: %s", trouble)
                await self._rest_after(trouble)

    async def _rest_after(self, trouble: ServerError) -> None:
        # Once the token has expired, every request renews it, or tries to.
        left_s = self._tokens.left_s() or 4 * LONGEST_REST_S
        rest_s = trouble.after if isinstance(trouble, TokenRefused) else min(LONGEST_REST_S, left_s / 4)
        await asyncio.sleep(max(rest_s, SHORTEST_REST_S))

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
