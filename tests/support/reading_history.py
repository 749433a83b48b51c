"""Made-up histories of one room: who wrote, reacted and read what, and which part of that each sync tells.

Beside it stands a naive model of reading, which knows the whole order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from heliograph.core.events import Event, JoinedRoom, Receipt, ServerNotification, Sync
from heliograph.core.ids import EventId
from heliograph.core.reading import MAIN
from support.builders import ALICE, ME, ROOM, make_encrypted, make_event, make_server_notification

FILTERED = frozenset({"m.reaction", "m.room.topic"})
"""Types that the syncs leave out."""
MOST = 24
"""Events of one history."""


@dataclass(frozen=True)
class Told:
    """One sync, what a list adds to it, and what is true by then."""

    sync: Sync
    filled: tuple[ServerNotification, ...]
    read: frozenset[str]
    """By the naive model: the events that the user has read."""


@dataclass
class History:
    """A room's timeline, and the threads of its events."""

    timeline: list[Event] = field(default_factory=list)
    threads: dict[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    """Events about which the homeserver tells nothing when it is asked."""
    told: list[Told] = field(default_factory=list)

    def around(self, event_id: str, reach: int) -> list[EventId]:
        """What the homeserver tells when it is asked for the context of an event."""
        if event_id in self.hidden:
            return []
        passing = [each.event_id for each in self.timeline if each.event_id == event_id or each.type not in FILTERED]
        at = next(place for place, each in enumerate(passing) if each == event_id)
        return [EventId(each) for each in passing[max(0, at - reach) : at + reach + 1]]


def draw_history(seed: int, *, has_hidden: bool) -> History:
    """The history of this seed."""
    chance = random.Random(seed)
    history = History()
    for _ in range(chance.randint(2, MOST)):
        event, thread = _draw_event(chance, history, f"${len(history.timeline)}")
        history.timeline.append(event)
        history.threads[event.event_id] = thread
    if has_hidden:
        history.hidden = frozenset(each.event_id for each in history.timeline if chance.random() < 0.3)
    _Teller(chance, history).tell()
    return history


def _draw_event(chance: random.Random, history: History, event_id: str) -> tuple[Event, str]:
    main = [each.event_id for each in history.timeline if _is_message(each) and history.threads[each.event_id] == MAIN]
    messages = [each.event_id for each in history.timeline if _is_message(each)]
    kind = chance.choices(
        ["message", "thread", "locked", "reaction", "edit", "topic", "name", "own", "own thread", "own from here"],
        [6, 4, 2, 3, 1, 1, 1, 1, 1, 0.5],
    )[0]
    options: dict[str, Any] = {"event_id": event_id, "sender": ME if kind.startswith("own") else ALICE}
    if kind in ("topic", "name"):
        return make_event(type=f"m.room.{kind}", content={kind: "x"}, state_key="", **options), MAIN
    if kind == "own from here":
        options["unsigned"] = {"transaction_id": "t"}
    if kind == "locked":
        root = chance.choice(main) if main and chance.random() < 0.5 else None
        event = make_event(**options) if root is None else _related(root, "m.thread", options)
        return make_encrypted(event), root or MAIN
    if kind.endswith("thread") and main:
        root = chance.choice(main)
        return _related(root, "m.thread", options), root
    if kind in ("reaction", "edit") and messages:
        target = chance.choice(messages)
        if kind == "reaction":
            return _related(target, "m.annotation", {**options, "type": "m.reaction"}), history.threads[target]
        return _related(target, "m.replace", options), history.threads[target]
    return make_event(**options), MAIN


def _related(target: str, rel_type: str, options: dict[str, Any]) -> Event:
    content = {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": rel_type, "event_id": target}}
    return make_event(content=content, **options)


def _is_message(event: Event) -> bool:
    return event.type == "m.room.message" and event.parent is None


def is_locked(event: Event) -> bool:
    """Whether the key of this event never comes."""
    return event.type == "m.room.encrypted"


class _Teller:
    """Cuts the history into syncs, with gaps and with lists that are ahead."""

    def __init__(self, chance: random.Random, history: History) -> None:
        self._chance = chance
        self._history = history
        self._receipts: list[tuple[int, str]] = []
        """Place and thread ("": all) of what the user has read up to."""
        self._listed: set[str] = set()

    def tell(self) -> None:
        history, chance, begin = self._history, self._chance, 0
        while begin < len(history.timeline):
            end = chance.randint(begin + 1, min(len(history.timeline), begin + 7))
            self._tell_part(begin, end)
            begin = end
        for _ in range(chance.randint(0, 3)):
            self._tell_part(begin, begin)

    def _tell_part(self, begin: int, end: int) -> None:
        history, chance = self._history, self._chance
        part = [each for each in history.timeline[begin:end] if each.type not in FILTERED]
        is_limited = len(part) > 2 and chance.random() < 0.3
        shown = part[-chance.randint(1, 2) :] if is_limited else part
        missed = [each for each in part if each not in shown]
        receipts = [self._draw_receipt(end) for _ in range(chance.choice((0, 0, 1, 1, 2)))]
        # What the user wrote in a gap nobody tells: it is in no list.
        own = [each for each in shown if each.sender == ME and _is_message(each) and "unsigned" not in each.raw]
        for each in own:
            self._receipts.append((history.timeline.index(each), history.threads[each.event_id]))
        ahead = history.timeline[end : end + 2] if chance.random() < 0.2 else []
        listed = [each for each in (*missed, *ahead) if each.sender == ALICE and _is_message(each)]
        listed = [each for each in listed if each.event_id not in self._listed]
        self._listed.update(each.event_id for each in listed)
        room = JoinedRoom(ROOM, timeline=tuple(shown), limited=is_limited, receipts=tuple(receipts))
        sync = Sync(f"s{len(history.told)}", joined=(replace(room, **self._counts(end)),))
        filled = tuple(make_server_notification(each) for each in listed)
        history.told.append(Told(sync, filled, self._read()))

    def _draw_receipt(self, end: int) -> Receipt:
        event = self._history.timeline[self._chance.randrange(end)]
        thread = self._history.threads[event.event_id]
        is_threaded = self._chance.random() < 0.6
        self._receipts.append((self._history.timeline.index(event), thread if is_threaded else ""))
        return Receipt(ROOM, EventId(event.event_id), thread if is_threaded else None)

    def _read(self) -> frozenset[str]:
        return frozenset(
            event.event_id
            for place, event in enumerate(self._history.timeline)
            for up_to, thread in self._receipts
            if place <= up_to and thread in ("", self._history.threads[event.event_id])
        )

    def _counts(self, end: int) -> dict[str, Any]:
        """As a homeserver counts for which everything rings that it can read."""
        read = self._read()
        unread: dict[str, int] = {}
        for event in self._history.timeline[:end]:
            if event.sender == ALICE and event.event_id not in read and not is_locked(event):
                thread = self._history.threads[event.event_id]
                unread[thread] = unread.get(thread, 0) + 1
        return {"notification_count": unread.pop(MAIN, 0), "thread_counts": unread}
