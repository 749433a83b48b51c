"""Verifies another device of the same user by comparing emoji: one verification as a state machine.

Events go in, and to-device messages come out. Sending them and the cryptography are left to the caller. The machine is
our own, since matrix-nio 0.26's cannot interoperate.
Test: test_both_see_the_same_emoji_and_are_done_when_both_say_so.
https://spec.matrix.org/v1.18/client-server-api/#short-authentication-string-sas-verification
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Protocol

from heliograph.core.encryption.canonical import canonical_json
from heliograph.core.encryption.emoji import EMOJI, Emoji
from heliograph.core.encryption.values import Identity
from heliograph.core.events import Json
from heliograph.core.text.clean import clean_line

PREFIX = "m.key.verification."
METHOD = "m.sas.v1"
TIMEOUT_MS = 10 * 60_000
"""The longest time from the request to the end, and the oldest that a request may be."""
MOST_AHEAD_MS = 5 * 60_000
MOST_KEYS = 100
"""The most keys in a `mac` event."""

_AGREEMENT = "curve25519-hkdf-sha256"
_HASH = "sha256"
_MAC = "hkdf-hmac-sha256.v2"
_MAX_TEXT = 255


class SharedSecret(Protocol):
    """The secret that both devices have computed."""

    def emoji_indices(self, info: str) -> tuple[int, ...]: ...
    def decimals(self, info: str) -> tuple[int, int, int]: ...
    def mac(self, text: str, info: str) -> str: ...


class Agreement(Protocol):
    """An ephemeral key pair of ours, for one use."""

    public_key: str

    def agree(self, their_key: str) -> SharedSecret:
        """The secret shared with the other device. Raises ValueError if `their_key` is no key. To be called once."""
        ...


class Phase(Enum):
    """How far the verification is, in the words of the control interface."""

    REQUESTED = "requested"
    """One device has asked, and none has answered yet."""
    READY = "ready"
    EXCHANGING = "exchanging"
    COMPARING = "comparing"
    """The user has to say whether the emoji are the same."""
    CONFIRMED = "confirmed"
    """The user has said so here, and still has to say so on the other device."""
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Message:
    """A to-device event to send to some of the user's devices, by their ids."""

    type: str
    content: Json
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """The `m.key.verification.request` of another device."""

    transaction_id: str
    from_device: str


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The user's keys by POST /keys/query: those that can be verified."""

    devices: Mapping[str, str]
    """Ed25519 keys by device id."""
    master: str | None = None
    """The public master key."""


