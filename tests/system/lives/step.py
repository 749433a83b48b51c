"""What can happen in a life, as values: a life is a list of these, and each can be left out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """One kind of step. A step that finds nothing to be done to does nothing."""

    SAY = "say"
    SAY_MENTION = "say with a mention of the user"
    SAY_ROOM = "say with @room"
    SAY_NOTICE = "say as a bot"
    SAY_EMOTE = "say what one does"
    SAY_HTML = "say with markup"
    SAY_IMAGE = "send a picture with a caption"
    SAY_STICKER = "send a sticker"
    SAY_POLL = "start a poll"
    SAY_REPLY = "reply to a message"
    SAY_IN_THREAD = "say in a thread"
    SAY_KEYWORD = "say a keyword"
    SAY_ODD = "send what no client knows"
    SAY_OURSELVES = "say on the user's other device"
    SAY_EVERYWHERE = "say in every room"
    SAY_BEFORE_KEY = "say something of which the key is late"
    SAY_LONG_AGO = "say something that is said to be of 1971"
    SAY_IN_FUTURE = "say something that is said to be of 2603"
    BRING_KEYS = "the late keys come"
    CALL = "call"
    CALL_BRIEFLY = "call for two seconds"
    CALL_ANOTHER = "call somebody else in the room"
    RING = "ring for a call of the room"
    HANG_UP = "hang up"
    TAKE_CALL = "take the call on the other device"
    JOIN_CALL = "join the call on the other device"
    DECLINE_CALL = "decline the call on the other device"
    EDIT = "edit"
    EDIT_TO_MENTION = "edit so that it mentions the user"
    REDACT = "take a message back"
    MODERATE = "take another's message back"
    REACT = "react"
    REACT_IN_THREAD = "react in a thread"
    UNREACT = "take a reaction back"
    FLOOD = "a bot says 22 things that ring nowhere"
    CHATTER = "Bob says 22 things"
    RENAME = "rename the room"
    RENAME_SENDER = "a sender takes another name"
    RENAME_ALIKE = "both senders take names that look the same"
    RENAME_TO_ID = "a sender takes the other's user id as name"
    RENAME_TO_NOTHING = "a sender takes a name of which nothing is to be seen"
    RENAME_OURSELVES = "the user takes another name"

    INVITE = "invite to a room"
    INVITE_DIRECT = "invite to a conversation"
    ACCEPT = "accept the invite on the other device"
    DECLINE = "decline the invite on the other device"
    RETRACT = "take the invite back"
    LEAVE = "leave the room"
    KICK = "be kicked"
    BAN = "be banned"
    BAN_SENDER = "Bob is banned with all that he wrote, and comes back"
    COME_BACK = "be invited again, and join"
    UPGRADE = "the room is replaced by a new one"

    READ = "read up to the newest"
    READ_SOME = "read up to some message"
    READ_REACTION = "read up to a reaction"
    READ_MAIN = "read the main timeline"
    READ_THREAD = "read a thread"
    READ_REACTION_IN_THREAD = "read a thread up to a reaction in it"
    MARK_FULLY = "set the read marker alone"
    READ_AND_MARK = "set the receipt and the read marker"

    MUTE = "mute the room"
    MENTIONS_ONLY = "let only mentions of the room ring"
    LOUD = "let the room ring again"
    ADD_KEYWORD = "add a keyword"
    DROP_KEYWORD = "drop the keyword"
    IGNORE = "ignore a sender"
    UNIGNORE = "ignore nobody"
    SILENCE = "silence this device"
    UNSILENCE = "let this device ring again"

    OPEN = "click the popup"
    PRESS_READ = "press Mark as read"
    PRESS_MUTE = "press Mute, for an hour"
    TYPE_REPLY = "type a reply into the popup"
    PRESS_ACCEPT = "press Accept"
    PRESS_DECLINE = "press Decline"
    DISMISS = "close the popup"
    EXPIRE = "the popup's time is over"
    INBOX_READ = "heliograph inbox read"
    INBOX_REPLY = "heliograph inbox reply"

    PAUSE = "heliograph pause"
    RESUME = "heliograph resume"
    QUIET_HOURS = "quiet hours are configured"
    QUIET_BUT = "quiet hours are configured, but for a room"
    NO_QUIET_HOURS = "quiet hours are configured no longer"
    FEW_POPUPS = "news in more than two rooms are configured to be a summary"
    MANY_POPUPS = "each room is configured to have a popup of its own"
    LOCK = "lock the session"
    UNLOCK = "unlock the session"
    START = "start the daemon"
    STOP = "stop the daemon"
    KILL = "kill -9 of the daemon"
    SAY_AND_KILL = "kill -9 of the daemon while it takes what is said"
    WAIT_FOR_PHONE = "wait until the phone has rung for what came in the daemon's absence"
    SECOND_ACCOUNT = "sign a second account in"
    SCREEN_RESTARTS = "the notification server starts anew"
    RELAY_RESTARTS = "the relay starts anew"
    RELAY_KILLED = "kill -9 of the relay, which starts anew"
    RELAY_LEAVES = "heliograph relay leave"
    RELAY_COMES_BACK = "the relay is put back"
    HOMESERVER_RESTARTS = "the homeserver starts anew"


class Mode(StrEnum):
    """How Heliograph learns what rings, and whether rooms are encrypted."""

    LOCAL_PLAIN = "local-plain"
    LOCAL_ENCRYPTED = "local-encrypted"
    DIRECT_PLAIN = "direct-plain"
    DIRECT_ENCRYPTED = "direct-encrypted"

    @property
    def is_direct(self) -> bool:
        return self in (Mode.DIRECT_PLAIN, Mode.DIRECT_ENCRYPTED)

    @property
    def is_encrypted(self) -> bool:
        return self in (Mode.LOCAL_ENCRYPTED, Mode.DIRECT_ENCRYPTED)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. What it is done to is chosen of all that is there by then."""

    kind: Kind
    room: int = 0
    """Which of the rooms that the user is in, of those there are."""
    sender: int = 0
    pick: float = 0.0
    """In [0, 1): which message, popup or flavour."""
    account: int = 0
    """1: of the second account, once there is one."""

    def __str__(self) -> str:
        account = ", second account" if self.account else ""
        return f"{self.kind} (room {self.room}, sender {self.sender}, {self.pick:.2f}{account})"


@dataclass(frozen=True, slots=True)
class Life:
    """A life in one mode. `kept` are the places of `steps` in what the seed draws, once it was shortened."""

    seed: int
    mode: Mode
    steps: tuple[Step, ...]
    kept: tuple[int, ...]

    def keep(self, kept: tuple[int, ...]) -> Life:
        """The same life, with only those of its steps that have these places."""
        steps = dict(zip(self.kept, self.steps, strict=True))
        return Life(self.seed, self.mode, tuple(steps[place] for place in kept), kept)

    def __str__(self) -> str:
        lines = [f"{place:4}  {step}" for place, step in zip(self.kept, self.steps, strict=True)]
        return "\n".join([f"Life {self.seed}, {self.mode}:", *lines])

    @property
    def command(self) -> str:
        """Lives it again."""
        kept = ",".join(map(str, self.kept))
        return f"tests/system/lives/run --mode {self.mode} --seed {self.seed} --keep {kept}"
