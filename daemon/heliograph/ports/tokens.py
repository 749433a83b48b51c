"""Where a session gets the access token of each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Every session has tokens, and those that last need nothing of OAuth 2.0.
    # Test: test_an_account_with_a_token_that_lasts_loads_nothing_of_oauth.
    from heliograph.core.oauth.token_answer import TokenAnswer


class AccessTokens(Protocol):
    """Gives access tokens of one device. Those of OAuth 2.0 expire and are renewed; a token of the older ways lasts."""

    async def fresh(self, *, least_left_s: float = 0) -> str:
        """An access token that lives for another `least_left_s` seconds, renewed for that if need be. One in the first
        half of its life is always good enough.

        A token that is good enough is given at once, whatever the disk, other processes and the token endpoint do.
        Raises LoggedOut (soft) if the session has ended, TokenRefused as long as that is so, and Unreachable if the
        token cannot be renewed now, though one may be in hand that lives for less: ask for less then.
        """
        ...

    async def renew(self, refused: str) -> str | None:
        """Another access token in place of the one to which the homeserver said 401. None: this kind is not renewed,
        and what the homeserver said stands. Raises as `fresh` does."""
        ...

    def note_accepted(self, access_token: str) -> None:
        """The homeserver took this access token just now."""
        ...

    def left_s(self) -> float | None:
        """For how many seconds the token in hand still lives, at least 0. None: it does not expire."""
        ...

    def life_s(self) -> float | None:
        """For how many seconds the token in hand was given. None: it does not expire."""
        ...

    async def close(self) -> None:
        """Waits a little for a renewal that is under way, so that its answer is not lost."""
        ...


class TokenEndpoint(Protocol):
    """Renews tokens at the auth server, with one request for each call."""

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        """What the token endpoint answers to `grant_type=refresh_token`. Raises nothing that a server or a network
        can cause: no answer is TryAgain."""
        ...
