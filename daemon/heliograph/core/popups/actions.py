"""What a popup lets its user do: which buttons it offers, what one of them means, and what is said when it failed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from heliograph.core.ids import EventId, RoomId, UserId, is_event_id, is_room_id, is_user_id
from heliograph.core.notification import Action, Category, Notification, Target, Urgency
from heliograph.core.record import Content, Delivery
from heliograph.core.text.clean import clean_line, clean_text

INLINE_REPLY = "inline-reply"
"""The capability and the action's key of servers that let the user type into the popup (Plasma, swaync)."""
OPEN = Action("default", "Open")
RETRY = Action("retry", "Try again")
GO_THERE = Action("open", "Open room")

_REPLY = Action("reply", "Reply")
_MARK_READ = Action("mark-read", "Mark as read")
_MARK_ALL_READ = Action("mark-read", "Mark all as read")
_MUTE = Action("mute", "Mute…")
_ACCEPT = Action("accept", "Accept")
_DECLINE = Action("decline", "Decline")
_ANSWER = Action("open", "Answer")

MAX_WISHES = 50
"""Rooms that one click on a summary is about."""
_TYPED = 600
"""Characters of a reply that the notice of its failure shows. Trying again sends all of it."""
_REASON = 180


class Verb(Enum):
    """What the user can want of a room."""

    OPEN = "open"
    REPLY = "reply"
    MARK_READ = "mark as read"
    MUTE = "mute"
    ACCEPT = "accept"
    DECLINE = "decline"


class Span(Enum):
    """For how long a room is to be mute. The key of the button that says so."""

    HOUR = "hour"
    DAY = "day"
    FOREVER = "forever"


SPAN_MS = {Span.HOUR: 3_600_000, Span.DAY: 24 * 3_600_000}
_SPANS = (
    Action(Span.HOUR.value, "For an hour"),
    Action(Span.DAY.value, "For a day"),
    Action(Span.FOREVER.value, "For ever"),
)

_VERBS = {
    OPEN.key: Verb.OPEN,
    _ANSWER.key: Verb.OPEN,
    # Where nothing can be typed into the popup, replying is done in the client.
    _REPLY.key: Verb.OPEN,
    INLINE_REPLY: Verb.OPEN,
    _MARK_READ.key: Verb.MARK_READ,
    _MUTE.key: Verb.MUTE,
    _ACCEPT.key: Verb.ACCEPT,
    _DECLINE.key: Verb.DECLINE,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants of one room."""

    verb: Verb
    room_id: RoomId
    title: str
    """The room's name, or that of the other person, for people."""
    event_id: EventId | None = None
    """The newest event that the user saw; None if it was an invite."""
    text: str = ""
    """With REPLY: what was typed."""
    transaction_id: str = ""
    """With REPLY: so that trying again sends it once."""
    span: Span | None = None
    """With MUTE; None: to be asked."""
    direct_with: UserId | None = None
    """Whose conversation with the user the room is to be, of an invite to one."""


def actions_for(contents: Sequence[Content], *, is_summary: bool) -> tuple[Action, ...]:
    """The buttons of a popup that says this, in order. GNOME shows the first three only."""
    if is_summary:
        return (_MARK_ALL_READ,)
    match contents[-1].category:
        case Category.INVITE:
            return _ACCEPT, _DECLINE
        case Category.CALL:
            return (_ANSWER,)
        case Category.DEVICE:
            return ()
    return _REPLY, _MARK_READ, _MUTE


def offer(notification: Notification, capabilities: Collection[str]) -> tuple[Action, ...]:
    """What one notification server is told: the click on the popup itself first, then the buttons it can show."""
    if "actions" not in capabilities:
        return ()
    buttons = notification.actions
    if INLINE_REPLY in capabilities:
        buttons = tuple(replace(each, key=INLINE_REPLY) if each == _REPLY else each for each in buttons)
    return OPEN, *buttons


def verb_of(action: str) -> Verb | None:
    """What the button with this key means. None: it is none of ours."""
    return _VERBS.get(action)


def wishes(deliveries: Sequence[Delivery]) -> list[Wish]:
    """The rooms of what a popup shows (in order of position), the one with the newest first, each to be opened."""
    latest = {each.room_id: each for each in deliveries if is_room_id(each.room_id)}
    return [_wish(room_id, each) for room_id, each in reversed(latest.items())][:MAX_WISHES]


def _wish(room_id: RoomId, delivery: Delivery) -> Wish:
    content = delivery.content
    is_direct = content is not None and content.is_direct
    title: str = room_id
    if content is not None:
        title = content.sender_name if is_direct else content.room_title
    return Wish(
        Verb.OPEN,
        room_id,
        title,
        event_id=delivery.event_id if is_event_id(delivery.event_id) else None,
        direct_with=delivery.sender if is_direct and is_user_id(delivery.sender) else None,
    )


def ask_span(wish: Wish, me: str) -> Notification:
    """The question for how long a room is to be mute. Its answers are the values of `Span`."""
    return Notification(
        summary=f"Mute {wish.title}?",
        body="Nothing of it rings then, mentions included.",
        account=me,
        category=Category.DEVICE,
        target=Target(wish.room_id, wish.event_id),
        actions=_SPANS,
    )


_FAILURES = {
    Verb.REPLY: "Your reply to {} was not sent",
    Verb.MARK_READ: "{} could not be marked as read",
    Verb.MUTE: "{} could not be muted",
    Verb.ACCEPT: "You could not join {}",
    Verb.DECLINE: "The invite to {} could not be declined",
    Verb.OPEN: "{} could not be opened",
}


def word_failure(wish: Wish, title: str, hint: str, me: str) -> Notification:
    """Says that it was not done and why, keeps what was typed, and offers to try again."""
    body = f"{clean_line(title, _REASON)} {clean_line(hint, _REASON)}"
    if wish.text:
        body = f"{body}\nYou wrote: {clean_text(wish.text, _TYPED)}"
    return Notification(
        summary=_FAILURES[wish.verb].format(wish.title),
        body=body,
        account=me,
        category=Category.DEVICE,
        # What was typed is nowhere else: servers let critical ones stay until they are answered.
        urgency=Urgency.CRITICAL if wish.text else Urgency.NORMAL,
        target=Target(wish.room_id, wish.event_id),
        actions=(RETRY, GO_THERE),
    )
