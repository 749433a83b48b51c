"""A SecretStore in memory, with a lock in the test's hand."""

from __future__ import annotations

import asyncio

from heliograph.errors import SecretsLocked


class FakeSecretStore:
    name = "fake"

    def __init__(self, **secrets: str) -> None:
        self.secrets: dict[str, str] = dict(secrets)
        self._open = asyncio.Event()
        self._open.set()
        self.asked = 0
        """How often a secret was asked for."""

    def lock(self) -> None:
        self._open.clear()

    def unlock(self) -> None:
        self._open.set()

    async def wait_unlocked(self, user_id: str) -> None:
        await self._open.wait()

    async def load(self, user_id: str) -> str | None:
        self.asked += 1
        self._check()
        return self.secrets.get(user_id)

    async def save(self, user_id: str, secret: str) -> None:
        self._check()
        self.secrets[user_id] = secret

    async def delete(self, user_id: str) -> None:
        self._check()
        self.secrets.pop(user_id, None)

    def _check(self) -> None:
        if not self._open.is_set():
            raise SecretsLocked("the fake is locked")