class Verification:
    """One verification with one device. `phase` only moves forward, to DONE or CANCELLED."""

    def __init__(
        self, transaction_id: str, own: Identity, known: KnownKeys, now_ms: int, make_agreement: Callable[[], Agreement]
    ) -> None:
        self.transaction_id = transaction_id
        self.phase = Phase.REQUESTED
        self.other: str | None = None
        """The id of the other device, once that is known."""
        self.emoji: tuple[Emoji, ...] = ()
        self.decimals: tuple[int, ...] = ()
        self.code = ""
        """With CANCELLED: the reason, like "m.mismatched_sas"."""
        self.is_master_confirmed = False
        """With DONE: True if the other device confirmed the user's master key as well."""
        self._own = own
        self._known = known
        self._since_ms = now_ms
        self._make_agreement = make_agreement
        self._asked: tuple[str, ...] = ()
        self._agreement: Agreement | None = None
        self._secret: SharedSecret | None = None
        self._start: Json | None = None
        self._is_start_ours = False
        self._commitment: str | None = None
        self._is_mac_good = False

    @property
    def is_over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.CANCELLED)

    # What happens on this device. Each method returns the messages to send.

    def request(self, devices: tuple[str, ...], now_ms: int) -> list[Message]:
        """Asks these devices. The first that says it is ready is verified."""
        self._asked = devices
        content = {"from_device": self._own.device_id, "methods": [METHOD], "timestamp": now_ms}
        return [self._message("request", content)]

    def ready(self, device_id: str) -> list[Message]:
        """Agrees to the request of this device."""
        self.other, self.phase = device_id, Phase.READY
        if device_id not in self._known.devices:
            return self.cancel("m.key_mismatch")
        return [self._message("ready", {"from_device": self._own.device_id, "methods": [METHOD]})]

    def confirm(self) -> list[Message]:
        """Takes the user's word that both devices show the same emoji."""
        if self.phase is not Phase.COMPARING:
            return []
        self.phase = Phase.CONFIRMED
        key_id = f"ed25519:{self._own.device_id}"
        macs = {key_id: self._mac(self._own.ed25519, key_id, is_ours=True)}
        ids = self._mac(key_id, "KEY_IDS", is_ours=True)
        return [self._message("mac", {"mac": macs, "keys": ids}), *self._finish()]

    def differ(self) -> list[Message]:
        """Takes the user's word that the emoji differ, which cancels the verification."""
        return self.cancel("m.mismatched_sas") if self.phase is Phase.COMPARING else []

    def cancel(self, code: str = "m.user") -> list[Message]:
        """Cancels the verification, and tells the other device why."""
        if self.is_over:
            return []
        self.phase, self.code = Phase.CANCELLED, code
        return [self._message("cancel", {"code": code, "reason": REASONS.get(code, code)})]

    def expire(self, now_ms: int) -> list[Message]:
        """Cancels a verification that takes too long, or began in the future, since the clock was set."""
        return [] if abs(now_ms - self._since_ms) <= TIMEOUT_MS else self.cancel("m.timeout")

    # What the other device sends

    def receive(self, type_: str, content: Json) -> list[Message]:
        """Takes an event of this verification; `type_` is its type without `m.key.verification.`. Returns the messages
        to send. Never raises."""
        if self.is_over:
            return []
        try:
            match type_:
                case "ready":
                    return self._take_ready(content)
                case "start":
                    return self._take_start(content)
                case "accept":
                    return self._take_accept(content)
                case "key":
                    return self._take_key(content)
                case "mac":
                    return self._take_mac(content)
                case "done":
                    self._require(self.phase is Phase.CONFIRMED, "m.unexpected_message")
                case "cancel":
                    self.phase, self.code = Phase.CANCELLED, clean_line(_text(content, "code") or "m.unknown", 100)
        except _Wrong as wrong:
            return self.cancel(wrong.code)
        return []

    def _take_ready(self, content: Json) -> list[Message]:
        device_id = _text(content, "from_device")
        self._require(self.phase is Phase.REQUESTED and device_id in self._asked, "m.unexpected_message")
        self._require(device_id in self._known.devices, "m.key_mismatch")
        others = tuple(each for each in self._asked if each != device_id)
        self.other, self.phase = device_id, Phase.READY
        self._require(METHOD in _texts(content, "methods"), "m.unknown_method")
        told = self._message("cancel", {"code": "m.accepted", "reason": REASONS["m.accepted"]}, others)
        return [*([told] if others else []), self._begin()]

    def _begin(self) -> Message:
        """Starts the comparison. The device that asked does so without another question, since the user has just agreed
        on the other device."""
        message = self._message(
            "start",
            {
                "from_device": self._own.device_id,
                "method": METHOD,
                "key_agreement_protocols": [_AGREEMENT],
                "hashes": [_HASH],
                "message_authentication_codes": [_MAC],
                "short_authentication_string": ["decimal", "emoji"],
            },
        )
        self._start, self._is_start_ours, self.phase = message.content, True, Phase.EXCHANGING
        return message

    def _take_start(self, content: Json) -> list[Message]:
        is_crossing = self._is_start_ours and self._agreement is None
        self._require(self.phase is Phase.READY or is_crossing, "m.unexpected_message")
        self._require(_text(content, "from_device") == self.other, "m.unexpected_message")
        self._require(_text(content, "method") == METHOD, "m.unknown_method")
        if is_crossing and self._own.device_id < str(self.other):
            # Both began at once. By the specification the start of the device whose id sorts first counts: ours.
            return []
        for key, wanted in _OFFERED.items():
            self._require(wanted in _texts(content, key), "m.unknown_method")
        self._agreement = self._make_agreement()
        try:
            commitment = _commit(self._agreement.public_key, content)
        except ValueError:
            raise _Wrong("m.invalid_message") from None
        self._start, self._is_start_ours, self.phase = content, False, Phase.EXCHANGING
        accepted = {
            "method": METHOD,
            "key_agreement_protocol": _AGREEMENT,
            "hash": _HASH,
            "message_authentication_code": _MAC,
            "short_authentication_string": _shown(content),
            "commitment": commitment,
        }
        return [self._message("accept", accepted)]

    def _take_accept(self, content: Json) -> list[Message]:
        self._require(self._is_start_ours and self._commitment is None, "m.unexpected_message")
        for key, wanted in _CHOSEN.items():
            self._require(_text(content, key) == wanted, "m.unknown_method")
        self._require("decimal" in _shown(content), "m.unknown_method")
        self._commitment = _text(content, "commitment")
        self._require(self._commitment is not None, "m.invalid_message")
        self._agreement = self._make_agreement()
        return [self._message("key", {"key": self._agreement.public_key})]

    def _take_key(self, content: Json) -> list[Message]:
        is_their_turn = self._commitment is not None or not self._is_start_ours
        agreement, key = self._agreement, _text(content, "key")
        if agreement is None or self.phase is not Phase.EXCHANGING or not is_their_turn:
            raise _Wrong("m.unexpected_message")
        if key is None:
            raise _Wrong("m.invalid_message")
        if self._is_start_ours:
            is_kept = compare_digest(_commit(key, self._start or {}).encode(), str(self._commitment).encode())
            self._require(is_kept, "m.mismatched_commitment")
        try:
            self._secret = agreement.agree(key)
        except ValueError:
            raise _Wrong("m.invalid_message") from None
        own = (self._own.user_id, self._own.device_id, agreement.public_key)
        their = (self._own.user_id, str(self.other), key)
        sides = (*own, *their) if self._is_start_ours else (*their, *own)
        info = "|".join(["MATRIX_KEY_VERIFICATION_SAS", *sides, self.transaction_id])
        self.emoji = tuple(EMOJI[index] for index in self._secret.emoji_indices(info))
        self.decimals = self._secret.decimals(info)
        self.phase = Phase.COMPARING
        return [] if self._is_start_ours else [self._message("key", {"key": agreement.public_key})]

    def _take_mac(self, content: Json) -> list[Message]:
        is_in_time = self.phase in (Phase.COMPARING, Phase.CONFIRMED) and not self._is_mac_good
        self._require(is_in_time, "m.unexpected_message")
        macs = content.get("mac")
        if not isinstance(macs, Mapping) or not 0 < len(macs) <= MOST_KEYS:
            raise _Wrong("m.invalid_message")
        self._check_mac(_text(content, "keys"), ",".join(sorted(macs)), "KEY_IDS")
        # Other keys for which the device vouches as well are ignored: we have no use for them.
        device, master = f"ed25519:{self.other}", f"ed25519:{self._known.master}"
        self._require(device in macs, "m.key_mismatch")
        self._check_mac(macs[device], self._known.devices[str(self.other)], device)
        if self._known.master is not None and master in macs:
            self._check_mac(macs[master], self._known.master, master)
            self.is_master_confirmed = True
        self._is_mac_good = True
        return self._finish()

    def _finish(self) -> list[Message]:
        if self.phase is not Phase.CONFIRMED or not self._is_mac_good:
            return []
        self.phase = Phase.DONE
        return [self._message("done", {})]

    # How messages are written

    def _check_mac(self, mac: object, text: str, key_id: str) -> None:
        is_good = isinstance(mac, str) and compare_digest(
            mac.rstrip("=").encode(errors="replace"), self._mac(text, key_id, is_ours=False).encode()
        )
        self._require(is_good, "m.key_mismatch")

    def _mac(self, text: str, key_id: str, *, is_ours: bool) -> str:
        assert self._secret is not None
        user, sides = self._own.user_id, (self._own.device_id, str(self.other))
        sender, receiver = sides if is_ours else reversed(sides)
        info = f"MATRIX_KEY_VERIFICATION_MAC{user}{sender}{user}{receiver}{self.transaction_id}{key_id}"
        return self._secret.mac(text, info).rstrip("=")

    def _message(self, type_: str, content: dict[str, Any], devices: tuple[str, ...] | None = None) -> Message:
        whole = {**content, "transaction_id": self.transaction_id}
        to = (self.other,) if self.other is not None else self._asked
        return Message(PREFIX + type_, whole, to if devices is None else devices)

    @staticmethod
    def _require(is_met: bool, code: str) -> None:
        if not is_met:
            raise _Wrong(code)


