"""The user's identity: whether it vouches for our device, and having it do so with the recovery key.

https://spec.matrix.org/v1.18/client-server-api/#cross-signing

The master key is pinned when it was confirmed: by the MAC of a verification, or by the key in secret storage. If the
homeserver shows another one, the user is told, and it is never trusted. Without a pin a good signature still counts as
verified, since the user's other clients see it so. Test: test_a_changed_identity_is_said_and_never_trusted.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from heliograph.core.encryption.canonical import without_signatures
from heliograph.core.encryption.trust import OwnKeys, Standing, judge_standing
from heliograph.core.encryption.values import Identity
from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.encryption.identity.secret_storage import BACKUP, MASTER, SELF_SIGNING, SecretStorage
from heliograph.encryption.olm.signatures import SigningKey, cross_signing_key, device_keys, encode, is_signed
from heliograph.errors import UserError
from heliograph.ports.homeserver import Keys, PublishedKeys

log = logging.getLogger(__name__)

PINNED = "pinned master key"
"""The vault's name for the master key that was confirmed when this device was verified."""


class SigningDevice(Protocol):
    """This device as cross-signing sees the Olm machine: an identity that signs, and keeps small secrets by name."""

    @property
    def identity(self) -> Identity: ...
    async def sign(self, json: Json) -> str: ...
    async def keep_secret(self, name: str, secret: str | None) -> None: ...
    async def secret(self, name: str) -> str | None: ...


class CrossSigning:
    """Asks the homeserver, and believes only signatures. Methods raise ServerError and StorageError."""

    def __init__(self, keys: Keys, vault: SigningDevice) -> None:
        self._keys = keys
        self._vault = vault
        self._user_id = vault.identity.user_id
        self._device_id = vault.identity.device_id

    async def own_keys(self) -> OwnKeys:
        return read_own_keys(await self._keys.query_keys([self._user_id]), self._user_id)

    async def standing(self) -> Standing:
        return await self.judge(await self.own_keys())

    async def judge(self, own: OwnKeys) -> Standing:
        """What these keys mean for our device. Keys that are not ours, under its id, vouch for nothing."""
        identity, published = self._vault.identity, own.devices.get(self._device_id)
        if published is not None and (published.curve25519, published.ed25519) != (
            identity.curve25519,
            identity.ed25519,
        ):
            log.warning("The homeserver shows other keys for this device than it has")
            return Standing.UNVERIFIED
        return judge_standing(own, self._device_id, await self._vault.secret(PINNED))

    async def pin(self, master: str) -> None:
        """From now on this is the user's identity, until the user says otherwise."""
        await self._vault.keep_secret(PINNED, master)

    async def sign_with(self, storage: SecretStorage) -> bool:
        """Has the identity vouch for our device, with the private keys in unlocked storage, which are dropped again.

        Keeps the key of the key backup; whether there was one. Raises UserError if storage and homeserver disagree.
        """
        published = await self._keys.query_keys([self._user_id])
        own = read_own_keys(published, self._user_id)
        device = published.devices.get(self._user_id, {}).get(self._device_id)
        identity = self._vault.identity
        keys = own.devices.get(self._device_id)
        if own.master is None or own.self_signing is None:
            raise UserError(
                "This account has no identity (cross-signing keys) that could vouch for this device.",
                "Set up secure backup in your other client first.",
            )
        if device is None or keys is None:
            raise UserError(
                "The homeserver does not have this device's keys yet.",
                "Have Heliograph run once, then try again.",
            )
        if (keys.curve25519, keys.ed25519) != (identity.curve25519, identity.ed25519):
            raise UserError(
                "The homeserver shows other keys for this device than it has.",
                f"Sign out and in again: heliograph logout {self._user_id}, then heliograph login {self._user_id}",
            )
        # The master key is read for the comparison alone: that both
        # fit proves that storage and homeserver mean one identity.
        self_signing = await self._private(storage, SELF_SIGNING, own.self_signing)
        await self._private(storage, MASTER, own.master)
        # As the homeserver has it: the signature covers every property, unknown ones too.
        signed = without_signatures(device)
        signature = self_signing.sign(signed)
        upload = {
            self._device_id: {
                **signed,
                "signatures": {self._user_id: {f"ed25519:{self_signing.public_key}": signature}},
            }
        }
        await self._keys.upload_signatures({self._user_id: upload})
        # Only after the upload: a pin says that this device was verified under this identity.
        await self.pin(own.master)
        return await self._keep_backup_key(storage)

    async def _private(self, storage: SecretStorage, name: str, public_key: str) -> SigningKey:
        seed = await storage.read(name)
        if seed is None:
            raise UserError(
                f"{name} is not in this account's secret storage.",
                "Compare emoji instead: heliograph verify",
            )
        # In a thread: the cryptography is imported when it is first needed.
        key = await asyncio.to_thread(SigningKey, seed)
        if key.public_key != public_key:
            raise UserError(
                "The secret storage holds the keys of another identity than this account has now.",
                "Set up secure backup anew in your other client, or compare emoji: heliograph verify",
            )
        return key

    async def _keep_backup_key(self, storage: SecretStorage) -> bool:
        secret = await storage.read(BACKUP)
        if secret is not None:
            await self._vault.keep_secret(BACKUP, encode(secret))
        return secret is not None


def read_own_keys(published: PublishedKeys, user_id: UserId) -> OwnKeys:
    """The user's keys among the published ones, as far as their signatures are good."""
    master = cross_signing_key(published.master.get(user_id), user_id, "master")
    self_signing = cross_signing_key(published.self_signing.get(user_id), user_id, "self_signing")
    # The self-signing key counts only by the master key's signature: without it the homeserver could make one up.
    if self_signing is not None and (
        master is None or not is_signed(published.self_signing[user_id], user_id, master, master)
    ):
        self_signing = None
    devices, signed = {}, set()
    for device_id, device in published.devices.get(user_id, {}).items():
        keys = device_keys(device, user_id, device_id)
        if keys is None:
            continue
        devices[device_id] = keys
        if self_signing is not None and is_signed(device, user_id, self_signing, self_signing):
            signed.add(device_id)
    return OwnKeys(master, self_signing, devices, frozenset(signed))
