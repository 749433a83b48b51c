"""A key server in memory, and the user's other client as far as keys go.

It refuses what Synapse refuses (tests/contract/test_key_refusals.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import vodozemac
from Crypto.Cipher import AES

from fakes.synapse_checks import check_key_claim, check_key_upload, check_to_device
from heliograph.core.encryption.canonical import canonical_json, without_signatures
from heliograph.core.encryption.values import Identity
from heliograph.core.events import Json
from heliograph.core.ids import RoomId, UserId
from heliograph.encryption.olm.signatures import SigningKey, encode, is_signed
from heliograph.errors import Refused, ServerError
from heliograph.ports.homeserver import BackupVersion, PublishedKeys
from support.builders import ME

# Its cryptography loads files at first use, which would be within a test's event loop.
SigningKey(bytes(32)).sign({})

_UNACCEPTED = Refused(200, "M_INVALID_SIGNATURE", "1 signature was not accepted")


class FakeKeyServer:
    """Keys by user and device, account data of one user, and one key backup."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, dict[str, Any]]] = {}
        self.master: dict[str, dict[str, Any]] = {}
        self.self_signing: dict[str, dict[str, Any]] = {}
        self.one_time_keys: dict[tuple[str, str], dict[str, Any]] = {}
        """By user and device; and so are these, which stay when they are claimed."""
        self.fallback_keys: dict[tuple[str, str], dict[str, Any]] = {}
        self.account_data: dict[str, Any] = {}
        self.backup: BackupVersion | None = None
        self.backed_up: dict[tuple[str, str], Any] = {}
        self.sent: list[tuple[str, str, str, str, Json]] = []
        """To-device events: from device, type, to user, to device, content."""
        self.failure: ServerError | None = None
        """If set, every request ends so."""
        self.requests = 0

    def forget(self, user_id: str, device_id: str) -> None:
        """The device was signed out."""
        del self.devices[user_id][device_id]
        self.one_time_keys.pop((user_id, device_id), None)
        self.fallback_keys.pop((user_id, device_id), None)


class FakeKeys:
    """`ports.Keys` of one device at the server."""

    def __init__(self, server: FakeKeyServer, user_id: UserId = ME, device_id: str = "D") -> None:
        self.server = server
        self.user_id = user_id
        self.device_id = device_id
        self._transactions: set[str] = set()

    def _asked(self) -> None:
        self.server.requests += 1
        if self.server.failure is not None:
            raise self.server.failure

    async def upload_keys(
        self, *, device_keys: Json | None = None, one_time_keys: Json | None = None, fallback_keys: Json | None = None
    ) -> Mapping[str, int]:
        self._asked()
        parts = {"device_keys": device_keys, "one_time_keys": one_time_keys, "fallback_keys": fallback_keys}
        held = self.server.one_time_keys.setdefault((self.user_id, self.device_id), {})
        check_key_upload({name: part for name, part in parts.items() if part}, self.user_id, self.device_id, held)
        if device_keys:
            self.server.devices.setdefault(self.user_id, {})[self.device_id] = dict(device_keys)
        held.update(one_time_keys or {})
        self.server.fallback_keys.setdefault((self.user_id, self.device_id), {}).update(fallback_keys or {})
        return Counter(map(_algorithm, held))

    async def query_keys(self, user_ids: Collection[UserId]) -> PublishedKeys:
        self._asked()
        server = self.server
        copy: PublishedKeys = PublishedKeys(
            devices={user: json.loads(json.dumps(server.devices.get(user, {}))) for user in user_ids},
            master={user: key for user, key in server.master.items() if user in user_ids},
            self_signing={user: key for user, key in server.self_signing.items() if user in user_ids},
        )
        return copy

    async def claim_keys(self, devices: Mapping[UserId, Mapping[str, str]]) -> Mapping[str, Mapping[str, Json]]:
        self._asked()
        check_key_claim(devices)
        claimed: dict[str, dict[str, Json]] = {}
        for user, wanted in devices.items():
            for device, algorithm in wanted.items():
                if found := self._claim(user, device, algorithm):
                    claimed.setdefault(user, {})[device] = found
        return claimed

    def _claim(self, user: str, device: str, algorithm: str) -> dict[str, Any]:
        one_time = self.server.one_time_keys.get((user, device), {})
        for key_id in one_time:
            if _algorithm(key_id) == algorithm:
                return {key_id: one_time.pop(key_id)}
        fallback = self.server.fallback_keys.get((user, device), {})
        return {key_id: key for key_id, key in fallback.items() if _algorithm(key_id) == algorithm}

    async def upload_signatures(self, signed: Mapping[UserId, Mapping[str, Json]]) -> None:
        self._asked()
        for user, objects in signed.items():
            for device_id, signed_object in objects.items():
                self._take_signature(user, device_id, signed_object)

    def _take_signature(self, user: str, device_id: str, signed: Json) -> None:
        """One by the self-signing key, of one of our devices; one that is known is not looked at."""
        device, identity = self.server.devices.get(user, {}).get(device_id), self.server.self_signing.get(user)
        if user != self.user_id or device is None or identity is None:
            raise _UNACCEPTED
        [(key_id, public_key)] = identity["keys"].items()
        if key_id not in signed.get("signatures", {}).get(user, {}):
            raise _UNACCEPTED
        if key_id in device["signatures"].get(user, {}):
            return
        is_same = without_signatures(device) == without_signatures(signed)
        if not is_same or not is_signed(signed, self.user_id, public_key, public_key):
            raise _UNACCEPTED
        device["signatures"].setdefault(user, {})[key_id] = signed["signatures"][user][key_id]

    async def send_to_device(
        self, type_: str, messages: Mapping[UserId, Mapping[str, Json]], transaction_id: str
    ) -> None:
        self._asked()
        if transaction_id in self._transactions:
            return
        check_to_device(messages)
        self._transactions.add(transaction_id)
        for user, devices in messages.items():
            for device, content in devices.items():
                self.server.sent.append((self.device_id, type_, user, device, content))

    async def account_data(self, type_: str) -> Json | None:
        self._asked()
        data: Json | None = self.server.account_data.get(type_)
        return data

    async def backup_version(self) -> BackupVersion | None:
        self._asked()
        return self.server.backup

    async def backed_up_key(self, version: str, room_id: RoomId, session_id: str) -> Json | None:
        self._asked()
        if self.server.backup is None or version != self.server.backup.version:
            return None
        found: Json | None = self.server.backed_up.get((room_id, session_id))
        return found


