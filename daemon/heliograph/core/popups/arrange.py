"""Decides which popups the screen should show for the deliveries of an account.

Each room has one popup. News in more rooms than the configuration allows become one summary, so that 200 messages after
an absence are one notification, which counts each of them once.
Test: test_news_in_many_rooms_become_one_summary_that_counts_every_delivery_once.

`arrange` returns the steps to take as data; the delivery loop has the screen take them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from heliograph.core.delivery import State
from heliograph.core.ids import is_event_id, is_room_id, is_user_id
from heliograph.core.notification import Category, Notification, Target, Urgency
from heliograph.core.popups.actions import actions_for
from heliograph.core.popups.privacy import Level
from heliograph.core.popups.profile import SAFE, Layout
from heliograph.core.popups.text import word_room, word_summary
from heliograph.core.record import Content, Delivery, PopupRecord
from heliograph.core.text.markup import plain, write_markup
from heliograph.core.value_type import value_type


def _show_all(_: Delivery) -> Level:
    return Level.FULL


@value_type
class Show:
    """Show a new popup, or other words in the one that is there."""

    key: str
    notification: Notification
    deliveries: tuple[Delivery, ...]
    """The deliveries that are new in the popup, PENDING until it is shown, and those that it quotes besides."""
    digest: str
    replaces: PopupRecord | None = None


@value_type
class Close:
    """Take a popup away: nothing it showed is open any more."""

    record: PopupRecord


@value_type
class Keep:
    """Leave a popup as it is: its words are still right.
    Test: test_a_stale_popup_that_still_says_the_right_thing_is_left_alone."""

    record: PopupRecord


@value_type
class Fault:
    """A popup that cannot be made, since one of its deliveries makes our own code fail. The others are not affected.
    Test: test_a_message_that_finds_a_fault_of_ours_keeps_no_other_popup_from_the_screen."""

    key: str
    deliveries: tuple[Delivery, ...]
    record: PopupRecord | None
    """The popup of this key that is on screen; None: there is none."""
    error: Exception


PopupStep = Show | Close | Keep | Fault


def as_fault(step: PopupStep, error: Exception) -> Fault:
    """The step whose taking raised this fault of ours."""
    match step:
        case Show(key, _, deliveries, _, replaces):
            return Fault(key, deliveries, replaces, error)
        case Close(record) | Keep(record):
            return Fault(record.key, (), record, error)
    return replace(step, error=error)


_SUMMARY = "summary:"


def arrange(
    deliveries: Sequence[Delivery],
    popups: Iterable[PopupRecord],
    *,
    me: str,
    max_rooms: int,
    level: Callable[[Delivery], Level] = _show_all,
    layout: Layout = SAFE.layout,
) -> list[PopupStep]:
    """The steps from the popups on screen to those that the open deliveries want.

    `deliveries` are in order: the PENDING ones that are due, and what the popups they touch quote (see `Ledger.due`);
    `PopupRecord.size` says how many those show in all. If more than `max_rooms` rooms have something new, all of it
    becomes one summary, or joins the one that is there. `level` says how much of each may be shown, `layout` how the
    notification server shows lines. One step at the most makes a sound.
    """
    records = {record.key: record for record in popups}
    shown: dict[str, list[Delivery]] = {}
    new: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        # Settled meanwhile, and its text erased: there is nothing to show.
        if delivery.content is None:
            continue
        if delivery.state is State.SHOWN and delivery.popup_key is not None:
            shown.setdefault(delivery.popup_key, []).append(delivery)
        elif delivery.state is State.PENDING:
            new.setdefault(_key(delivery), []).append(delivery)
    if len(new) > max_rooms:
        # One summary at a time: news join the one on screen instead of standing beside it.
        # Test: test_another_flood_joins_the_summary_that_is_there.
        everything = sorted((each for room in new.values() for each in room), key=lambda each: each.position)
        summary = next((key for key in records if is_summary(key)), f"{_SUMMARY}{everything[0].event_id}")
        new = {summary: everything}

    steps: list[PopupStep] = []
    for key, pending in new.items():
        record = records.get(key)
        # What was held back in quiet may be older than what came through.
        together = sorted([*shown.get(key, ()), *pending], key=lambda each: each.position)
        steps.append(_guarded(key, together, record, partial(_show, key, together, record, me, level, layout)))
    for key, record in records.items():
        # Popups with news are made above, from what they show already as well.
        if record.is_stale and key not in new:
            still_open = shown.get(key, [])
            steps.append(_guarded(key, still_open, record, partial(_refresh, record, still_open, me, level, layout)))
    return _sound_once(steps)


def _guarded(
    key: str, deliveries: list[Delivery], record: PopupRecord | None, plan: Callable[[], PopupStep]
) -> PopupStep:
    try:
        return plan()
    except Exception as error:  # noqa: BLE001 - a stranger's message that finds a fault must not keep others from ringing
        return Fault(key, tuple(deliveries), record, error)


def is_summary(key: str) -> bool:
    """Whether the popup of this key is of many rooms."""
    return key.startswith(_SUMMARY)


def new_rooms(deliveries: Iterable[Delivery]) -> int:
    """How many rooms have something new."""
    return len({_key(each) for each in deliveries if each.state is State.PENDING and each.content is not None})


def _key(delivery: Delivery) -> str:
    return delivery.room_id or delivery.event_id


def _sound_once(steps: list[PopupStep]) -> list[PopupStep]:
    """Of the popups that are shown together, only the most urgent keeps its sound.

    Test: test_of_all_that_is_shown_together_only_the_most_urgent_sounds.
    """
    heard = max((step for step in steps if _is_heard(step)), key=_weight, default=None)
    return [_silenced(step) if isinstance(step, Show) and step is not heard else step for step in steps]


def _is_heard(step: PopupStep) -> bool:
    return isinstance(step, Show) and step.notification.sound is not None


def _weight(step: PopupStep) -> tuple[int, bool]:
    assert isinstance(step, Show)
    new = [each.content for each in step.deliveries if each.state is State.PENDING and each.content is not None]
    return step.notification.urgency, any(content.is_highlight for content in new)


def _silenced(step: Show) -> Show:
    return replace(step, notification=replace(step.notification, sound=None))


def _refresh(
    record: PopupRecord, still_open: list[Delivery], me: str, level: Callable[[Delivery], Level], layout: Layout
) -> PopupStep:
    if not still_open:
        return Close(record)
    step = _show(record.key, still_open, record, me, level, layout)
    return Keep(record) if step.digest == record.digest else step


def _show(
    key: str,
    deliveries: list[Delivery],
    record: PopupRecord | None,
    me: str,
    level: Callable[[Delivery], Level],
    layout: Layout,
) -> Show:
    levels = [(each.content, level(each)) for each in deliveries if each.content is not None]
    contents = [content for content, _ in levels]
    new = [each.content for each in deliveries if each.content is not None and each.state is State.PENDING]
    latest = deliveries[-1]
    # One strict message decides for all: title, picture and names stand for every message in the popup.
    strictest = max(each for _, each in levels)
    if is_of_many := len({each.room_id for each in deliveries}) > 1:
        text = word_summary(levels, layout)
    else:
        # The deliveries at hand are only the newest that the popup
        # quotes; how many it shows in all stands in its record.
        count = len(new) + (record.size if record is not None else 0)
        text = word_room(contents, count, record.senders if record is not None else (), strictest, layout)
    shows_sender = strictest is not Level.HIDDEN and is_user_id(latest.sender)
    avatar = None if is_of_many or strictest is Level.HIDDEN else contents[-1].avatar
    body, markup = plain(text.body), write_markup(text.body)
    return Show(
        key=key,
        notification=Notification(
            summary=text.title,
            body=body,
            account=me,
            category=contents[-1].category,
            urgency=_urgency(contents),
            # What is quoted from before has sounded already.
            sound=next((content.sound for content in reversed(new) if content.sound), None),
            target=Target() if is_of_many else _target(latest),
            # A notice of our own has no room in which anything could be done.
            actions=actions_for(contents, is_summary=is_of_many, shows_sender=shows_sender) if latest.room_id else (),
            is_update=not new,
            markup=markup,
            avatar=avatar,
        ),
        deliveries=tuple(deliveries),
        digest=hashlib.sha256(f"{text.title}\0{markup}\0{avatar}".encode()).hexdigest(),
        replaces=record,
    )


def _target(delivery: Delivery) -> Target:
    if not is_room_id(delivery.room_id):
        return Target()
    return Target(delivery.room_id, delivery.event_id if is_event_id(delivery.event_id) else None)


def _urgency(contents: Sequence[Content]) -> Urgency:
    """Calls stay on screen until answered, unless the push rules want them silent. No message is less than normal, also
    if it makes no sound: GNOME Shell shows what is of low urgency in its list alone, and Plasma keeps it in none.
    Test: test_calls_insist_and_what_makes_no_sound_is_seen_all_the_same."""
    is_ringing = any(content.category is Category.CALL and content.sound for content in contents)
    return Urgency.CRITICAL if is_ringing else Urgency.NORMAL
