"""How long calls ring, and what ends that: calls of two (m.call.*), and MatrixRTC's (MSC3401, MSC4075, MSC4310).

https://spec.matrix.org/v1.18/client-server-api/#voice-over-ip
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from heliograph.core.events import Event
from heliograph.core.notification import Category
from heliograph.core.record import Content, Delivery

MISSED = "Missed call"

_MEMBERSHIPS = ("m.call.member", "org.matrix.msc3401.call.member")
_DECLINES = ("m.rtc.decline", "org.matrix.msc4310.rtc.decline")
_TAKEN = ("m.call.answer", "m.call.reject")
ENDING_TYPES = frozenset({*_TAKEN, "m.call.hangup", *_DECLINES, *_MEMBERSHIPS})
"""Types of the events that end the ringing of a call."""

_USUAL_MS = 60_000
_LONGEST_MS = 300_000
"""The longest time that a call rings, whatever its caller wants."""


class Ending(Enum):
    """What ended the ringing."""

    TAKEN = "answered or declined on another device"
    MISSED = "the caller hung up"


def ending_of(event: Event, call: Delivery, me: str) -> Ending | None:
    """What ended the ringing of `call`, by a later event in its room. None: the call rings on."""
    if call.content is None or call.content.category is not Category.CALL:
        return None
    is_mine, is_callers = event.sender == me, event.sender == call.sender
    if event.type in _TAKEN and is_mine:
        return Ending.TAKEN
    if event.type == "m.call.hangup" and (is_mine or is_callers):
        return Ending.TAKEN if is_mine else Ending.MISSED
    # A decline that names no call is of the one that rings.
    if event.type in _DECLINES and is_mine:
        return Ending.TAKEN if event.relation.get("event_id") in (call.event_id, None) else None
    if event.type in _MEMBERSHIPS and event.state_key is not None:
        if _takes_part(event) and is_mine:
            return Ending.TAKEN
        if not _takes_part(event) and is_callers:
            return Ending.MISSED
    return None


def _takes_part(event: Event) -> bool:
    """Returns True if the sender's device is in the call now. The state event of a device that left is empty."""
    # The list is the older form (MSC3401), with all of a user's devices in one event.
    memberships = event.content.get("memberships")
    return bool(memberships) if isinstance(memberships, list) else bool(event.content)


def rings_until(event: Event, now_ms: int, *, is_late: bool) -> int | None:
    """When this call stops to ring by itself, in ms since 1970. None: it is too old to ring at all, and was missed.

    A call's age is what the homeserver tells (`unsigned.age`). `is_late`: the event came earlier and can be read only
    now, so the age that the homeserver told then is worth nothing, and the sender's clock is all there is.
    Test: test_a_call_that_could_be_read_late_rings_if_it_was_sent_lately.
    """
    unsigned = event.raw.get("unsigned")
    age = unsigned.get("age") if isinstance(unsigned, dict) else None
    if is_late or type(age) is not int:
        age = now_ms - event.origin_server_ts if is_late else 0
    lifetime = event.content.get("lifetime")
    lifetime = lifetime if type(lifetime) is int else _USUAL_MS
    left = min(max(lifetime, 0), _LONGEST_MS) - max(age, 0)
    return now_ms + left if left > 0 else None


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
    )
