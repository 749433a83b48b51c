"""Where an account's access token lives."""

from __future__ import annotations

from typing import Protocol

from heliograph.core.pushers.pusher import Pusher as Pusher


class SecretStore(Protocol):
    """Where an account's secrets live: one JSON text by user id."""

    name: str

    async def load(self, user_id: str) -> str | None:
        """None: there is none. Raises SecretsLocked, or UserError if the store cannot be used at all."""
        ...

    async def wait_unlocked(self, user_id: str) -> None:
        """Returns once `load` has a chance again. At once for stores that know no lock."""
        ...

    async def save(self, user_id: str, secret: str) -> None: ...
    async def delete(self, user_id: str) -> None: ...
