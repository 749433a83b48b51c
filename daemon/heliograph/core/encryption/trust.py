"""Judges whether the user's other clients trust our device, and whether we trust the user's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum

from heliograph.core.encryption.values import DeviceKeys
from heliograph.core.encryption.verification import KnownKeys
from heliograph.core.value_type import value_type


class Standing(Enum):
    """How our device stands with its owner's other clients, in the words of `heliograph status` and of the control
    interface."""

    UNKNOWN = "unknown"
    """The homeserver has not been asked yet."""
    NO_IDENTITY = "no identity"
    """The user has not set up cross-signing in any client."""
    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    IDENTITY_CHANGED = "identity changed"
    """The user's master key is not the one that was confirmed when this device was verified."""


@value_type
class OwnKeys:
    """Those of the user's published keys that are signed correctly."""

    master: str | None = None
    self_signing: str | None = None
    """The self-signing key, if the master key has signed it."""
    devices: Mapping[str, DeviceKeys] = field(default_factory=dict)
    """The user's devices by id, ours among them."""
    signed: frozenset[str] = frozenset()
    """The ids of the devices that the self-signing key has signed."""

    @property
    def known(self) -> KnownKeys:
        return KnownKeys({device_id: keys.ed25519 for device_id, keys in self.devices.items()}, self.master)


def judge_standing(own: OwnKeys, device_id: str, pinned_master: str | None) -> Standing:
    """The standing of our device. `pinned_master`: the master key that was confirmed when this device was verified;
    None: it was never verified."""
    # First of all: whoever replaced the identity could also have signed our device with the new one.
    if pinned_master is not None and own.master != pinned_master:
        return Standing.IDENTITY_CHANGED
    if own.master is None or own.self_signing is None:
        return Standing.NO_IDENTITY
    return Standing.VERIFIED if device_id in own.signed else Standing.UNVERIFIED


def explain_standing(standing: Standing, user_id: str) -> tuple[str, str] | None:
    """What to tell the user, as a title and a hint what to do; None: all is well, or nothing is known."""
    verify = f"heliograph verify {user_id}"
    match standing:
        case Standing.UNVERIFIED:
            return (
                "Verify this device to read encrypted messages",
                "Until you do, other people's clients may send it no keys, and messages show no text. "
                f"Choose Verify for it in your other client, or run: {verify}",
            )
        case Standing.NO_IDENTITY:
            return (
                "Encrypted messages may stay unreadable",
                "Your account has no identity that could vouch for this device. Set up secure backup in your other "
                f"client, then run: {verify}",
            )
        case Standing.IDENTITY_CHANGED:
            return (
                "Your account's identity was reset",
                "This device no longer trusts it. If you did it yourself, verify again: "
                f"{verify}. If not, somebody may have got into your account.",
            )
    return None
