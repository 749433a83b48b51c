"""Every setting of config.toml, with its default and the explanation that `heliograph config` prints.

All settings are optional, and none is a secret. A class is a section, and its docstring the comment above the section.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.popups.quiet import Hours, Through, parse_hours
from heliograph.core.pushers.fallback import (
    APP_ID,
    MAX_APP_ID,
    MAX_PUSHKEY,
    MAX_URL,
    Fallback,
    why_unfit,
    why_unfit_url,
)
from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.system.logs import LogLevel


# Each section refuses unknown keys: a misspelled one would be passed over, and its setting silently not hold.
class DesktopConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where notifications appear, and what a click on one opens."""

    backend: Annotated[
        Literal["auto", "freedesktop", "plyer", "terminal"],
        Meta(
            description="freedesktop: the notification server of your desktop, over D-Bus. plyer: text only, where "
            "there is no session bus. terminal: lines on standard output. auto: freedesktop, else plyer."
        ),
    ] = "auto"
    open_with: Annotated[
        str,
        Meta(
            max_length=255,
            description='What opens a room. "matrix": the application for matrix: links. "element": Element\'s desktop '
            'application. "matrix.to": the browser. "auto": the first of these that is installed. Or the name of your '
            'client\'s desktop entry, like "nheko.desktop".',
        ),
    ] = "auto"
    badge: Annotated[
        str,
        Meta(
            max_length=255,
            description="The desktop entry whose icon bears the number of unread messages, in docks and task bars "
            'that show one. For example your Matrix client\'s: "element-desktop.desktop". Empty: none.',
        ),
    ] = "io.github.heliograph.desktop"
    tray: Annotated[
        bool,
        Meta(
            description="An item in the tray, with the number of unread messages and a menu, where the desktop has a "
            "tray. `heliograph tray` says what yours needs."
        ),
    ] = False
    tray_icon: Annotated[
        Literal["coloured", "light", "dark"],
        Meta(
            description="Its icon. coloured: Heliograph's own. light: of one colour, for dark panels. dark: of one "
            "colour, for light panels."
        ),
    ] = "coloured"


class ActionsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the buttons of a notification do."""

    receipts: Annotated[
        Literal["private", "public"],
        Meta(
            description="What other people see when you use Mark as read or Reply. private: nothing; only your own "
            "clients learn how far you have read. public: everybody in the room sees it."
        ),
    ] = "private"


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes to standard error, or to the journal under systemd."""

    level: Annotated[
        LogLevel,
        Meta(description="The least important kind of line that is written."),
    ] = "info"
    bodies: Annotated[
        bool,
        Meta(description="Write what messages say, too. For hunting a fault; your conversations end up in the log."),
    ] = False


class SyncConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request that waits at the homeserver for news."""

    poll_seconds: Annotated[
        int,
        Meta(
            ge=10,
            le=120,
            description="How many seconds the homeserver may hold this request when nothing happens. Lower it if a "
            "proxy on the way cuts long requests.",
        ),
    ] = 50


class NotificationsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is shown at once."""

    max_rooms: Annotated[
        int,
        Meta(
            ge=1,
            le=50,
            description="When messages from more rooms than this arrive at once, they are shown as one summary.",
        ),
    ] = 5
    avatars: Annotated[
        bool, Meta(description="Show the pictures of people and rooms, which are downloaded from the homeserver.")
    ] = True
    sound: Annotated[
        Literal["auto", "server", "own", "off"],
        Meta(
            description="Who plays the sounds that your push rules ask for. server: the notification server. own: "
            "Heliograph, with pw-play, paplay or canberra-gtk-play; the folder sounds/ beside this file may hold your "
            "own, named after the rule's sound: default.oga, ring.wav, call.ogg. auto: the server if it can. off: "
            "nobody."
        ),
    ] = "auto"


class PrivacyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of a message is shown. What is not shown is not kept on disk either."""

    show: Annotated[
        Literal["full", "sender", "hidden"],
        Meta(description="full: what it says. sender: only who wrote, and where. hidden: only that somebody wrote."),
    ] = "full"
    locked: Annotated[
        Literal["full", "sender", "hidden"],
        Meta(description="The same while the session is locked. A locked session never shows more than an open one."),
    ] = "sender"
    full: Annotated[
        tuple[str, ...],
        Meta(
            max_length=200,
            description="Rooms (by id or name) and senders (by user id) whose messages are shown in full "
            "nevertheless. If several of these three lists name a message, the strictest counts. A name stands for the "
            "room that has it alone when the daemon starts: below is which.",
        ),
    ] = ()
    sender: Annotated[
        tuple[str, ...],
        Meta(max_length=200, description="Rooms and senders of whose messages only sender and room are shown."),
    ] = ()
    hidden: Annotated[
        tuple[str, ...], Meta(max_length=200, description="Rooms and senders whose messages are hidden.")
    ] = ()

    @property
    def privacy(self) -> Privacy:
        """The same as the core's value."""
        # The core names levels and not settings, so that it needs to know nothing of this file.
        rooms = {Level.FULL: self.full, Level.SENDER: self.sender, Level.HIDDEN: self.hidden}
        return Privacy(
            Level[self.show.upper()],
            Level[self.locked.upper()],
            {level: frozenset(names) for level, names in rooms.items()},
        )


class QuietConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When nothing pops up. What rings then is shown afterwards, unless it was read elsewhere meanwhile."""

    hours: Annotated[
        tuple[str, ...],
        Meta(
            max_length=50,
            description='Times of day, like "22:00-07:00" or "fri,sat 23:00-10:00". A day named there is the day on '
            "which the quiet hours begin.",
        ),
    ] = ()
    highlights: Annotated[
        bool, Meta(description="Mentions, and whatever else your push rules highlight, pop up all the same.")
    ] = True
    rooms: Annotated[
        tuple[str, ...],
        Meta(
            max_length=200,
            description="Rooms (by id or name) and senders (by user id) whose messages pop up all the same. A name "
            "stands for the room that has it alone when the daemon starts: below is which.",
        ),
    ] = ()
    everywhere: Annotated[
        bool,
        Meta(
            description="Quiet hours are for your other devices as well: they do not ring instead of this desktop, "
            "where a relay or [handoff] can keep them from it. For a pause: heliograph pause --everywhere."
        ),
    ] = False

    @property
    def parsed_hours(self) -> tuple[Hours, ...]:
        """The quiet hours as the core's values. Raises UserError if one cannot be understood."""
        try:
            return tuple(map(parse_hours, self.hours))
        except ValueError as error:
            raise UserError(
                f"The quiet hours in the configuration cannot be understood: {str(error)[:300]}.",
                'Write, for example: hours = ["mon-fri 22:00-07:00", "sat,sun 23:00-10:00"]',
                exit_code=EXIT_CONFIG,
            ) from None

    @property
    def through(self) -> Through:
        """What pops up in spite of quiet."""
        return Through(self.highlights, frozenset(self.rooms))


class HooksConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program of your own, told of each message by environment variables: see docs/hooks.md."""

    on_notification: Annotated[
        tuple[str, ...],
        Meta(
            max_length=64,
            description="A program and its arguments, run for each message that is shown.",
        ),
    ] = ()
    timeout_seconds: Annotated[int, Meta(ge=1, le=300, description="A program that runs for longer is ended.")] = 10


class HistoryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What Heliograph remembers of past messages."""

    days: Annotated[
        int,
        Meta(
            ge=1,
            le=365,
            description="For how many days Heliograph remembers which messages were shown, and what the unread ones "
            "among them said.",
        ),
    ] = 7


class FallbackConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An HTTP pusher that rings where this desktop cannot, kept registered. `heliograph fallback set` writes this."""

    gateway: Annotated[
        str,
        Meta(
            max_length=MAX_URL,
            description="The push gateway that the homeserver sends to: a URL that ends in /_matrix/push/v1/notify. "
            "Empty: there is no fallback.",
        ),
    ] = ""
    pushkey: Annotated[
        str,
        Meta(max_length=MAX_PUSHKEY, description="Where the gateway passes a push on to; for ntfy the topic's URL."),
    ] = ""
    app_id: Annotated[str, Meta(max_length=MAX_APP_ID, description="Names the pusher, together with its pushkey.")] = (
        APP_ID
    )
    event_id_only: Annotated[
        bool,
        Meta(
            description="Push ids only, never what messages say. Without it the gateway sees more, and a long message "
            "may be too large for it and hold up all later ones."
        ),
    ] = True
    relay: Annotated[
        str,
        Meta(
            max_length=MAX_URL,
            description="The URL of a relay that is a gateway only, if `gateway` and `pushkey` lead to one: the "
            "daemon tells this relay what was shown here. Empty: there is none.",
        ),
    ] = ""

    @property
    def fallback(self) -> Fallback | None:
        """The fallback to keep registered; None: the user wants none. Raises UserError if this one cannot work."""
        # Either alone counts as wanted: half a fallback is a mistake to be told, and not the same as no fallback.
        if not self.gateway and not self.pushkey:
            return None
        fallback = Fallback(self.gateway, self.pushkey, self.app_id, self.event_id_only)
        if (problem := why_unfit(fallback)) is not None:
            raise UserError(
                f"The fallback in the configuration cannot work: {problem}.",
                "Set it again (heliograph fallback set), or remove it (heliograph fallback remove).",
                exit_code=EXIT_CONFIG,
            )
        if self.relay and (problem := why_unfit_url(self.relay)) is not None:
            raise UserError(
                f"The relay of the fallback {problem}.",
                "Set it again: heliograph fallback set ... --relay URL",
                exit_code=EXIT_CONFIG,
            )
        return fallback


class HandoffConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who rings: this desktop while you are there, your other devices while you are not."""

    mode: Annotated[
        Literal["always", "switch"],
        Meta(
            description="always: the fallback rings whatever happens here: nothing is lost, and at the desk some ring "
            "twice. switch: it is switched off while you are here, and on when you leave (needs MSC3881); a cut cable "
            "or a power failure then stays silent. With a relay neither matters: exactly one rings."
        ),
    ] = "always"
    away_after: Annotated[
        int,
        Meta(
            ge=0,
            le=1440,
            description="Minutes without keyboard or mouse after which you count as away. 0: only a locked session or "
            "sleep do.",
        ),
    ] = 10
    while_away: Annotated[
        Literal["silent", "wait", "ring"],
        Meta(
            description="What happens here while you are away and another device rings. silent: notifications go up "
            "without sound. wait: they go up when you are back. ring: as if you were here."
        ),
    ] = "silent"
    quiet: Annotated[
        tuple[str, ...],
        Meta(
            max_length=50,
            description="Pushers that are silent while you are here, by app, device or app id, as `heliograph pushers "
            "list` names them (needs MSC3881; with a relay it is not needed). They ring again when you leave.",
        ),
    ] = ()


class EncryptionConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End-to-end encryption."""

    send_to: Annotated[
        Literal["all", "signed"],
        Meta(
            description="Whose devices can read the replies you send from a notification in an encrypted room. all: "
            "every device of its members. signed: only those that their owners have verified."
        ),
    ] = "all"
    unverified_senders: Annotated[
        Literal["show", "mark", "hide"],
        Meta(
            description="What happens to messages from devices that their owners have not verified. show: nothing. "
            'mark: the text begins with "Unverified". hide: they are silent. The last two ask the homeserver about '
            "senders."
        ),
    ] = "show"


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration. Every field has a default that is good for most."""

    desktop: DesktopConfig = DesktopConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    actions: ActionsConfig = ActionsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    quiet: QuietConfig = QuietConfig()
    hooks: HooksConfig = HooksConfig()
    sync: SyncConfig = SyncConfig()
    fallback: FallbackConfig = FallbackConfig()
    handoff: HandoffConfig = HandoffConfig()
    history: HistoryConfig = HistoryConfig()
    encryption: EncryptionConfig = EncryptionConfig()
    log: LogConfig = LogConfig()
