"""A place for access tokens as the daemon and the commands use it."""

from __future__ import annotations

from typing import Protocol


class SecretStore(Protocol):
    """Keeps the secrets of accounts, as one JSON text (`secrets.secret`) for each user id."""

    name: str
    """Which kind of store, in the words of `login --secrets`: keyring or file."""

    async def load(self, user_id: str) -> str | None:
        """The secret, or None if there is none for certain. Raises SecretsLocked as long as that cannot be told, and
        UserError if the store cannot be used at all."""
        ...

    async def wait_unlocked(self, user_id: str) -> None:
        """Waits until `load` has a chance again. A store that knows no lock returns at once."""
        ...

    async def save(self, user_id: str, secret: str) -> None:
        """Keeps the secret in place of an earlier one. Raises SecretsLocked or UserError."""
        ...

    async def delete(self, user_id: str) -> None:
        """Deletes the secret, if there is one. Raises SecretsLocked or UserError."""
        ...
