"""What the user sees, as values that a desktop shows. Texts are plain; a back end escapes them where it must."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from heliograph.core.ids import EventId, RoomId


class Urgency(IntEnum):
    """Desktop Notifications Specification, "Urgency Levels"."""

    LOW = 0
    NORMAL = 1
    CRITICAL = 2


class Category(Enum):
    """Desktop Notifications Specification, "Categories"."""

    MESSAGE = "im.received"
    INVITE = "im"
    CALL = "call.incoming"
    DEVICE = "device"
    """About Heliograph itself: signed out, keyring locked."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a click opens. Without a room: the Matrix client as it is."""

    room_id: RoomId | None = None
    event_id: EventId | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """A button. Its key comes back in Activated."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels in rows from the top, each of red, green, blue and opacity: four bytes."""

    width: int
    height: int
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification, whole. Lengths are capped and control characters gone (see `core.text.clean`)."""

    summary: str
    body: str
    """Without markup."""
    account: str
    """The user id it arrived for."""
    category: Category = Category.MESSAGE
    urgency: Urgency = Urgency.NORMAL
    sound: str | None = None
    """Value of the rule's sound tweak; None: silent."""
    target: Target = Target()
    actions: tuple[Action, ...] = ()
    """Besides the click that opens; servers without actions show none."""
    is_update: bool = False
    """Nothing in it is new: it only says again, or no longer, what was shown before."""
    markup: str = ""
    """The body as `core.text.markup` writes it, for servers that take markup; empty: as the body stands."""
    avatar: str | None = None
    """mxc: URI of a picture that goes with it."""
    picture: Picture | None = None
    """That picture, where it could be had."""


@dataclass(frozen=True, slots=True)
class Popup:
    """A notification on screen: ids mean something only within one life of one notification server."""

    server: str
    """The notification server's life: bus id and unique name, or the back end's own."""
    id: int


@dataclass(frozen=True, slots=True)
class Activated:
    """The user clicked the popup or one of its actions."""

    popup: Popup
    action: str
    token: str | None = None
    """XDG activation token, for the program that is opened."""


@dataclass(frozen=True, slots=True)
class Replied:
    """The user typed an answer into the popup. It may come after the popup was closed."""

    popup: Popup
    text: str
    """As it was typed: of any length."""


class Closing(Enum):
    """Why a popup went (the `reason` of NotificationClosed)."""

    EXPIRED = 1
    DISMISSED = 2
    CALLED = 3
    UNDEFINED = 4


@dataclass(frozen=True, slots=True)
class Closed:
    """The popup is gone from the screen."""

    popup: Popup
    reason: Closing


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """The notification server came, went or restarted. `server` is None while there is none."""

    server: str | None


@dataclass(frozen=True, slots=True)
class DoNotDisturb:
    """The desktop's own switch: what is shown meanwhile is only kept in its list."""

    is_on: bool


DesktopSignal = Activated | Replied | Closed | ServerChanged | DoNotDisturb