class _Wrong(Exception):
    """The other device broke the protocol; `code` is the code of the cancellation."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_request(content: Json, now_ms: int) -> Request | None:
    """Reads a request; None: it is malformed, too old or too new, or has no method that we know."""
    transaction_id, device_id = _text(content, "transaction_id"), _text(content, "from_device")
    timestamp = content.get("timestamp")
    if transaction_id is None or device_id is None or not isinstance(timestamp, int):
        return None
    is_timely = -MOST_AHEAD_MS <= now_ms - timestamp <= TIMEOUT_MS
    return Request(transaction_id, device_id) if is_timely and METHOD in _texts(content, "methods") else None


def transaction_of(content: Json) -> str | None:
    """The id of the verification to which an event belongs; None: there is none."""
    return _text(content, "transaction_id")


_OFFERED = {
    "key_agreement_protocols": _AGREEMENT,
    "hashes": _HASH,
    "message_authentication_codes": _MAC,
    "short_authentication_string": "decimal",
}
_CHOSEN = {"key_agreement_protocol": _AGREEMENT, "hash": _HASH, "message_authentication_code": _MAC}

REASONS = {
    "m.user": "The user cancelled it",
    "m.timeout": "It took too long",
    "m.unknown_method": "The other device knows no way that both know",
    "m.unexpected_message": "The other device said something out of turn",
    "m.key_mismatch": "The keys are not those of the other device",
    "m.invalid_message": "The other device said something malformed",
    "m.accepted": "Another device took it",
    "m.mismatched_commitment": "The other device changed its key",
    "m.mismatched_sas": "The emoji were not the same",
    "m.user_mismatch": "The other device is another user's",
    "m.unknown_transaction": "The other device has forgotten about it",
}
"""Words for the codes of https://spec.matrix.org/v1.18/client-server-api/#mkeyverificationcancel."""


def _text(content: Json, key: str) -> str | None:
    value = content.get(key)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable() else None


def _texts(content: Json, key: str) -> list[str]:
    values = content.get(key)
    return [value for value in values[:MOST_KEYS] if isinstance(value, str)] if isinstance(values, list) else []


def _shown(content: Json) -> list[str]:
    offered = _texts(content, "short_authentication_string")
    return [way for way in ("decimal", "emoji") if way in offered]


def _commit(public_key: str, start: Json) -> str:
    return b64encode(sha256(public_key.encode() + canonical_json(start)).digest()).decode().rstrip("=")
