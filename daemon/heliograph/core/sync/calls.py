"""Calls: how long they ring, and what ends that. Calls of two (m.call.*), and MatrixRTC's (MSC3401, MSC4075, MSC4310).

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
"""However long its caller wants it to ring."""


class Ending(Enum):
    """What ended the ringing."""

    TAKEN = "answered or declined on another device"
    MISSED = "the caller hung up"


def ending_of(event: Event, call: Delivery, me: str) -> Ending | None:
    """What this event, later than the call and in its room, means for it. None: it rings on."""
    if call.content is None or call.content.category is not Category.CALL:
        return None
    is_mine, is_callers = event.sender == me, event.sender == call.sender
    if event.type in _TAKEN and is_mine:
        return Ending.TAKEN
    if event.type == "m.call.hangup" and (is_mine or is_callers):
        return Ending.TAKEN if is_mine else Ending.MISSED
    if event.type in _DECLINES and is_mine:
        return Ending.TAKEN if event.relation.get("event_id") in (call.event_id, None) else None
    if event.type in _MEMBERSHIPS and event.state_key is not None:
        if _takes_part(event) and is_mine:
            return Ending.TAKEN
        if not _takes_part(event) and is_callers:
            return Ending.MISSED
    return None


def _takes_part(event: Event) -> bool:
    """Whether the sender's device is in the call now. What remains of one that left is empty."""
    memberships = event.content.get("memberships")
    return bool(memberships) if isinstance(memberships, list) else bool(event.content)


def rings_until(event: Event, now_ms: int, *, is_late: bool) -> int | None:
    """When this call stops to ring by itself, in ms since 1970. None: it does no longer.

    `is_late`: the event came before and could be read only now, so that what the homeserver told of its age is old.
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
    """What is said of a call that rang in vain: it does not insist any more."""
    return replace(
        content,
        text=MISSED,
        markup="",
        category=Category.MESSAGE,
        sound=None if content.sound is None else "default",
        rings_until_ms=0,
    )
