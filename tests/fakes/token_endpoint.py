"""A token endpoint in memory, which takes each refresh token until the access token that it gave was used."""

from __future__ import annotations

from heliograph.core.oauth.token_answer import Ended, Granted, TokenAnswer, TokenGrant, TryAgain


class FakeTokenEndpoint:
    """`ports.tokens.TokenEndpoint`. The first refresh token is "refresh 1", which gives "access 2" and "refresh 2"."""

    def __init__(self, life_s: float | None = 300) -> None:
        self.life_s = life_s
        """How long the next access tokens live."""
        self.trouble: TryAgain | Ended | None = None
        """What is answered in place of tokens."""
        self.asked: list[str] = []
        """The refresh tokens that came."""
        self.used: set[str] = set()
        """Access tokens that the homeserver has asked about."""
        self._number = 1
        self._replaced: dict[str, str] = {}
        """Which access token was given for a refresh token."""

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        self.asked.append(refresh_token)
        if self.trouble is not None:
            return self.trouble
        is_newest = refresh_token == f"refresh {self._number}"
        earlier = self._replaced.get(refresh_token)
        if not is_newest and (earlier is None or earlier in self.used):
            return Ended("invalid_grant")
        self._number += 1
        self._replaced = {refresh_token: f"access {self._number}"}
        return Granted(TokenGrant(f"access {self._number}", f"refresh {self._number}", self.life_s))
