"""What encryption tells, as values: our device's keys, what to-device events were, what an encrypted event says.

Source: Client-Server API, "End-to-end encryption".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from heliograph.core.events import Json
from heliograph.core.ids import RoomId, UserId

MEGOLM = "m.megolm.v1.aes-sha2"
"""The algorithm of room events."""
OLM = "m.olm.v1.curve25519-aes-sha2"
"""The algorithm of to-device events."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own device. The keys are public, as unpadded base64."""

    user_id: UserId
    device_id: str
    curve25519: str
    """Whom others encrypt to."""
    ed25519: str
    """What signs for the device: its fingerprint."""


@dataclass(frozen=True, slots=True)
class Received:
    """A to-device event that is not about room keys (those are stored, not told)."""

    type: str
    sender: str
    """The user, vouched for by the homeserver; inside Olm also by who encrypted it."""
    content: Json
    sender_key: str | None = None
    """Curve25519 key of the device that encrypted it with Olm; None: it came as plain text."""
    sender_ed25519: str | None = None
    """The Ed25519 key that this device claims: whoever trusts it must know it from /keys/query."""

    @property
    def is_encrypted(self) -> bool:
        return self.sender_key is not None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A to-device event that came to nothing, and why."""

    why: str
    type: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class RoomKey:
    """Names a room key (a Megolm session)."""

    room_id: RoomId
    session_id: str


class Reason(Enum):
    """Why an encrypted event cannot be read. The value is for people."""

    NO_KEY = "its key has not come"
    WITHHELD = "its sender withheld the key"
    KEY_STARTS_LATER = "the key that came is for later messages only"
    UNSUPPORTED = "it is encrypted in a way that Heliograph does not know"
    MALFORMED = "it is not what an encrypted message should be"
    BROKEN = "its key does not fit"
    WRONG_ROOM = "it was encrypted for another room"
    WRONG_SENDER = "its key belongs to another user"
    REPLAYED = "it repeats an earlier message"
    FAULT = "it finds a fault of Heliograph's own"


_MAY_BE_MENDED = frozenset({Reason.NO_KEY, Reason.WITHHELD, Reason.KEY_STARTS_LATER})


@dataclass(frozen=True, slots=True)
class Clear:
    """An event that was decrypted."""

    payload: Json
    """The decrypted object: `type`, `content`, `room_id`."""
    sender_key: str
    """Curve25519 key of the device that made the room key; "" where the backup does not say."""
    sender_ed25519: str = ""
    """The Ed25519 key that this device claimed."""
    is_from_backup: bool = False
    """The key came from the key backup, which proves nothing about who sent the message."""
    is_sender_unsigned: bool = False
    """It was looked up, and the sender's identity is not known to vouch for the device it came from."""
    is_hidden: bool = False
    """The user wants to hear nothing of such devices."""

    @property
    def is_doubtful(self) -> bool:
        """Whether anything leaves it open who sent the message."""
        return self.is_from_backup or self.is_sender_unsigned


@dataclass(frozen=True, slots=True)
class SenderDevice:
    """The device that a message came from, by the keys it was encrypted with."""

    user_id: UserId
    curve25519: str
    ed25519: str


@dataclass(frozen=True, slots=True)
class Locked:
    """An event that cannot be read, at least not yet."""

    reason: Reason
    key: RoomKey | None = None
    """The room key that it wants."""
    code: str = ""
    """With WITHHELD: the code of `m.room_key.withheld`, like m.unverified."""

    @property
    def may_open(self) -> bool:
        """Whether a key that comes later would help."""
        return self.key is not None and self.reason in _MAY_BE_MENDED

    @property
    def words(self) -> str:
        """The whole reason, for people."""
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


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a sync's to-device events, in their order; those taken before are left out."""

    outcomes: tuple[Received | Rejected, ...] = ()
    """Events about room keys have none, unless they were rejected."""
    new_keys: frozenset[RoomKey] = frozenset()
    """Room keys that can decrypt what nothing could before."""


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """Another device, as /keys/query told and its own signature confirms."""

    user_id: UserId
    device_id: str
    curve25519: str
    ed25519: str


@dataclass(frozen=True, slots=True)
class KeyUpload:
    """What our device is to publish. None: nothing of the kind."""

    device_keys: Json | None = None
    one_time_keys: Json | None = None
    fallback_keys: Json | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.device_keys or self.one_time_keys or self.fallback_keys)


@dataclass(frozen=True, slots=True)
class Rotation:
    """How long one room key is used for what we send."""

    messages: int = 100
    age_ms: int = 7 * 24 * 3_600_000


def read_rotation(encryption: Json) -> Rotation | None:
    """What `m.room.encryption` asks for, within reason; None if it is encryption of a kind that we do not know."""
    if encryption.get("algorithm") != MEGOLM:
        return None
    default = Rotation()
    return Rotation(
        messages=_within(encryption.get("rotation_period_msgs"), 1, default.messages),
        age_ms=_within(encryption.get("rotation_period_ms"), 3_600_000, default.age_ms),
    )


def _within(value: object, least: int, most: int) -> int:
    """Rooms may want new keys sooner than usual, never later."""
    return max(least, min(most, value)) if isinstance(value, int) and not isinstance(value, bool) else most
