"""Says where a sync has gaps, whether the homeserver's list of notifications tells all that may be missing there, and
how the user is told of a gap that stays open."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from heliograph.core.events import Event, JoinedRoom, Sync
from heliograph.core.ids import RoomId, own_key
from heliograph.core.popups.privacy import Level
from heliograph.core.record import GAP, Decision, Judged
from heliograph.core.sync.joining import joined_at
from heliograph.core.sync.situation import Situation
from heliograph.core.text.clean import clean_line, count_things
from heliograph.core.text.names import word_name

LISTED_MS = 23 * 3_600_000
"""For so long, in ms, a list is believed to have all that rang. After a day, Synapse forgets what was no highlight."""
_NAMED = 3
_NAME = 100


def gaps_in(sync: Sync, me: str, joined: Collection[RoomId] | None = None) -> list[JoinedRoom]:
    """The rooms whose timelines were cut short. What lies before the user's own joining is history, and no gap.
    `joined`: the rooms that the ledger knows the user to be in; None: any may be."""
    return [
        room
        for room in sync.joined
        if room.limited and joined_at(room, me, was_in=joined is None or room.room_id in joined) is None
    ]


def is_list_recent(situation: Situation) -> bool:
    """Returns True if the last sync was so lately that a list has all that rang since."""
    return abs(situation.now_ms - situation.account.last_sync_ms) < LISTED_MS


def is_list_wanted(sync: Sync, situation: Situation) -> bool:
    """Returns True if only the homeserver's list can tell how an event of this sync was to be judged when it came: the
    rules have changed since the last sync, or its sender is ignored no longer."""
    unignored = situation.account.ignored_users - situation.account.after(sync.account_data).ignored_users
    has_changed = situation.earlier_ruleset is not None
    return any(
        event.sender in unignored or has_changed
        for room in sync.joined
        for event in room.timeline
        if isinstance(event, Event) and event.sender != situation.me
    )


def hides_more_than_rings(room: JoinedRoom, situation: Situation) -> bool:
    """Returns True if a gap in this room may hide what no list of notifications tells: what rings by its clear text
    alone, and what redacts, edits or ends something that is open."""
    if _may_be_encrypted(room, situation):
        return True
    return any(each.room_id == room.room_id for each in situation.open_deliveries)


def _may_be_encrypted(room: JoinedRoom, situation: Situation) -> bool:
    record = situation.rooms.get(room.room_id)
    if record is None or not record.facts.is_complete or record.facts.is_encrypted:
        return True
    # It may be encrypted since the last sync.
    events = [event for event in (*room.state, *room.timeline) if isinstance(event, Event)]
    were_encrypted = situation.clear.keys() | situation.locked.keys()
    return any(event.type == "m.room.encryption" or event.event_id in were_encrypted for event in events)


def gap_record(room: JoinedRoom) -> Judged:
    """What the ledger keeps of a gap that stays open, for `heliograph explain`."""
    first = next((event.event_id for event in room.timeline if isinstance(event, Event)), room.prev_batch or "")
    key = own_key(GAP, sha256(f"{room.room_id}\0{first}".encode(errors="replace")).hexdigest()[:32])
    return Judged(key, room.room_id, Decision.SILENT, room.gap)


def name_in_notice(room_id: RoomId, situation: Situation) -> str:
    """The room's name, or "" where privacy keeps it from the screen, which may be locked when it is told."""
    record = situation.rooms.get(room_id)
    name = "" if record is None else word_name(record.facts.title(situation.me))
    level = situation.privacy.level({room_id}, name, is_locked=True)
    return "" if level is Level.HIDDEN else name


def word_open_gaps(names: Sequence[str], why: str) -> tuple[str, str]:
    """Title and hint for the user. `names`: the names of the rooms, "" for one that may not be named."""
    named = [clean_line(name, _NAME) for name in names if name][:_NAMED]
    if len(names) == 1:
        title = f"There may be more in {named[0] if named else 'a room'}"
        where = "there"
    else:
        title = f"There may be more in {len(names)} rooms"
        others = len(names) - len(named)
        where = f"in {', '.join(named)}" + (f" and {count_things(others, 'other')}" if others else "")
        where = where if named else "there"
    return title, f"Some of what came {where} meanwhile may be missing here: {why}. Look into your Matrix client."
