"""Finds out whether the device was really signed out, when one answer of the homeserver said so.

One answer does not prove that: a worker may lag behind, a backup may have been played back, another homeserver may
answer for a moment. And what follows a sign-out cannot be undone. So GET /account/whoami is asked, which needs nothing
but the token, and if that says so, too, once more a minute later. Until then nothing is acknowledged, so nothing is
lost. Test: test_it_ends_when_whoami_says_so_twice_a_minute_apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from heliograph.core.backoff import reconnect_delay
from heliograph.errors import AccountLocked, LoggedOut, RateLimited, ServerError

INTERVAL_S = 60.0
"""Between the two answers of whoami, by the event loop's clock: nobody sets it, and it stands while the machine
sleeps."""
CONFIRMATIONS = 2


class SignOutCheck:
    """Asks for one account.

    `whoami` raises ServerError. `sleep` waits for so many seconds, or less if it is worth trying again at once. `note`
    takes what keeps whoami from being answered. `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        whoami: Callable[[], Awaitable[None]],
        sleep: Callable[[float], Awaitable[object]],
        note: Callable[[Exception], None],
        *,
        jitter: Callable[[], float],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._whoami = whoami
        self._sleep = sleep
        self._note = note
        self._jitter = jitter
        self._interval_s = interval_s

    async def confirm(self, gone: LoggedOut) -> LoggedOut | None:
        """The sign-out, once it is certain. None: the device is still signed in.

        If any answer says that the device still exists (soft logout), the sign-out is a soft one: then the keys are
        kept, and keeping them in vain is the lesser evil.
        """
        is_soft, confirmations, failures = gone.soft, 0, 0
        while True:
            try:
                await self._whoami()
            except LoggedOut as again:
                is_soft, confirmations, failures = is_soft or again.soft, confirmations + 1, 0
                if confirmations == CONFIRMATIONS:
                    return LoggedOut(soft=is_soft)
                await self._rest(self._interval_s)
            except AccountLocked:
                # The account is locked, which says that the homeserver knows the token.
                return None
            except ServerError as trouble:
                failures += 1
                self._note(trouble)
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                await self._sleep(reconnect_delay(failures, self._jitter(), asked))
            else:
                return None

    async def _rest(self, seconds: float) -> None:
        """Waits for all of it: a network that comes up does not make the second answer worth more."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await self._sleep(left)
