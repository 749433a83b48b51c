"""The actions of a popup: which buttons it offers, which request each of them makes, and the notice if that fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import Enum

from heliograph.core.ids import EventId, RoomId, UserId, is_event_id, is_room_id, is_user_id
from heliograph.core.notification import Action, Category, Notification, Target, Urgency
from heliograph.core.popups.profile import SAFE, ServerProfile
from heliograph.core.record import Content, Delivery
from heliograph.core.text.clean import clean_line, clean_text
from heliograph.core.value_type import value_type

INLINE_REPLY = "inline-reply"
"""Servers that let the user type into the popup (Plasma, swaync) have this capability, and this action's key."""
OPEN = Action("default", "Open")
RETRY = Action("retry", "Try again")
GO_THERE = Action("open", "Open room")

_REPLY = Action("reply", "Reply")
_MARK_READ = Action("mark-read", "Mark as read")
_MARK_ALL_READ = Action("mark-read", "Mark all as read")
_MUTE = Action("mute", "Mute…")
_ACCEPT = Action("accept", "Accept")
_DECLINE = Action("decline", "Decline")
# A call is answered in the client: there is no other way to take part.
_ANSWER = Action("open", "Answer")
_DECLINE_CALL = Action("decline-call", "Decline")

MAX_REQUESTS = 50
"""Rooms that one click on a summary is about at most; the rest is left as it is."""
_TYPED = 600
"""Characters of a reply that the notice of its failure shows. Trying again sends all of it."""
_REASON = 180
_ROOM = 25
"""Characters of a room's name on a button."""


class ActionKind(Enum):
    """What the user may want done in a room."""

    OPEN = "open"
    REPLY = "reply"
    MARK_READ = "mark as read"
    MUTE = "mute"
    ACCEPT = "accept"
    DECLINE = "decline"
    DECLINE_CALL = "decline the call"


class MuteSpan(Enum):
    """For how long a room shall be mute. Each value is the key of its button."""

    HOUR = "hour"
    DAY = "day"
    FOREVER = "forever"


SPAN_MS = {MuteSpan.HOUR: 3_600_000, MuteSpan.DAY: 24 * 3_600_000}
_SPANS = (
    Action(MuteSpan.HOUR.value, "For an hour"),
    Action(MuteSpan.DAY.value, "For a day"),
    Action(MuteSpan.FOREVER.value, "For ever"),
)

_SHORT = {
    **{_MARK_READ.label: "Read", _MARK_ALL_READ.label: "Read all", RETRY.label: "Retry"},
    **{"For an hour": "1 hour", "For a day": "1 day"},
}
"""By label: what stands on a button that has no room for that."""

_VERBS = {
    OPEN.key: ActionKind.OPEN,
    _ANSWER.key: ActionKind.OPEN,
    # Where nothing can be typed into the popup, replying is done in the client.
    # Test: test_elsewhere_replying_opens_the_room.
    _REPLY.key: ActionKind.OPEN,
    INLINE_REPLY: ActionKind.OPEN,
    _MARK_READ.key: ActionKind.MARK_READ,
    _MUTE.key: ActionKind.MUTE,
    _ACCEPT.key: ActionKind.ACCEPT,
    _DECLINE.key: ActionKind.DECLINE,
    _DECLINE_CALL.key: ActionKind.DECLINE_CALL,
}


@value_type
class ActionRequest:
    """What the user wants done in one room."""

    kind: ActionKind
    room_id: RoomId
    title: str
    """The room's name, or that of the other person, for people."""
    event_id: EventId | None = None
    """The newest event that the user saw; None if it was an invite."""
    text: str = ""
    """With REPLY: what was typed."""
    transaction_id: str = ""
    """With REPLY: so that trying again sends it once."""
    span: MuteSpan | None = None
    """With MUTE; None: to be asked."""
    direct_with: UserId | None = None
    """With ACCEPT: who invites the user to a conversation of two; None: it is none."""


def actions_for(contents: Sequence[Content], *, is_summary: bool, shows_sender: bool = True) -> tuple[Action, ...]:
    """The buttons of a popup that says this, in order: three at most, since GNOME shows no more. So for how long a room
    shall be mute is a question of its own. `shows_sender`: False if the popup does not tell who wrote, or where.
    Test: test_no_popup_has_more_buttons_than_gnome_shows."""
    if is_summary:
        return (_MARK_ALL_READ,)
    latest = contents[-1]
    match latest.category:
        case Category.INVITE:
            # Nobody shall accept with one click what does not say who invites.
            return (_ACCEPT, _DECLINE) if shows_sender else (_DECLINE,)
        case Category.CALL:
            return (_ANSWER, _DECLINE_CALL) if latest.can_decline else (_ANSWER,)
        case Category.DEVICE:
            return ()
    is_among_many = shows_sender and not latest.is_direct
    reply = replace(_REPLY, label=f"Reply in {clean_line(latest.room_title, _ROOM)}") if is_among_many else _REPLY
    return reply, _MARK_READ, _MUTE


