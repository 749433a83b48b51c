"""Keeps our device's keys at the homeserver: published once, replenished as others use them up, never reused.

https://spec.matrix.org/v1.18/client-server-api/#one-time-and-fallback-keys
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from heliograph.core.backoff import reconnect_delay
from heliograph.core.encryption.values import KeyUpload
from heliograph.core.events import Json
from heliograph.core.text.clean import count_things
from heliograph.errors import RateLimited, Refused, ServerError, StorageError
from heliograph.ports.encryption import Encryption
from heliograph.ports.homeserver import Keys
from heliograph.ports.notices import Troubles
from heliograph.system.tasks import keep_running, taking_up

log = logging.getLogger(__name__)

ALGORITHM = "signed_curve25519"
LEAST = 25
"""One-time keys at the server below which new ones are made. Without any, others use the fallback key."""
ASK_AGAIN_MS = 600_000
"""For how long a server that tells no count of one-time keys is not asked for it again."""
COLLISIONS = 100
"""How many batches of one-time keys the server may already have: a state folder out of a backup counts anew."""
REFUSED_S = 900.0
"""How long to wait after the homeserver refused."""


class KeyLoop:
    """Keeps the keys of one device published. It wakes only when `take_counts` is called, after each sync."""

    def __init__(
        self,
        keys: Keys,
        encryption: Encryption,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        troubles: Troubles,
    ) -> None:
        self._keys = keys
        self._encryption = encryption
        self._clock = clock
        self._jitter = jitter
        self._troubles = troubles
        self._due = asyncio.Event()
        self._is_first = True
        self._count: int | None = None
        self._is_outdated = False
        self._is_fallback_used = False
        self._asked_ms: int | None = None

    def take_counts(self, one_time_keys: int | None, has_unused_fallback: bool | None) -> None:
        """Takes the counts of a sync; None: the sync did not tell."""
        if self._is_outdated:
            # It may have been asked for before we published.
            self._is_outdated = False
            return
        self._is_fallback_used = has_unused_fallback is False
        if one_time_keys is not None:
            self._count = one_time_keys
        elif self._asked_ms is None or abs(self._clock() - self._asked_ms) >= ASK_AGAIN_MS:
            # By the specification there are none left. Servers that never tell must not make us publish for ever.
            self._count = None
        # The first time in any case: after a restart nobody knows whether the device's own keys are published.
        if self._is_first or self._is_fallback_used or self._count is None or self._count < LEAST:
            self._due.set()

    async def run(self) -> None:
        """Runs until cancelled, or until the device cannot publish keys at all."""
        await keep_running("keys", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._due.wait()
            try:
                with taking_up(self._due):
                    if not await self._publish():
                        return
                self._is_first = False
                failures = 0
            except (ServerError, StorageError) as trouble:
                failures += 1
                log.info("The device's keys could not be published: %s", trouble)
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                refused = isinstance(trouble, Refused)
                await asyncio.sleep(REFUSED_S if refused else reconnect_delay(failures, self._jitter(), asked))

    async def _publish(self) -> bool:
        """Publishes the keys that are due. Returns False if this device cannot publish any."""
        if self._count is None:
            self._asked_ms = self._clock()
            # An upload of nothing is the way to ask: its answer has the counts.
            self._count = (await self._keys.upload_keys()).get(ALGORITHM, 0)
        # Once after each sign-in: a device that was deleted and signed in again under its old id has no keys there.
        # Test: test_a_device_that_the_server_has_forgotten_is_published_again.
        if self._is_first and await self._published() is None:
            await self._encryption.forget_publication()
        for _ in range(COLLISIONS):
            upload = await self._encryption.keys_to_upload(
                one_time_keys=self._count, is_fallback_used=self._is_fallback_used, now_ms=self._clock()
            )
            if upload.is_empty:
                return True
            # Asked before the upload, which would replace the keys by which others know this device.
            if upload.device_keys is not None and await self._is_taken(upload):
                return False
            if await self._upload(upload):
                return True
        raise Refused(400, "", f"{COLLISIONS} batches of one-time keys exist already")

    async def _upload(self, upload: KeyUpload) -> bool:
        """Uploads these keys. Returns False if the server has other one-time keys under the same names."""
        is_first = upload.device_keys is not None
        try:
            counts = await self._keys.upload_keys(
                device_keys=upload.device_keys,
                one_time_keys=upload.one_time_keys,
                fallback_keys=upload.fallback_keys,
            )
        except Refused as refusal:
            if upload.one_time_keys is None or "already exists" not in str(refusal):
                raise
            log.warning("The homeserver has other one-time keys under the names of ours: making new ones")
            # The refusal was of the whole request: what is good in it has to be sent alone.
            if upload.device_keys is not None or upload.fallback_keys is not None:
                await self._keys.upload_keys(device_keys=upload.device_keys, fallback_keys=upload.fallback_keys)
            # Confirmed as if they were published: those names are used up, and the next batch gets new ones.
            await self._encryption.confirm_upload(is_device_published=is_first)
            return False
        await self._encryption.confirm_upload(is_device_published=is_first)
        self._count = counts.get(ALGORITHM, 0)
        self._is_outdated = True
        there = count_things(self._count, "one-time key")
        log.info("Published keys of %s: %s at the server", self._keys.device_id, there)
        return True

    async def _published(self) -> Json | None:
        """The keys by which the server knows this device; None: it has none of it."""
        published = await self._keys.query_keys([self._keys.user_id])
        return published.devices.get(self._keys.user_id, {}).get(self._keys.device_id)

    async def _is_taken(self, upload: KeyUpload) -> bool:
        """Returns whether the server knows this device by other keys: then nobody would trust new ones."""
        assert upload.device_keys is not None
        known = await self._published()
        if known is None or known.get("keys") == upload.device_keys["keys"]:
            return False
        log.error("The homeserver knows this device by other keys than those that are here")
        self._troubles.tell(
            "Messages cannot be decrypted: this device lost its keys",
            f"Sign it out and in again: heliograph logout {self._keys.user_id}, then heliograph login.",
        )
        return True