def _algorithm(key_id: str) -> str:
    """Of a one-time or fallback key, by its name."""
    return key_id.partition(":")[0]


class FakeVault:
    """A device's keys and its vault, without a machine."""

    def __init__(self, device_id: str = "D", user_id: UserId = ME) -> None:
        self._account = vodozemac.Account()
        self.identity = Identity(
            user_id, device_id, self._account.curve25519_key.to_base64(), self._account.ed25519_key.to_base64()
        )
        self.kept: dict[str, str] = {}

    async def sign(self, json: Json) -> str:
        return self.signature(json)

    def signature(self, json: Json) -> str:
        signature: str = self._account.sign(canonical_json(without_signatures(json))).to_base64()
        return signature

    async def keep_secret(self, name: str, secret: str | None) -> None:
        self.kept.pop(name, None)
        if secret is not None:
            self.kept[name] = secret

    async def secret(self, name: str) -> str | None:
        return self.kept.get(name)

    def device_keys(self) -> dict[str, Any]:
        """What the device tells of itself."""
        own = self.identity
        device: dict[str, Any] = {
            "user_id": own.user_id,
            "device_id": own.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {f"curve25519:{own.device_id}": own.curve25519, f"ed25519:{own.device_id}": own.ed25519},
        }
        device["signatures"] = {own.user_id: {f"ed25519:{own.device_id}": self.signature(device)}}
        return device

    def one_time_keys(self, count: int = 1) -> dict[str, Any]:
        """As many new ones, for others to begin a session with."""
        self._account.generate_one_time_keys(count)
        keys: dict[str, Any] = {}
        for key_id, public in self._account.one_time_keys.items():
            key = {"key": public.to_base64()}
            signature = {f"ed25519:{self.identity.device_id}": self.signature(key)}
            keys[f"signed_curve25519:{key_id}"] = key | {"signatures": {self.identity.user_id: signature}}
        self._account.mark_keys_as_published()
        return keys

    def publish(self, server: FakeKeyServer) -> None:
        """As the device itself does when it signs in."""
        server.devices.setdefault(self.identity.user_id, {})[self.identity.device_id] = self.device_keys()


