"""The unread messages by room: those that rang, and were not read, opened or withdrawn since.

Only messages that the push rules let ring count, and only since Heliograph's first start: this is no copy of the
homeserver's count of unread messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from heapq import merge
from typing import Any, Protocol, TypeVar

from heliograph.core.delivery import State
from heliograph.core.ids import OwnKey, RoomId, UserId
from heliograph.core.notification import Category
from heliograph.core.value_type import value_type

MOST_ROOMS = 200
MOST_MESSAGES = 20
"""The most messages of each room in the inbox."""
_MOST_MESSAGES_IN_ALL = 1000


@value_type
class UnreadMessage:
    """One message with the text of its notification. Times are in ms since 1970."""

    event_id: str
    sender: str
    sender_name: str
    text: str
    sent_ms: int
    category: Category
    state: State
    is_highlight: bool = False

    def as_json(self) -> dict[str, Any]:
        """As `heliograph inbox --json` tells it."""
        return {
            "event_id": self.event_id,
            "sender": self.sender,
            "sender_name": self.sender_name,
            "text": self.text,
            "sent_ms": self.sent_ms,
            "category": self.category.value,
            "state": self.state.value,
            "highlight": self.is_highlight,
        }


@value_type
class UnreadRoom:
    """A room with unread messages. `messages` has its newest ones, as many as were asked for, the oldest first."""

    room_id: RoomId
    title: str
    unread: int
    highlights: int
    latest_ms: int
    """When the newest message was sent, in ms since 1970."""
    arrived_ms: int = 0
    """When the newest message came here, in ms since 1970: the order of rooms, whatever the senders' clocks say."""
    is_direct: bool = False
    sender: UserId | OwnKey | str = ""
    """Who wrote the newest message; "": not known."""
    messages: tuple[UnreadMessage, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As `heliograph inbox --json` tells it."""
        return {
            "room_id": self.room_id,
            "title": self.title,
            "direct": self.is_direct,
            "unread": self.unread,
            "highlights": self.highlights,
            "latest_ms": self.latest_ms,
            "messages": [message.as_json() for message in self.messages],
        }


@value_type
class Rung:
    """One line of the history: that a message rang, and what became of it. Its text is not kept."""

    room_id: RoomId
    title: str
    sender: UserId | OwnKey
    sent_ms: int
    state: State
    why: str
    rule: str
    """The push rule that let it ring; "" if unknown."""
    sender_name: str = ""
    """The sender's display name in the room; "" if unknown."""
    arrived_ms: int = 0
    """When the message came here, in ms since 1970."""

    def as_json(self) -> dict[str, Any]:
        """The object that `heliograph history --json` prints."""
        return {
            "room_id": self.room_id,
            "title": self.title,
            "sender": self.sender,
            "sender_name": self.sender_name,
            "sent_ms": self.sent_ms,
            "state": self.state.value,
            "why": self.why,
            "rule": self.rule,
        }


class _Arrived(Protocol):
    @property
    def arrived_ms(self) -> int: ...


A = TypeVar("A", bound=_Arrived)


def newest_first(found: Mapping[str, Iterable[A]]) -> list[tuple[str, A]]:
    """The lists of the accounts (by user id) as one, by arrival. Each list is newest first, and keeps its order: a
    ledger knows better what came before what than the machine's clock, which may have been set.
    Test: test_a_list_keeps_its_order_whatever_the_clocks_say."""
    lists = ([(account, each) for each in several] for account, several in found.items())
    return list(merge(*lists, key=lambda each: each[1].arrived_ms, reverse=True))


def inbox_as_json(found: Mapping[str, Iterable[UnreadRoom]]) -> dict[str, Any]:
    """The inbox as `heliograph inbox --json` prints it: rooms with their accounts, the one with the newest message
    first. At most MOST_ROOMS rooms and 1,000 messages, however many are unread."""
    # The bound on messages is for all rooms together, since the answer travels in one D-Bus message.
    newest = newest_first(found)
    rooms = []
    left = _MOST_MESSAGES_IN_ALL
    for account, room in newest[:MOST_ROOMS]:
        # [-0:] would be all of them.
        messages = room.messages[-left:] if left else ()
        left -= len(messages)
        rooms.append({"account": account, **replace(room, messages=messages).as_json()})
    return {"unread": sum(room.unread for _, room in newest), "rooms": rooms}
