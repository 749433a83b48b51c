"""Finds in a sync what `core.reading` decides by: who marks what as read, and what may be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from heliograph.core.events import Event, JoinedRoom
from heliograph.core.ids import EventKey
from heliograph.core.reading import MAIN, Candidate, Counts, Mark, is_written
from heliograph.core.record import AccountState

READ = "read elsewhere"
"""Why a delivery is taken back, or an event is silent, that the user has read on another device."""


class Readable(Protocol):
    """A delivery, or an event that waits for its key."""

    @property
    def event_id(self) -> EventKey: ...
    @property
    def thread_root(self) -> str | None: ...


def marks_in(room: JoinedRoom, me: str, untold: Collection[EventKey] = ()) -> list[Mark]:
    """What marks as read in this room: the user's receipts, and the messages that they wrote elsewhere.

    `untold`: ids of the events of which the homeserver did not tell where they stand.
    """
    receipts = [Mark(each.event_id, each.thread_id, each.event_id in untold) for each in room.receipts]
    own = (event for event in room.timeline if isinstance(event, Event) and _is_written_elsewhere(event, me))
    return receipts + [Mark(event.event_id, event.thread_root or MAIN) for event in own]


def counts_in(room: JoinedRoom, account: AccountState) -> Counts:
    """The homeserver's unread count of this room."""
    return Counts(room.notification_count, room.thread_counts, is_sound=account.has_counted or has_counted(room))


def has_counted(room: JoinedRoom) -> bool:
    """Returns True if the homeserver counts anything as unread in this room."""
    return bool(room.notification_count) or any(room.thread_counts.values())


def candidates_of(readables: Iterable[Readable], countable: Iterable[EventKey] = ()) -> list[Candidate]:
    """What may be read. `countable`: ids of those that are in the homeserver's count until they are read."""
    countable = frozenset(countable)
    return [
        Candidate(each.event_id, each.thread_root or MAIN, is_countable=each.event_id in countable)
        for each in readables
    ]


def _is_written_elsewhere(event: Event, me: str) -> bool:
    """A message of the user's own, from another device.

    One from here was written in a notification, and reads no more than that shows. Its homeserver tells us alone the
    transaction with which we sent it (Client-Server API, "Room event format", `unsigned.transaction_id`).
    Test: test_a_message_from_here_reads_nothing.
    """
    if event.sender != me or event.state_key is not None or event.is_redacted:
        return False
    unsigned = event.raw.get("unsigned")
    is_from_here = isinstance(unsigned, Mapping) and "transaction_id" in unsigned
    return not is_from_here and is_written(event.type, event.relation)
