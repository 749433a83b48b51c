"""The values that a desktop shows, and those in which it answers. Texts are plain; a back end escapes them if it
must."""

from __future__ import annotations

from enum import Enum, IntEnum

from heliograph.core.ids import EventId, RoomId
from heliograph.core.value_type import value_type


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
    """The category of notices about Heliograph itself: signed out, keyring locked."""


@value_type
class Target:
    """The place that a click opens. Without a room: the Matrix client as it is."""

    room_id: RoomId | None = None
    event_id: EventId | None = None


@value_type
class Action:
    """A button of a popup. Activated brings its key back."""

    key: str
    label: str


@value_type
class Picture:
    """A picture in pixels, row by row from the top. Each pixel has four bytes: red, green, blue and opacity."""

    width: int
    height: int
    pixels: bytes


@value_type
class Notification:
    """All of one notification. Texts are short and have no control characters (see `core.text.clean`)."""

    summary: str
    body: str
    """Without markup."""
    account: str
    """The user id of the account to which the message came."""
    category: Category = Category.MESSAGE
    urgency: Urgency = Urgency.NORMAL
    sound: str | None = None
    """The value of the push rule's tweak `sound`; None: silent."""
    target: Target = Target()
    actions: tuple[Action, ...] = ()
    """The buttons. A click on the popup itself, which opens the room, is none of them."""
    is_update: bool = False
    """True if nothing in the notification is new: it shows the same as before, or less."""
    markup: str = ""
    """The body as `core.text.markup` writes it, for servers that take markup; empty: as the body stands."""
    avatar: str | None = None
    """The mxc: URI of its picture, of the sender or the room."""
    picture: Picture | None = None
    """The picture itself, if it could be fetched."""

    @property
    def is_question(self) -> bool:
        """Whether it is there for its buttons: Heliograph itself asks something."""
        return self.category is Category.DEVICE and bool(self.actions)


@value_type
class Popup:
    """A notification on screen. Its id is only valid until the notification server that gave it ends."""

    server: str
    """Names one run of one notification server: by bus id and unique name, or by a name of the back end's own."""
    id: int
    """0, which no server gives: the popup is to be shown, and not on screen yet."""


@value_type
class Activated:
    """The user clicked on the popup or on one of its buttons."""

    popup: Popup
    action: str
    token: str | None = None
    """The XDG activation token, with which the opened program may come to the front."""


@value_type
class Replied:
    """The user typed an answer into the popup. It may come after the popup was closed."""

    popup: Popup
    text: str
    """The text as typed, of any length."""


class Closing(Enum):
    """Why a popup closed (the `reason` of NotificationClosed)."""

    EXPIRED = 1
    DISMISSED = 2
    CALLED = 3
    UNDEFINED = 4


@value_type
class Closed:
    """The popup is gone from the screen."""

    popup: Popup
    reason: Closing


@value_type
class ServerChanged:
    """The notification server started, ended or restarted. `server` as in Popup; None while there is no server."""

    server: str | None


@value_type
class DoNotDisturb:
    """The desktop's own "do not disturb" was switched, or that for Heliograph alone. While on, the desktop keeps
    notifications in its list without showing them, or drops them."""

    is_on: bool


DesktopSignal = Activated | Replied | Closed | ServerChanged | DoNotDisturb
