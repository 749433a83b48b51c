"""Decrypts the encrypted events of a sync before they are judged, and says why some cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import field, replace

from heliograph.core.encryption.values import Clear, Locked, Reason
from heliograph.core.events import Event, JoinedRoom, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventKey
from heliograph.core.push.decrypted import decrypted
from heliograph.core.record import LockedEvent
from heliograph.core.suspects import TRIES
from heliograph.core.value_type import value_type
from heliograph.errors import HeliographError
from heliograph.ports.encryption import Encryption

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Events decrypted in one transaction, so that the daemon shows life between them."""


@value_type
class Opened:
    """A sync whose encrypted events were replaced where they could be decrypted."""

    sync: Sync
    filled: tuple[ServerNotification, ...] = ()
    clear: dict[EventKey, Clear] = field(default_factory=dict)
    """By event id: those that were decrypted."""
    locked: dict[EventKey, Locked] = field(default_factory=dict)
    """By event id: those that could not be decrypted."""
    late: tuple[Event, ...] = ()
    """Events of earlier syncs, decrypted now."""
    hopeless: tuple[EventKey, ...] = ()
    """Ids of events of earlier syncs that no key will open."""


class Decrypter:
    """Decrypts for one account. `on_progress` is called between two transactions: a large sync takes seconds."""

    def __init__(self, encryption: Encryption, on_progress: Callable[[], None]) -> None:
        self._encryption = encryption
        self._on_progress = on_progress

    async def open(self, opened: Opened) -> Opened:
        """The same sync, with its encrypted events decrypted where their keys are here. Raises StorageError.

        Called twice for one sync: filling its gaps may bring further encrypted events. None is tried twice.
        """
        tried = opened.clear.keys() | opened.locked.keys()
        sealed = {
            event.event_id: event
            for event in _events(opened)
            # State is never encrypted; an event of that type with a state key is somebody's trick or mistake.
            if event.type == "m.room.encrypted" and event.state_key is None and event.event_id not in tried
        }
        if not sealed:
            return opened
        clear, locked = await self._decrypt(list(sealed.values()))
        events = {event_id: _as_read(sealed[event_id], what) for event_id, what in clear.items()}

        def read(part: Event | Malformed) -> Event | Malformed:
            return part if isinstance(part, Malformed) else events.get(part.event_id, part)

        def read_item(item: ServerNotification) -> ServerNotification:
            event = events.get(item.event.event_id)
            return item if event is None else replace(item, event=event)

        sync = replace(
            opened.sync,
            joined=tuple(_with_timeline(room, tuple(map(read, room.timeline))) for room in opened.sync.joined),
            notifications=tuple(
                item if isinstance(item, Malformed) else read_item(item) for item in opened.sync.notifications
            ),
        )
        return replace(
            opened,
            sync=sync,
            filled=tuple(map(read_item, opened.filled)),
            clear={**opened.clear, **clear},
            locked={**opened.locked, **locked},
        )

    async def open_late(self, opened: Opened, kept: Sequence[LockedEvent]) -> Opened:
        """The same sync, with those of the kept events (of earlier syncs) that can be read now. Raises StorageError."""
        if not kept:
            return opened
        clear, locked = await self._decrypt([each.event for each in kept])
        return replace(
            opened,
            clear={**opened.clear, **clear},
            late=tuple(_as_read(each.event, clear[each.event_id]) for each in kept if each.event_id in clear),
            hopeless=tuple(event_id for event_id, what in locked.items() if not what.may_open),
        )

    async def read(self, event: Event) -> Event | None:
        """The event with its decrypted type and content; None if it cannot be read. Raises StorageError."""
        if event.type != "m.room.encrypted":
            return event
        clear, _ = await self._decrypt([event])
        return _as_read(event, clear[event.event_id]) if event.event_id in clear else None

    async def _decrypt(self, events: Sequence[Event]) -> tuple[dict[EventKey, Clear], dict[EventKey, Locked]]:
        clear: dict[EventKey, Clear] = {}
        locked: dict[EventKey, Locked] = {}
        for start in range(0, len(events), AT_ONCE):
            part = events[start : start + AT_ONCE]
            for event, what in zip(part, await self._decrypt_part(part), strict=True):
                if isinstance(what, Clear):
                    clear[event.event_id] = what
                else:
                    locked[event.event_id] = what
            self._on_progress()
        return clear, locked

    async def _decrypt_part(self, part: Sequence[Event], tries: int = 1) -> list[Clear | Locked]:
        """What became of each event. An event in which a fault of ours shows is tried alone, `TRIES` times, and then
        counts as one that no key opens."""
        try:
            return [_readable(*each) for each in zip(part, await self._encryption.decrypt(part), strict=True)]
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in decrypting %s", part[0].event_id if len(part) == 1 else "several events")
        if len(part) > 1:
            return [what for event in part for what in await self._decrypt_part([event])]
        return [Locked(Reason.FAULT)] if tries == TRIES else await self._decrypt_part(part, tries + 1)


def _events(opened: Opened) -> list[Event]:
    parts = [event for room in opened.sync.joined for event in room.timeline if isinstance(event, Event)]
    items = (*opened.sync.notifications, *opened.filled)
    return parts + [item.event for item in items if isinstance(item, ServerNotification)]


def _with_timeline(room: JoinedRoom, timeline: tuple[Event | Malformed, ...]) -> JoinedRoom:
    return replace(room, timeline=timeline)


def _readable(event: Event, what: Clear | Locked) -> Clear | Locked:
    """The same outcome. Raises what `_as_read` would raise: the payload is a stranger's, and a fault in reading it must
    show here, where each event can be tried alone."""
    if isinstance(what, Clear):
        _as_read(event, what)
    return what


def _as_read(event: Event, clear: Clear) -> Event:
    raw = decrypted(event.raw, clear.payload)
    return replace(event, type=raw["type"], content=raw["content"], raw=raw)