class FakeOwner:
    """A user's identity with secret storage and key backup, as another client set them up."""

    def __init__(self, server: FakeKeyServer, user_id: UserId = ME, *, passphrase: str | None = None) -> None:
        self.user_id = user_id
        self.server = server
        self.seeds = {name: secrets.token_bytes(32) for name in ("master", "self_signing")}
        self.master = SigningKey(self.seeds["master"])
        self.self_signing = SigningKey(self.seeds["self_signing"])
        self.backup = vodozemac.Curve25519SecretKey.from_bytes(secrets.token_bytes(32))
        server.master[user_id] = self._key("master", self.master)
        server.self_signing[user_id] = self._key("self_signing", self.self_signing)
        auth_data = {"public_key": self.backup.public_key().to_base64()}
        server.backup = BackupVersion("1", "m.megolm_backup.v1.curve25519-aes-sha2", auth_data)
        self.key = secrets.token_bytes(32)
        self.description: dict[str, Any] = {"algorithm": "m.secret_storage.v1.aes-hmac-sha2"}
        if passphrase is not None:
            how = {"algorithm": "m.pbkdf2", "salt": "salt", "iterations": 1000}
            self.key = hashlib.pbkdf2_hmac("sha512", passphrase.encode(), b"salt", 1000, 32)
            self.description["passphrase"] = how
        sealed = seal(self.key, "", bytes(32), raw=True)
        self.description |= {"iv": sealed["iv"], "mac": sealed["mac"]}
        server.account_data["m.secret_storage.default_key"] = {"key": "k1"}
        server.account_data["m.secret_storage.key.k1"] = self.description
        self.store("m.cross_signing.master", self.seeds["master"])
        self.store("m.cross_signing.self_signing", self.seeds["self_signing"])
        self.store("m.megolm_backup.v1", self.backup.to_bytes())

    def store(self, name: str, secret: bytes) -> None:
        """Into secret storage."""
        self.server.account_data[name] = {"encrypted": {"k1": seal(self.key, name, secret)}}

    def sign(self, device_id: str) -> None:
        """Vouch for a device."""
        device = self.server.devices[self.user_id][device_id]
        signature = self.self_signing.sign(device)
        device["signatures"][self.user_id][f"ed25519:{self.self_signing.public_key}"] = signature

    def back_up(self, room_id: RoomId, session_id: str, content: object) -> None:
        """Into the key backup."""
        message = vodozemac.PkEncryption.from_key(self.backup.public_key()).encrypt(json.dumps(content).encode())
        data = {
            "ciphertext": encode(message.ciphertext),
            "mac": encode(message.mac),
            "ephemeral": encode(message.ephemeral_key),
        }
        self.server.backed_up[room_id, session_id] = {"first_message_index": 0, "session_data": data}

    def recovery_key(self) -> str:
        """As clients show it, in groups of four letters."""
        alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
        raw = b"\x8b\x01" + self.key
        parity = 0
        for byte in raw:
            parity ^= byte
        number, letters = int.from_bytes(raw + bytes([parity])), ""
        while number:
            number, rest = divmod(number, 58)
            letters = alphabet[rest] + letters
        return " ".join(letters[index : index + 4] for index in range(0, len(letters), 4))

    def _key(self, usage: str, key: SigningKey) -> dict[str, Any]:
        public = {"user_id": self.user_id, "usage": [usage], "keys": {f"ed25519:{key.public_key}": key.public_key}}
        signature = self.master.sign(public)
        return {**public, "signatures": {self.user_id: {f"ed25519:{self.master.public_key}": signature}}}


def seal(key: bytes, name: str, secret: bytes, *, raw: bool = False) -> dict[str, str]:
    """A secret as it stands in secret storage. `raw`: these very bytes, for checking the key."""
    root = hmac.digest(bytes(32), key, "sha256")
    aes = hmac.digest(root, name.encode() + b"\1", "sha256")
    mac = hmac.digest(root, aes + name.encode() + b"\2", "sha256")
    iv = secrets.token_bytes(16)
    text = secret if raw else encode(secret).encode()
    ciphertext = AES.new(aes, AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(text)
    return {"iv": encode(iv), "ciphertext": encode(ciphertext), "mac": encode(hmac.digest(mac, ciphertext, "sha256"))}
