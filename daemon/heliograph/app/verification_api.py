"""Answers `heliograph verify`, in the daemon or without one: verifies the device of whichever account is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.errors import UserError


class VerificationApi:
    """`control.verification.Verifying` over the accounts that are signed in at the moment."""

    def __init__(self, find_trust: Callable[[str], DeviceTrust | None]) -> None:
        """`find_trust` gives the trust of a user's device; None while the account is not signed in, or not ours."""
        self._find_trust = find_trust

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
        trust = self._find_trust(user_id)
        if trust is None:
            raise UserError(
                f"The running Heliograph has not signed {user_id} in.",
                "See `heliograph status`. For an account that is new, start Heliograph anew.",
            )
        return trust
