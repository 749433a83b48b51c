"""For whom and how long calls ring, and what ends that: calls of two (m.call.*), and MatrixRTC's, whose members are in
state (MSC3401, MSC4143) or sticky events (MSC4354), and which ring (MSC4075) and are declined (MSC4310) by events.

https://spec.matrix.org/v1.18/client-server-api/#voice-over-ip
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from heliograph.core.events import Event, Json
from heliograph.core.ids import EventId
from heliograph.core.notification import Category
from heliograph.core.record import Content, Delivery
from heliograph.core.text.messages import RTC_RINGS

MISSED = "Missed call"

_MEMBERSHIPS = ("m.call.member", "org.matrix.msc3401.call.member")
_RTC_MEMBERS = ("m.rtc.member", "org.matrix.msc4143.rtc.member")
DECLINE = "org.matrix.msc4310.rtc.decline"
_DECLINES = ("m.rtc.decline", DECLINE)
_TAKEN = ("m.call.answer", "m.call.reject")
_SELECT_ANSWER = "m.call.select_answer"
_OF_TWO = (*_TAKEN, _SELECT_ANSWER, "m.call.hangup")
ENDING_TYPES = frozenset({*_OF_TWO, *_DECLINES, *_MEMBERSHIPS, *_RTC_MEMBERS})
"""Types of the events that end the ringing of a call."""

_USUAL_MS = 60_000
_LONGEST_MS = 300_000
"""The longest time that a call rings, whatever its caller wants."""
_LONGEST_ID = 255
"""Characters of a call's id that are compared."""
_CLOCKS_APART_MS = 20_000
"""A sender whose clock is further from its homeserver's is not believed."""


def is_for(event: Event, me: str) -> bool:
    """Returns False if the event is a call for somebody else: of two (`invitee`), or by MatrixRTC (`m.mentions`)."""
    if event.type == "m.call.invite":
        invitee = event.content.get("invitee")
        return not isinstance(invitee, str) or invitee == me
    mentions = event.content.get("m.mentions")
    if event.type not in RTC_RINGS or not isinstance(mentions, Mapping):
        return True
    users = mentions.get("user_ids")
    return mentions.get("room") is True or (isinstance(users, list) and me in users)


def can_decline(event: Event) -> bool:
    """Returns True for a ring that an event of the type `DECLINE` answers, so that the caller and the user's other
    devices hear of it."""
    return event.type in RTC_RINGS


def decline_content(event_id: EventId) -> Json:
    """The content of the event that declines the call which this event rings for."""
    return {"m.relates_to": {"rel_type": "m.reference", "event_id": event_id}}


def call_id_of(event: Event) -> str:
    """The id by which the events of a call of two name it; "" if there is none."""
    call_id = event.content.get("call_id")
    return call_id[:_LONGEST_ID] if isinstance(call_id, str) else ""


class Ending(Enum):
    """What ended the ringing."""

    TAKEN = "answered or declined on another device"
    ELSEWHERE = "answered elsewhere"
    """The caller talks to somebody, and this device has answered nothing."""
    MISSED = "the caller hung up"


def ending_of(event: Event, call: Delivery, me: str) -> Ending | None:
    """What ended the ringing of `call`, by a later event in its room. None: the call rings on.

    Who answers or declines a call on another device, or joins that of the room, has seen there which calls were missed.
    """
    if call.content is None or not (call.content.category is Category.CALL or is_missed(call.content)):
        return None
    ending = _ending_of(event, call, call.content.call_id, me)
    return ending if ending is Ending.TAKEN or not is_missed(call.content) else None


def _ending_of(event: Event, call: Delivery, call_id: str, me: str) -> Ending | None:
    # Of two calls in a row the end of the first may come after the second has begun.
    if event.type in _OF_TWO and call_id not in ("", call_id_of(event) or call_id):
        return None
    is_mine, is_callers = event.sender == me, event.sender == call.sender
    if event.type == _SELECT_ANSWER and is_callers:
        return Ending.ELSEWHERE
    if event.type in _TAKEN and is_mine:
        return Ending.TAKEN
    if event.type == "m.call.hangup" and (is_mine or is_callers):
        return Ending.TAKEN if is_mine else Ending.MISSED
    # A decline that names no call is of the one that rings.
    if event.type in _DECLINES and is_mine:
        return Ending.TAKEN if event.relation.get("event_id") in (call.event_id, None) else None
    # Of the older kind only state counts; the newer one may come as a sticky event, too.
    if event.type in _RTC_MEMBERS or (event.type in _MEMBERSHIPS and event.state_key is not None):
        if _takes_part(event) and is_mine:
            return Ending.TAKEN
        if not _takes_part(event) and is_callers:
            return Ending.MISSED
    return None


def _takes_part(event: Event) -> bool:
    """Returns True if the sender's device is in the call now. The event of a device that left is empty, but for its
    sticky key and why it left."""
    if event.type in _RTC_MEMBERS:
        member = event.content.get("member")
        has_left = isinstance(member, Mapping) and member.get("membership", "join") != "join"
        return not has_left and any(event.content.get(name) for name in ("application", "member"))
    # The list is the older form (MSC3401), with all of a user's devices in one event.
    memberships = event.content.get("memberships")
    return bool(memberships) if isinstance(memberships, list) else bool(event.content)


def rings_until(event: Event, now_ms: int, *, is_late: bool) -> int | None:
    """When this call stops to ring by itself, in ms since 1970. None: it is too old to ring at all, and was missed.

    A call begins when its sender says (`sender_ts`), or when its homeserver says if those differ much. Our homeserver's
    word (`unsigned.age`) only ever makes a call of two older: servers have told an age of zero for yesterday's.
    `is_late`: the event came earlier and can be read only now, so the age of then is worth nothing.

    Source: MSC4075, "Notification lifetime". Tests: test_an_old_call_does_not_ring_whatever_its_age_says,
    test_a_call_that_could_be_read_late_rings_if_it_was_sent_lately.
    """
    unsigned = event.raw.get("unsigned")
    told = unsigned.get("age") if isinstance(unsigned, Mapping) else None
    age = now_ms - _sent_ms(event)
    if event.type not in RTC_RINGS and not is_late and type(told) is int:
        age = max(age, told)
    lifetime = event.content.get("lifetime")
    lifetime = lifetime if type(lifetime) is int else _USUAL_MS
    left = min(max(lifetime, 0), _LONGEST_MS) - max(age, 0)
    return now_ms + left if left > 0 else None


def _sent_ms(event: Event) -> int:
    sender_ts = event.content.get("sender_ts")
    if type(sender_ts) is int and abs(sender_ts - event.origin_server_ts) <= _CLOCKS_APART_MS:
        return sender_ts
    return event.origin_server_ts


def is_missed(content: Content) -> bool:
    """Returns True if `miss` wrote these contents, or somebody these very words, which makes no difference here."""
    return content.category is Category.MESSAGE and content.text == MISSED


def miss(content: Content) -> Content:
    """What a notification says of a call that rang in vain: it is a message from then on, which insists on nothing."""
    return replace(
        content,
        text=MISSED,
        markup="",
        category=Category.MESSAGE,
        # The ringing is over: a missed call sounds as messages do.
        sound=None if content.sound is None else "default",
        rings_until_ms=0,
        can_decline=False,
        call_id="",
    )
