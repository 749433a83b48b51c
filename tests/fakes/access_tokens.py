"""Access tokens that a test expires, renews and refuses."""

from __future__ import annotations

from collections.abc import Callable

from heliograph.core.oauth.token_life import suffices
from heliograph.errors import LoggedOut, TokenRefused, Unreachable


class FakeAccessTokens:
    """The tokens "token 1", "token 2" and so on. Time passes by `clock` (seconds), and when the test says so
    (`pass_time`)."""

    def __init__(self, life_s: float = 300, *, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.granted_s = life_s
        """How long the next tokens live."""
        self.trouble: LoggedOut | TokenRefused | Unreachable | None = None
        """What comes of renewing, in place of a token."""
        self.asked = 0
        """How often the endpoint was asked for a new token."""
        self.accepted: list[str] = []
        self._number = 1
        self._clock, self._passed_s = clock, 0.0
        self._life_s, self._born_s = life_s, clock()
        self._unproven = ""

    def pass_time(self, seconds: float) -> None:
        self._passed_s += seconds

    async def fresh(self, *, least_left_s: float = 0) -> str:
        if not suffices(self.left_s(), self._life_s, least_left_s):
            self._renew()
        return self._token

    async def renew(self, refused: str) -> str | None:
        if refused == self._unproven and self.left_s() > 0:
            raise TokenRefused(61)
        if refused == self._token:
            self._renew()
            self._unproven = self._token
        return self._token

    def note_accepted(self, access_token: str) -> None:
        self.accepted.append(access_token)
        if access_token == self._unproven:
            self._unproven = ""

    def left_s(self) -> float:
        return max(0.0, self._born_s + self._life_s - self._now_s())

    def life_s(self) -> float:
        return self._life_s

    async def close(self) -> None:
        """Nothing is under way."""

    @property
    def _token(self) -> str:
        return f"token {self._number}"

    def _renew(self) -> None:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        self._number += 1
        self._life_s, self._born_s = self.granted_s, self._now_s()

    def _now_s(self) -> float:
        return self._clock() + self._passed_s
