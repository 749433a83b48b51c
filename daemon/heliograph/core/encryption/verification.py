"""Verifies another device of the same user by comparing emoji: one verification as a state machine.

Events go in, and to-device messages come out. Sending them and the cryptography are left to the caller. The machine is
our own, since matrix-nio 0.26's cannot interoperate.
Test: test_both_see_the_same_emoji_and_are_done_when_both_say_so.
https://spec.matrix.org/v1.18/client-server-api/#short-authentication-string-sas-verification
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Protocol

from heliograph.core.encryption.canonical import canonical_json
from heliograph.core.encryption.emoji import EMOJI, Emoji
from heliograph.core.encryption.values import Identity
from heliograph.core.encryption.verification_events import (
    METHOD,
    PREFIX,
    REASONS,
    TIMEOUT_MS,
    Message,
    text_in,
    texts_in,
    ways_in,
)
from heliograph.core.events import Json
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

MOST_KEYS = 100
"""The most keys in a `mac` event."""

_AGREEMENT = "curve25519-hkdf-sha256"
_HASH = "sha256"
_MAC = "hkdf-hmac-sha256.v2"


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


@value_type
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
        # A device without published keys could not prove at the end that it is the one that asked.
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
                    self.phase, self.code = Phase.CANCELLED, clean_line(text_in(content, "code") or "m.unknown", 100)
        except _Wrong as wrong:
            return self.cancel(wrong.code)
        return []

    def _take_ready(self, content: Json) -> list[Message]:
        device_id = text_in(content, "from_device")
        self._require(self.phase is Phase.REQUESTED and device_id in self._asked, "m.unexpected_message")
        self._require(device_id in self._known.devices, "m.key_mismatch")
        others = tuple(each for each in self._asked if each != device_id)
        self.other, self.phase = device_id, Phase.READY
        self._require(METHOD in texts_in(content, "methods"), "m.unknown_method")
        # The other devices would go on asking the user.
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
        self._require(text_in(content, "from_device") == self.other, "m.unexpected_message")
        self._require(text_in(content, "method") == METHOD, "m.unknown_method")
        if is_crossing and self._own.device_id < str(self.other):
            # Both began at once. By the specification the start of the device whose id sorts first counts: ours.
            return []
        for key, wanted in _OFFERED.items():
            self._require(wanted in texts_in(content, key), "m.unknown_method")
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
            "short_authentication_string": ways_in(content),
            "commitment": commitment,
        }
        return [self._message("accept", accepted)]

    def _take_accept(self, content: Json) -> list[Message]:
        self._require(self._is_start_ours and self._commitment is None, "m.unexpected_message")
        for key, wanted in _CHOSEN.items():
            self._require(text_in(content, key) == wanted, "m.unknown_method")
        self._require("decimal" in ways_in(content), "m.unknown_method")
        self._commitment = text_in(content, "commitment")
        self._require(self._commitment is not None, "m.invalid_message")
        self._agreement = self._make_agreement()
        return [self._message("key", {"key": self._agreement.public_key})]

    def _take_key(self, content: Json) -> list[Message]:
        is_their_turn = self._commitment is not None or not self._is_start_ours
        agreement, key = self._agreement, text_in(content, "key")
        if agreement is None or self.phase is not Phase.EXCHANGING or not is_their_turn:
            raise _Wrong("m.unexpected_message")
        if key is None:
            raise _Wrong("m.invalid_message")
        if self._is_start_ours:
            # The other device committed to its key before it saw ours. One that chose its key later could try many,
            # until the emoji fit those of a third device in between.
            is_kept = compare_digest(_commit(key, self._start or {}).encode(), str(self._commitment).encode())
            self._require(is_kept, "m.mismatched_commitment")
        try:
            self._secret = agreement.agree(key)
        except ValueError:
            raise _Wrong("m.invalid_message") from None
        own = (self._own.user_id, self._own.device_id, agreement.public_key)
        their = (self._own.user_id, str(self.other), key)
        # The side that started stands first, so that both devices compute the same emoji.
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
        # The list of ids has a MAC of its own: otherwise the homeserver could drop keys from it unseen.
        self._check_mac(text_in(content, "keys"), ",".join(sorted(macs)), "KEY_IDS")
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
        # Some clients pad base64 and others do not.
        is_good = isinstance(mac, str) and compare_digest(
            mac.rstrip("=").encode(errors="replace"), self._mac(text, key_id, is_ours=False).encode()
        )
        self._require(is_good, "m.key_mismatch")

    def _mac(self, text: str, key_id: str, *, is_ours: bool) -> str:
        assert self._secret is not None
        user, sides = self._own.user_id, (self._own.device_id, str(self.other))
        sender, receiver = sides if is_ours else reversed(sides)
        # Both users are the same, since only devices of one's own are verified here.
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


_OFFERED = {
    "key_agreement_protocols": _AGREEMENT,
    "hashes": _HASH,
    "message_authentication_codes": _MAC,
    "short_authentication_string": "decimal",
}
_CHOSEN = {"key_agreement_protocol": _AGREEMENT, "hash": _HASH, "message_authentication_code": _MAC}


def _commit(public_key: str, start: Json) -> str:
    return b64encode(sha256(public_key.encode() + canonical_json(start)).digest()).decode().rstrip("=")
