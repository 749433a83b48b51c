"""The values of encryption: our device's keys, outcomes of to-device events, decrypted and locked events.

Source: Client-Server API, "End-to-end encryption".
"""

from __future__ import annotations

from enum import Enum

from heliograph.core.events import Json
from heliograph.core.ids import RoomId, UserId
from heliograph.core.value_type import value_type

MEGOLM = "m.megolm.v1.aes-sha2"
"""The algorithm of room events."""
OLM = "m.olm.v1.curve25519-aes-sha2"
"""The algorithm of to-device events."""


@value_type
class Identity:
    """Our own device. The keys are public, as unpadded base64."""

    user_id: UserId
    device_id: str
    curve25519: str
    """The key for which others encrypt."""
    ed25519: str
    """The key with which the device signs: its fingerprint."""


@value_type
class Received:
    """A to-device event that has no room key in it. Room keys are stored and not passed on."""

    type: str
    sender: str
    """The user who sent it, by the homeserver; if encrypted with Olm, also by the device that encrypted it."""
    content: Json
    sender_key: str | None = None
    """The Curve25519 key of the device that encrypted it with Olm; None: it came in plain text."""
    sender_ed25519: str | None = None
    """The Ed25519 key that this device claims to have. Only /keys/query proves that."""

    @property
    def is_encrypted(self) -> bool:
        return self.sender_key is not None


@value_type
class Rejected:
    """A to-device event that could not be used, and why."""

    why: str
    type: str = ""
    sender: str = ""


@value_type
class RoomKey:
    """The name of a room key, which is a Megolm session."""

    room_id: RoomId
    session_id: str


class Reason(Enum):
    """Why an encrypted event cannot be decrypted, in words for people."""

    NO_KEY = "its key has not come"
    WITHHELD = "its sender withheld the key"
    KEY_STARTS_LATER = "the key that came is for later messages only"
    UNSUPPORTED = "it is encrypted in a way that Heliograph does not know"
    MALFORMED = "it is not what an encrypted message should be"
    BROKEN = "its key does not fit"
    WRONG_ROOM = "it was encrypted for another room"
    WRONG_SENDER = "its key came from another user only"
    REPLAYED = "it repeats an earlier message"
    FAULT = "it finds a fault of Heliograph's own"


_MAY_BE_MENDED = frozenset({Reason.NO_KEY, Reason.WITHHELD, Reason.KEY_STARTS_LATER, Reason.WRONG_SENDER})


@value_type
class Clear:
    """An event that was decrypted."""

    payload: Json
    """The decrypted object, with `type`, `content` and `room_id`."""
    sender_key: str
    """The Curve25519 key of the device that made the room key; "": the key backup does not say."""
    sender_ed25519: str = ""
    """The Ed25519 key that this device claimed."""
    is_from_backup: bool = False
    """True if the room key came from the key backup, which proves nothing about the sender of the message."""
    is_sender_unsigned: bool = False
    """True if the sender's device was looked up, and the sender's identity is not known to have signed it."""
    is_hidden: bool = False
    """True if the user wants messages of such devices to be silent."""

    @property
    def is_doubtful(self) -> bool:
        """True if it is not proven who sent the message."""
        return self.is_from_backup or self.is_sender_unsigned


@value_type
class SenderDevice:
    """The device that sent a message, by the keys with which the message was encrypted."""

    user_id: UserId
    curve25519: str
    ed25519: str


@value_type
class Locked:
    """An event that cannot be decrypted, at least not yet."""

    reason: Reason
    key: RoomKey | None = None
    """The room key that would decrypt it, if that is known."""
    code: str = ""
    """With WITHHELD: the code of `m.room_key.withheld`, like "m.unverified"."""

    @property
    def may_open(self) -> bool:
        """True if a room key that comes later may decrypt the event."""
        return self.key is not None and self.reason in _MAY_BE_MENDED

    @property
    def words(self) -> str:
        """The reason with the sender's own one, in words for people."""
        told = _WITHHELD.get(self.code, self.code)
        return f"{self.reason.value}: {told}" if told else self.reason.value


_WITHHELD = {
    "m.blacklisted": "this device is blocked",
    "m.unverified": "this device is not verified",
    "m.unauthorised": "this device may not read it",
    "m.unavailable": "the sender's device no longer has it",
    "m.no_olm": "no secure channel to this device could be made",
}
"""https://spec.matrix.org/v1.18/client-server-api/#reporting-that-decryption-keys-are-withheld"""


@value_type
class Taken:
    """The outcome of a sync's to-device events, in their order. Events that were taken before are left out."""

    outcomes: tuple[Received | Rejected, ...] = ()
    """One for each event, except for room keys that were stored."""
    new_keys: frozenset[RoomKey] = frozenset()
    """Room keys that may decrypt events which could not be decrypted before."""


@value_type
class DeviceKeys:
    """The keys of another device by /keys/query, confirmed by the device's own signature."""

    user_id: UserId
    device_id: str
    curve25519: str
    ed25519: str


@value_type
class KeyUpload:
    """The keys that our device has to publish. None: there are none of that kind."""

    device_keys: Json | None = None
    one_time_keys: Json | None = None
    fallback_keys: Json | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.device_keys or self.one_time_keys or self.fallback_keys)


@value_type
class Rotation:
    """For how many messages and how long one room key is used for what we send."""

    messages: int = 100
    age_ms: int = 7 * 24 * 3_600_000


def read_rotation(encryption: Json) -> Rotation | None:
    """The rotation that the content of `m.room.encryption` asks for, within bounds; None: the algorithm is unknown."""
    if encryption.get("algorithm") != MEGOLM:
        return None
    default = Rotation()
    return Rotation(
        # The settings of a room may be made by strangers: one
        # message or one hour is the most that they can have us work.
        messages=_within(encryption.get("rotation_period_msgs"), 1, default.messages),
        age_ms=_within(encryption.get("rotation_period_ms"), 3_600_000, default.age_ms),
    )


def _within(value: object, least: int, most: int) -> int:
    """The value within these bounds. A room may want new keys sooner than usual, but not later: they protect us too."""
    return max(least, min(most, value)) if isinstance(value, int) and not isinstance(value, bool) else most
