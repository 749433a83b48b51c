"""Says what to ask of the ledger and the homeserver before a sync can be planned, and what a plan still lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heliograph.core.events import Event, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventId, EventKey, RoomId, UserId, event_key, is_event_id, is_room_id, is_user_id
from heliograph.core.popups.privacy import HIDDEN_TEXT
from heliograph.core.reading import unplaced
from heliograph.core.record import Plan, RoomRecord, Withdrawal
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import ENDING_TYPES
from heliograph.core.sync.invites import is_invite, is_invite_id
from heliograph.core.sync.joining import related_rooms, tells_of_member
from heliograph.core.sync.order import places_in
from heliograph.core.sync.reading import candidates_of, marks_in
from heliograph.core.sync.situation import Situation


def touched_rooms(
    sync: Sync, filled: Iterable[ServerNotification] = (), late: Iterable[Event] = ()
) -> frozenset[RoomId]:
    """Rooms whose records a plan of this sync needs."""
    rooms = {room.room_id for room in sync.joined} | {room.room_id for room in sync.invited} | set(sync.left)
    rooms.update(event.room_id for event in late)
    rooms.update(item.event.room_id for item in (*sync.notifications, *filled) if isinstance(item, ServerNotification))
    return frozenset(rooms).union(related_rooms(sync))


def rooms_changing_deliveries(
    sync: Sync, me: str, rooms: Mapping[RoomId, RoomRecord], late: Iterable[Event] = ()
) -> frozenset[RoomId]:
    """Rooms whose open deliveries a plan of this sync needs.

    In them something was read, edited, redacted, decrypted, joined or left, somebody was removed, a call may have
    ended, an invite was listed before a sync told of the room, or a gap may hide all of that; or another room took
    their place.
    """
    return related_rooms(sync).union(
        sync.left,
        (event.room_id for event in late),
        (room.room_id for room in sync.invited if _is_invited(rooms.get(room.room_id))),
        (
            room.room_id
            for room in sync.joined
            if room.limited
            or marks_in(room, me)
            or tells_of_member(room, me)
            or any(isinstance(event, Event) and _changes(event) for event in (*room.timeline, *room.sticky))
            or _is_invited(rooms.get(room.room_id))
        ),
    )


def _changes(event: Event) -> bool:
    """Returns True if the event may change what an earlier one made ring."""
    return event.replaces is not None or event.redacts is not None or event.type in ENDING_TYPES or _is_removal(event)


def _is_removal(event: Event) -> bool:
    return event.type == "m.room.member" and event.content.get("membership") in ("leave", "ban")


def _is_invited(record: RoomRecord | None) -> bool:
    return record is not None and record.facts.inviter is not None


def senders(sync: Sync, filled: Iterable[ServerNotification] = (), late: Iterable[Event] = ()) -> frozenset[UserId]:
    """Members whose display names a plan of this sync may need."""
    users = {event.sender for room in sync.joined for event in room.timeline if isinstance(event, Event)}
    users.update(event.sender for event in late)
    users.update(item.event.sender for item in (*sync.notifications, *filled) if isinstance(item, ServerNotification))
    return frozenset(filter(is_user_id, users))


def marked_events(sync: Sync, me: str) -> frozenset[EventKey]:
    """Ids of the events up to which the user has read, by what marks in this sync."""
    return frozenset(event_key(mark.event_id) for room in sync.joined for mark in marks_in(room, me))


def own_member_events(sync: Sync, me: str) -> frozenset[EventKey]:
    """Ids of the user's own member events beside timelines, which servers repeat."""
    return frozenset(
        event.event_id
        for room in sync.joined
        for event in room.state
        if isinstance(event, Event) and (event.type, event.state_key) == ("m.room.member", me)
    )


