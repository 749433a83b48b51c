"""Ed25519 signatures of JSON objects, checked and made. Objects are as they came: nothing about them is sure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping

import vodozemac

from heliograph.core.encryption.canonical import canonical_json, without_signatures
from heliograph.core.encryption.values import DeviceKeys
from heliograph.core.events import Json
from heliograph.core.ids import UserId


def is_signed(signed: Json, user_id: UserId, key_id: str, public_key: str) -> bool:
    """Whether `signatures` has a good one by this key of this user. `key_id` is a device id or the key itself."""
    signature = _inner(signed, "signatures", user_id).get(f"ed25519:{key_id}")
    if not isinstance(signature, str):
        return False
    try:
        key = vodozemac.Ed25519PublicKey.from_base64(public_key)
        key.verify_signature(
            canonical_json(without_signatures(signed)), vodozemac.Ed25519Signature.from_base64(signature)
        )
    except ValueError:
        return False
    return True


def cross_signing_key(key: Json | None, user_id: UserId, usage: str) -> str | None:
    """The public key of a master or self-signing key; None if it is not one of this user for this usage."""
    if key is None or key.get("user_id") != user_id:
        return None
    # Exactly one key, named by itself: with two, a signature by one could pass for the other's.
    keys, usages = key.get("keys"), key.get("usage")
    if not isinstance(keys, Mapping) or len(keys) != 1 or not isinstance(usages, list) or usage not in usages:
        return None
    ((key_id, public_key),) = keys.items()
    return public_key if isinstance(public_key, str) and key_id == f"ed25519:{public_key}" else None


def device_keys(device: Json, user_id: UserId, device_id: str) -> DeviceKeys | None:
    """The keys of a device that has signed them itself; None if it has not, or is another one."""
    if device.get("user_id") != user_id or device.get("device_id") != device_id:
        return None
    keys = _inner(device, "keys")
    curve25519, ed25519 = keys.get(f"curve25519:{device_id}"), keys.get(f"ed25519:{device_id}")
    if not isinstance(curve25519, str) or not isinstance(ed25519, str):
        return None
    if not is_signed(device, user_id, device_id, ed25519):
        return None
    return DeviceKeys(user_id, device_id, curve25519, ed25519)


class SigningKey:
    """A private key, for as long as it is needed. vodozemac signs only with a device's own."""

    def __init__(self, seed: bytes) -> None:
        """ValueError if the seed has not 32 bytes."""
        from Crypto.PublicKey import ECC

        self._key = ECC.construct(curve="ed25519", seed=seed)
        self.public_key = encode(self._key.public_key().export_key(format="raw"))

    def sign(self, json: Json) -> str:
        """The signature, as unpadded base64. ValueError for what has no canonical form."""
        from Crypto.Signature import eddsa

        return encode(eddsa.new(self._key, "rfc8032").sign(canonical_json(without_signatures(json))))


def encode(value: bytes) -> str:
    """Unpadded base64."""
    return b64encode(value).decode().rstrip("=")


def decode_base64(text: object) -> bytes:
    """The bytes of base64, padded or not. ValueError if it is none."""
    if not isinstance(text, str):
        raise ValueError("not a text")
    stripped = text.strip().rstrip("=")
    return b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)


def _inner(value: Json, *path: str) -> Json:
    found: object = value
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
