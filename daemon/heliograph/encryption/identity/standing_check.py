"""Asks the homeserver how this device stands: at any time, and until the other device has signed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import DeviceKeys
from heliograph.encryption.identity.cross_signing import CrossSigning
from heliograph.encryption.identity.secret_request import SecretRequest
from heliograph.errors import ServerError, StorageError
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

SIGNED_WITHIN = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between the looks for the signature that the other device makes when a verification is done."""


class StandingCheck:
    """Checks the standing of one account's device. `on_standing` is called with each answer, `on_failed` when there was
    none."""

    def __init__(
        self,
        cross_signing: CrossSigning,
        secret_request: SecretRequest,
        *,
        sleep: Callable[[float], Awaitable[None]],
        on_standing: Callable[[Standing], None],
        on_failed: Callable[[], None],
    ) -> None:
        self._cross_signing = cross_signing
        self._secret_request = secret_request
        self._sleep = sleep
        self._on_standing = on_standing
        self._on_failed = on_failed
        self._following: asyncio.Task[object] | None = None

    async def look(self) -> None:
        """Asks and tells. Raises ServerError and StorageError."""
        try:
            standing = await self._cross_signing.standing()
        except (ServerError, StorageError):
            self._on_failed()
            raise
        self._on_standing(standing)

    def follow(self, device: DeviceKeys) -> None:
        """This device of the user was verified: looks for its signature, then asks it for the backup key.

        In this order, since a device refuses secrets to one that it has not signed.
        Test: test_a_device_that_does_not_sign_us_is_not_asked.
        """
        self.stop()
        self._following = start_beside(self._follow(device), name="after verification")

    def stop(self) -> None:
        """Looks for no signature any more."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, device: DeviceKeys) -> None:
        for delay_s in SIGNED_WITHIN:
            await self._sleep(delay_s)
            try:
                standing = await self._cross_signing.standing()
                self._on_standing(standing)
                if standing is Standing.VERIFIED:
                    await self._secret_request.ask(device)
                    return
            except (ServerError, StorageError) as trouble:
                log.warning("After the verification: %s", trouble)
        log.warning("The other device has not signed this one")
