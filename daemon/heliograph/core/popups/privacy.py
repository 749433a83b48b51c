"""How much of a message may stand on the screen, and how much of it the ledger keeps until then.

A message is reduced before it is committed, so that what is not shown is on no disk. Names are kept, since quiet and
the inbox go by them. A lock only changes what is shown: after it the whole message can be read.
Tests: test_without_the_text_the_sender_and_the_room_are_told, test_a_summary_keeps_what_privacy_does_not_show.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from heliograph.core.notification import Category
from heliograph.core.value_type import value_type

if TYPE_CHECKING:
    # Of no use when this runs, and slow to load: `heliograph status` reads the settings, which import this module.
    from heliograph.core.record import Content, Delivery

HIDDEN_TEXT = "New message"


class Level(IntEnum):
    """How much of a message is shown, from most to least."""

    FULL = 0
    SENDER = 1
    """Only who wrote, and where."""
    HIDDEN = 2
    """Only that somebody wrote."""


@value_type
class Privacy:
    """Which level the configuration gives to which room or person."""

    show: Level = Level.FULL
    locked: Level = Level.FULL
    """While the session is locked no more than this is shown."""
    rooms: Mapping[Level, frozenset[str]] = field(default_factory=dict)
    """Room ids, names of rooms and user ids of senders that have a level of their own, by level."""

    def level(self, ids: Collection[str], title: str = "", *, is_locked: bool = False) -> Level:
        """The level of a message of this room and sender (`ids`), in a room of this title. If several are named, the
        strictest.

        A title only ever hides more: anyone may give it to a room, so it must not show what would be hidden.
        Test: test_a_rooms_name_shows_nothing_that_is_hidden.
        """
        named = frozenset(ids)
        # The strictest first: a list that hides a room must not be undone by one that names its sender.
        for level in sorted(self.rooms, reverse=True):
            if not self.rooms[level].isdisjoint(named if level < self.show else named | {title}):
                break
        else:
            level = self.show
        return max(level, self.locked) if is_locked else level

    def level_of(self, delivery: Delivery, *, is_locked: bool = False) -> Level:
        """The level of this delivery. One without a room is a notice of our own, and is shown whole."""
        if delivery.content is None or not delivery.room_id:
            return Level.FULL
        return self.level({delivery.room_id, delivery.sender}, delivery.content.room_title, is_locked=is_locked)


SHOW_ALL = Privacy()


def reduce(content: Content, level: Level) -> Content:
    """The content without the parts that this level does not show."""
    if level is Level.FULL:
        return content
    avatar = None if level is Level.HIDDEN else content.avatar
    # That a message is in a thread may be told; what the thread is about is its first message's text.
    thread = None if content.thread is None else ""
    if content.category is not Category.MESSAGE:
        # That somebody calls or invites is told by words of our own.
        # Test: test_that_somebody_calls_is_told_by_our_own_words.
        return replace(content, avatar=avatar)
    return replace(content, text=HIDDEN_TEXT, markup="", avatar=avatar, thread=thread)
