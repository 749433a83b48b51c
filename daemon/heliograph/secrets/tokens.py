"""Gives the access tokens of a device of OAuth 2.0, and renews them: one process at a time, and kept before used.

A renewal under the lock of the account's folder: read the file again, since another process may have been quicker; ask
the token endpoint; write the new tokens and flush them to the disk; only then use them. Until a new access token is
used, the server takes the earlier refresh token once more, so an answer that is lost, or a process that is killed at
any of these steps, loses nothing. Tests: test_a_kill_at_any_step_of_a_renewal_keeps_the_session,
test_tokens_are_on_the_disk_before_they_are_used.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from heliograph.core.oauth.renewal_pace import RenewalPace
from heliograph.core.oauth.token_answer import Ended, TryAgain
from heliograph.core.oauth.token_life import age_by_wall_clock, suffices
from heliograph.core.value_type import value_type
from heliograph.errors import LoggedOut, ServerError, TokenRefused, Unreachable, UserError
from heliograph.ports.tokens import TokenEndpoint
from heliograph.secrets.token_file import KeptTokens, TokenFile, keep_grant
from heliograph.system.clock import boottime, now_ms
from heliograph.system.tasks import look_at, start

log = logging.getLogger(__name__)

LAST_ANSWER_S = 3.0
"""How long the end waits for a renewal that is under way."""
ENDED_S = 30.0
"""How long an answer that the session has ended is told again, before the endpoint is asked once more."""


@value_type
class _Tokens:
    kept: KeptTokens
    born_s: float
    """When they were asked for, by the clock that nobody sets."""


class SealedTokens:
    """The tokens of one account in this process (`ports.tokens`). Other processes may use the same file.

    Ages are by `boottime`, which goes on while the machine sleeps; only the age of tokens that another process got is
    by the wall clock (`clock`, in milliseconds since 1970). `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        file: TokenFile,
        endpoint: TokenEndpoint,
        kept: KeptTokens,
        *,
        clock: Callable[[], int] = now_ms,
        boottime: Callable[[], float] = boottime,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`kept` is what the file holds."""
        self._file = file
        self._endpoint = endpoint
        self._clock = clock
        self._boottime = boottime
        self._jitter = jitter
        self._pace = RenewalPace()
        self._trouble: ServerError | None = None
        """Why the latest renewal failed, which is told again until it is time for the next."""
        self._doubted = self._unproven = ""
        """The access token that was refused last; and the one that we got for it, until the homeserver takes that."""
        self._renewal: asyncio.Task[None] | None = None
        self._unsaved: _Tokens | None = None
        """Tokens that came and could not be written, so that they may not be used either."""
        self._hand = self._of_another_process(kept)

    # As the port has it

    async def fresh(self, *, least_left_s: float = 0) -> str:
        await self._replace(lambda: self._suffices(least_left_s))
        return self._hand.kept.access_token

    async def renew(self, refused: str) -> str:
        # One that has ended meanwhile, on a slow machine or line, says nothing of the account.
        if refused == self._unproven != self._doubted and self._suffices(0):
            self._pace.note_refusal(self._boottime())
        if refused == self._hand.kept.access_token:
            self._doubted = refused
        await self._replace(lambda: self._hand.kept.access_token != self._doubted)
        return self._hand.kept.access_token

    def note_accepted(self, access_token: str) -> None:
        if access_token == self._hand.kept.access_token:
            self._doubted = self._unproven = ""
            if self._pace.is_refused:
                self._pace.note_accepted()

    def left_s(self) -> float | None:
        life_s = self._hand.kept.life_s
        return None if life_s is None else max(0.0, self._hand.born_s + life_s - self._boottime())

    def life_s(self) -> float | None:
        return self._hand.kept.life_s

    async def close(self) -> None:
        if self._renewal is not None:
            await asyncio.wait([self._renewal], timeout=LAST_ANSWER_S)

    # Renewing

    def _suffices(self, least_left_s: float) -> bool:
        left_s, life_s = self.left_s(), self.life_s()
        return left_s is None or life_s is None or suffices(left_s, life_s, least_left_s)

    async def _replace(self, is_good: Callable[[], bool]) -> None:
        """Renews the tokens unless those in hand are good. Whoever else wants that meanwhile waits for the same answer.
        A caller that gives up leaves the renewal alone, since the server may have given out the next tokens already."""
        while not is_good():
            is_ours = self._renewal is None or self._renewal.done()
            if self._renewal is None or is_ours:
                self._renewal = start(self._renew(is_good), name="renewing an access token")
                self._renewal.add_done_callback(look_at)
            await asyncio.shield(self._renewal)
            if is_ours:
                return

    async def _renew(self, is_good: Callable[[], bool]) -> None:
        async with self._file.locked():
            try:
                await self._look_again()
                if is_good():
                    return
                self._check_pace()
                self._unsaved = self._unsaved or await self._ask()
                await asyncio.to_thread(self._file.save, self._unsaved.kept)
            except UserError as error:
                raise self._fail(Unreachable(f"the access token cannot be renewed: {error}")) from error
        # Only now: see the top of this module.
        self._hand, self._unsaved = self._unsaved, None
        self._unproven = self._hand.kept.access_token if self._doubted else ""
        self._note_token()
        log.info("The access token was renewed")

    async def _look_again(self) -> None:
        """Takes what another process has written since. Raises UserError, and LoggedOut if the file is gone."""
        kept = await asyncio.to_thread(self._file.load)
        if kept is None:
            raise LoggedOut(soft=True)
        if kept.access_token != self._hand.kept.access_token:
            # The earlier refresh token has served already, so what we got for it is good no more.
            self._hand, self._unsaved = self._of_another_process(kept), None
            self._unproven = ""
            self._note_token()

    def _check_pace(self) -> None:
        """Raises what went wrong last if it is not time yet to ask again."""
        wait_s = self._pace.wait_s(self._boottime())
        if wait_s > 0:
            # Without the traceback, which would grow with each time that the error is raised.
            raise self._trouble.with_traceback(None) if self._trouble is not None else TokenRefused(wait_s)

    async def _ask(self) -> _Tokens:
        if not self._hand.kept.refresh_token:
            raise LoggedOut(soft=True)
        born_ms, born_s = self._clock(), self._boottime()
        answer = await self._endpoint.refresh(self._hand.kept.refresh_token)
        match answer:
            case TryAgain():
                trouble = Unreachable(f"the access token cannot be renewed: the token endpoint answered {answer.why}")
                raise self._fail(trouble, answer.after_s)
            case Ended():
                log.info("The token endpoint ended the session: %s", answer.code)
                raise self._fail(LoggedOut(soft=True), ENDED_S)
        return _Tokens(keep_grant(answer.grant, born_ms, earlier_refresh_token=self._hand.kept.refresh_token), born_s)

    def _fail(self, trouble: ServerError, asked_s: float | None = None) -> ServerError:
        self._trouble = trouble
        self._pace.note_failure(self._boottime(), self._jitter(), asked_s)
        return trouble

    def _note_token(self) -> None:
        self._trouble = None
        self._pace.note_token()

    def _of_another_process(self, kept: KeptTokens) -> _Tokens:
        age_s = age_by_wall_clock(self._clock(), kept.born_ms, kept.life_s or 0)
        return _Tokens(kept, self._boottime() - age_s)