def offer(
    notification: Notification, capabilities: Collection[str], profile: ServerProfile = SAFE
) -> tuple[Action, ...]:
    """The actions for one notification server: the click on the popup itself, then the buttons that it can show. Where
    the click is a button as well, it gives way to the others if there are too many."""
    if "actions" not in capabilities:
        return ()
    click, buttons = OPEN, notification.actions
    if "body" not in capabilities:
        # The body says who invites.
        buttons = tuple(each for each in buttons if each != _ACCEPT)
    if INLINE_REPLY in capabilities:
        buttons = tuple(replace(each, key=INLINE_REPLY) if each.key == _REPLY.key else each for each in buttons)
    elif profile.draws_click:
        # These open the room, as the click does. Test: test_no_two_buttons_do_the_same.
        click = replace(OPEN, label=_ANSWER.label) if _ANSWER in buttons else OPEN
        buttons = tuple(each for each in buttons if kind_of(each.key) is not ActionKind.OPEN)
    most = profile.most_buttons
    buttons = tuple(_shorten(each, profile.longest_label) for each in buttons[:most])
    if profile.draws_click and len(buttons) == most:
        return buttons
    return (*buttons, click) if profile.drops_after_click else (click, *buttons)


def _shorten(action: Action, longest: int | None) -> Action:
    if longest is None or len(action.label) <= longest:
        return action
    if action.key in (_REPLY.key, INLINE_REPLY):
        return replace(action, label=_REPLY.label)
    return replace(action, label=_SHORT.get(action.label, action.label[: longest - 1] + "…"))


def kind_of(action: str) -> ActionKind | None:
    """The meaning of the button with this key; None: it is none of ours."""
    return _VERBS.get(action)


def action_requests(deliveries: Sequence[Delivery]) -> list[ActionRequest]:
    """One request for each room in a popup, the one with the newest message first; each says to open the room.

    `deliveries` are those that the popup shows, by position.
    Tests: test_what_a_popup_is_about_is_its_rooms_and_the_newest_event_of_each,
    test_rooms_that_take_turns_stand_in_the_order_of_their_newest_messages.
    """
    # From the newest on, so that each room is found at its newest message, however the rooms take turns.
    latest: dict[RoomId, Delivery] = {}
    for each in reversed(deliveries):
        if is_room_id(each.room_id):
            latest.setdefault(each.room_id, each)
    return [_action_request(room_id, each) for room_id, each in latest.items()][:MAX_REQUESTS]


def _action_request(room_id: RoomId, delivery: Delivery) -> ActionRequest:
    content = delivery.content
    is_direct = content is not None and content.is_direct
    title: str = room_id
    if content is not None:
        title = content.sender_name if is_direct else content.room_title
    return ActionRequest(
        ActionKind.OPEN,
        room_id,
        title,
        event_id=delivery.event_id if is_event_id(delivery.event_id) else None,
        direct_with=delivery.sender if is_direct and is_user_id(delivery.sender) else None,
    )


def ask_span(request: ActionRequest, me: str) -> Notification:
    """The question for how long a room is to be mute. Its answers are the values of `MuteSpan`."""
    return Notification(
        summary=f"Mute {request.title}?",
        body="Nothing of it rings then, mentions included.",
        account=me,
        category=Category.DEVICE,
        target=Target(request.room_id, request.event_id),
        actions=_SPANS,
    )


_FAILURES = {
    ActionKind.REPLY: "Your reply to {} was not sent",
    ActionKind.MARK_READ: "{} could not be marked as read",
    ActionKind.MUTE: "{} could not be muted",
    ActionKind.ACCEPT: "You could not join {}",
    ActionKind.DECLINE: "The invite to {} could not be declined",
    ActionKind.DECLINE_CALL: "The call in {} could not be declined",
    ActionKind.OPEN: "{} could not be opened",
}


def word_failure(request: ActionRequest, title: str, hint: str, me: str) -> Notification:
    """The notice that this request failed and why, with the text that was typed and the offer to try again."""
    body = f"{clean_line(title, _REASON)} {clean_line(hint, _REASON)}"
    if request.text:
        body = f"{body}\nYou wrote: {clean_text(request.text, _TYPED)}"
    return Notification(
        summary=_FAILURES[request.kind].format(request.title),
        body=body,
        account=me,
        category=Category.DEVICE,
        # What was typed is nowhere else: servers let critical ones stay until they are answered.
        urgency=Urgency.CRITICAL if request.text else Urgency.NORMAL,
        target=Target(request.room_id, request.event_id),
        actions=(RETRY, GO_THERE),
    )
