"""The access token of a device that was not signed in by OAuth 2.0: it lasts until the device is signed out."""

from __future__ import annotations


class LastingToken:
    """Gives the same access token each time (`ports.tokens`)."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    async def fresh(self, *, least_left_s: float = 0) -> str:
        return self._access_token

    async def renew(self, refused: str) -> None:
        return None

    def note_accepted(self, access_token: str) -> None:
        """Nothing waits for that."""

    def left_s(self) -> None:
        return None

    def life_s(self) -> None:
        return None

    async def close(self) -> None:
        """Nothing is under way."""
