"""Which popups the screen should show for the deliveries of an account: one for each room, one summary for a flood.

Plan, then act: `arrange` says what to do as data, the delivery loop does it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliograph.core.actions import actions_for
from heliograph.core.delivery import State
from heliograph.core.notification import Category, Notification, Target, Urgency
from heliograph.core.record import Content, Delivery, PopupRecord
from heliograph.core.text import clean_line

LINES = 4
"""How many messages a room's popup quotes."""
LINE_LIMIT = 200
"""Characters of each, where it quotes several: a long one must not push the newest off the popup."""
SUMMARY_LINES = 8
"""How many rooms a summary names."""


@dataclass(frozen=True, slots=True)
class Show:
    """Show a popup, or say something else in the one that is there."""

    key: str
    notification: Notification
    deliveries: tuple[Delivery, ...]
    """What is new in it, and what it quotes; the PENDING ones become SHOWN by it."""
    digest: str
    replaces: PopupRecord | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Take a popup away: nothing it showed is open any more."""

    record: PopupRecord


@dataclass(frozen=True, slots=True)
class Keep:
    """A popup that still says the right thing."""

    record: PopupRecord


Step = Show | Close | Keep


def arrange(deliveries: Sequence[Delivery], popups: Iterable[PopupRecord], *, me: str, max_rooms: int) -> list[Step]:
    """The steps from the popups on screen to those that the open deliveries want.

    `deliveries` are in order: the PENDING ones that are due, and what the popups they touch quote (see `Ledger.due`);
    `PopupRecord.size` says how many those show in all. If more than `max_rooms` rooms have something new, all of it
    becomes one summary.
    """
    records = {record.key: record for record in popups}
    shown: dict[str, list[Delivery]] = {}
    new: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        if delivery.content is None:
            continue
        if delivery.state is State.SHOWN and delivery.popup_key is not None:
            shown.setdefault(delivery.popup_key, []).append(delivery)
        elif delivery.state is State.PENDING:
            new.setdefault(_key(delivery), []).append(delivery)
    if len(new) > max_rooms:
        everything = sorted((each for room in new.values() for each in room), key=lambda each: each.position)
        new = {f"summary:{everything[0].event_id}": everything}

    steps: list[Step] = []
    for key, pending in new.items():
        record = records.get(key)
        # What was held back in quiet may be older than what came through.
        together = sorted([*shown.get(key, ()), *pending], key=lambda each: each.position)
        steps.append(_show(key, together, record, me))
    for key, record in records.items():
        if record.is_stale and key not in new:
            steps.append(_refresh(record, shown.get(key, []), me))
    return steps


def _key(delivery: Delivery) -> str:
    return delivery.room_id or delivery.event_id


def _refresh(record: PopupRecord, still_open: list[Delivery], me: str) -> Step:
    if not still_open:
        return Close(record)
    step = _show(record.key, still_open, record, me)
    return Keep(record) if step.digest == record.digest else step


def _show(key: str, deliveries: list[Delivery], record: PopupRecord | None, me: str) -> Show:
    contents = [each.content for each in deliveries if each.content is not None]
    new = [each.content for each in deliveries if each.content is not None and each.state is State.PENDING]
    latest = deliveries[-1]
    is_summary = len({each.room_id for each in deliveries}) > 1
    count = len(new) + (record.size if record is not None else 0)
    summary, body = _word_summary(contents) if is_summary else _word_room(contents, count)
    return Show(
        key=key,
        notification=Notification(
            summary=summary,
            body=body,
            account=me,
            category=contents[-1].category,
            urgency=_urgency(contents),
            sound=next((content.sound for content in reversed(new) if content.sound), None),
            target=Target() if is_summary or not latest.room_id else Target(latest.room_id, _event_id(latest)),
            actions=actions_for(contents, is_summary=is_summary) if latest.room_id else (),
        ),
        deliveries=tuple(deliveries),
        digest=hashlib.sha256(f"{summary}\0{body}".encode()).hexdigest(),
        replaces=record,
    )


def _event_id(delivery: Delivery) -> str | None:
    return delivery.event_id if delivery.event_id.startswith("$") else None


def _urgency(contents: Sequence[Content]) -> Urgency:
    """Calls stay on screen until answered; what neither sounds nor highlights does not insist."""
    if any(content.category is Category.CALL for content in contents):
        return Urgency.CRITICAL
    if any(content.sound or content.is_highlight for content in contents):
        return Urgency.NORMAL
    return Urgency.LOW


def _word_room(contents: Sequence[Content], count: int) -> tuple[str, str]:
    latest = contents[-1]
    lines = [_line(content, with_sender=not latest.is_direct) for content in contents[-LINES:]]
    if len(lines) > 1:
        lines = [clean_line(line, LINE_LIMIT) for line in lines]
    title = latest.sender_name if latest.is_direct else latest.room_title
    if count > 1:
        title = f"{title} ({count} new)"
    return title, "\n".join(lines)


def _line(content: Content, *, with_sender: bool) -> str:
    if with_sender and content.sender_name:
        return f"{content.sender_name}: {content.text}"
    return content.text


def _word_summary(contents: Sequence[Content]) -> tuple[str, str]:
    rooms = Counter(content.sender_name if content.is_direct else content.room_title for content in contents)
    lines = [f"{title}: {count}" for title, count in rooms.most_common(SUMMARY_LINES)]
    if len(rooms) > SUMMARY_LINES:
        lines.append(f"and {len(rooms) - SUMMARY_LINES} more")
    return f"{len(contents)} new messages in {len(rooms)} rooms", "\n".join(lines)
