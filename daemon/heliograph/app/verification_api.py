"""Verification as `heliograph verify` asks for it: of whichever account, in the daemon or without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.errors import UserError


class VerificationApi:
    """`control.verification.Verifying` over the accounts that are signed in at the moment."""

    def __init__(self, accounts: Mapping[str, Callable[[], DeviceTrust | None]]) -> None:
        self._accounts = accounts

    async def begin(self, user_id: str) -> str:
        return await self._trust(user_id).begin()

    async def look(self, user_id: str, transaction_id: str) -> dict[str, Any]:
        return self._trust(user_id).look(transaction_id)

    async def answer(self, user_id: str, transaction_id: str, *, is_same: bool) -> None:
        self._trust(user_id).answer(transaction_id, is_same=is_same)

    async def cancel(self, user_id: str, transaction_id: str) -> None:
        self._trust(user_id).cancel(transaction_id)

    async def unlock(self, user_id: str, kind: str, secret: str) -> bool:
        return await self._trust(user_id).unlock(kind, secret)

    def _trust(self, user_id: str) -> DeviceTrust:
        find = self._accounts.get(user_id)
        trust = find() if find is not None else None
        if trust is None:
            raise UserError(
                f"The running Heliograph has not signed {user_id} in.",
                "See `heliograph status`. For an account that is new, start Heliograph anew.",
            )
        return trust