def unplaced_events(sync: Sync, situation: Situation, plan: Plan) -> list[tuple[RoomId, EventId]]:
    """(room id, event id) of what the homeserver has to be asked about before the plan can say what was read: nobody
    knows yet where these events stand."""
    gone = {change.event_id for change in plan.changes if isinstance(change, Withdrawal)}.union(plan.unlocked)
    left = [each for each in situation.open_deliveries if each.event_id not in gone] + list(plan.deliveries)
    waiting = [each for each in (*situation.waiting, *plan.locked) if each.event_id not in gone]
    found: list[tuple[RoomId, EventId]] = []
    for room in sync.joined:
        if not (marks := marks_in(room, situation.me)):
            continue
        here = [each for each in left if each.room_id == room.room_id and not is_invite_id(each.event_id)]
        locked = [each for each in waiting if each.event.room_id == room.room_id]
        asked = unplaced(marks, candidates_of((*here, *locked)), places_in(room, situation))
        found += [(room.room_id, event_id) for event_id in asked if is_event_id(event_id)]
    return found


def rooms_wanting_facts(sync: Sync, situation: Situation) -> frozenset[RoomId]:
    """Rooms in which something may ring, and whose facts nobody has asked for yet, or which have lost their names."""
    wanting = {room.room_id for room in sync.joined if any(_may_ring(event, situation.me) for event in room.timeline)}
    wanting.update(event.room_id for event in situation.late)
    wanting.update(
        item.event.room_id
        for item in (*sync.notifications, *situation.filled)
        # Of a room that the user is only invited to, homeservers tell no facts.
        if isinstance(item, ServerNotification) and not is_invite(item.event, situation.me)
    )
    return frozenset(
        room_id
        for room_id in wanting
        if (record := situation.rooms.get(room_id)) is None or not record.facts.is_complete or record.facts.lacks_heroes
    )


def missing_names(plan: Plan, rooms: Mapping[RoomId, RoomRecord]) -> frozenset[tuple[RoomId, UserId]]:
    """(room id, user id) of senders whose events ring in this plan, and whose display names are not known yet, or not
    compared with those of the other members.

    Without those who invite: homeservers tell of no member of a room that the user is not in.
    """
    known = {**rooms, **{record.facts.room_id: record for record in plan.rooms}}
    return frozenset(
        (delivery.room_id, delivery.sender)
        for delivery in plan.deliveries
        if is_room_id(delivery.room_id)
        and is_user_id(delivery.sender)
        and not is_invite_id(delivery.event_id)
        and delivery.room_id in known
        and _lacks_name(known[delivery.room_id].facts, delivery.sender)
    )


def _lacks_name(facts: RoomFacts, user_id: UserId) -> bool:
    return user_id not in facts.names or facts.wants_comparing(user_id)


def unnamed_threads(plan: Plan) -> frozenset[tuple[RoomId, EventId]]:
    """(room id, event id of the root) of threads in which something rings and may be told of in full."""
    return frozenset(
        (delivery.room_id, delivery.thread_root)
        for delivery in plan.deliveries
        if is_room_id(delivery.room_id)
        and delivery.thread_root is not None
        and delivery.content is not None
        and delivery.content.thread == ""
        and delivery.content.text != HIDDEN_TEXT
    )


def threads_wanting_subscriptions(sync: Sync, situation: Situation) -> frozenset[tuple[RoomId, EventId]]:
    """(room id, event id of the root) of the threads of which a push rule asks whether the user follows them."""
    if not situation.ruleset.asks_subscriptions:
        return frozenset()
    events = [event for room in sync.joined for event in room.timeline if isinstance(event, Event)]
    events += [item.event for item in (*sync.notifications, *situation.filled) if isinstance(item, ServerNotification)]
    return frozenset(
        (event.room_id, event.thread_root)
        for event in (*events, *situation.late)
        if event.thread_root is not None and event.sender != situation.me
    )


def _may_ring(event: Event | Malformed, me: str) -> bool:
    return isinstance(event, Event) and event.sender != me
