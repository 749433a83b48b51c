"""Fetches what a /sync left out: GET /notifications and GET /rooms/{id}/messages page by page, single events by
GET /rooms/{id}/event/{id}, and what stands around one by GET /rooms/{id}/context/{id}."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.events import Event, Malformed
from heliograph.core.ids import EventId, RoomId
from heliograph.homeserver.address import segment
from heliograph.homeserver.answer import bad_answer
from heliograph.homeserver.bounds import MAX_TOKEN
from heliograph.homeserver.decoding import decode_as, missing_is_refused
from heliograph.homeserver.event import MAX_EVENT, event_of, read_event, read_event_object, read_notification
from heliograph.homeserver.session import Session
from heliograph.homeserver.sync_filter import first_fitting, messages_filter, write_filter
from heliograph.ports.homeserver import EventContext, MessagesPage, NotificationsPage

_MAX_PAGE = 32 * 1024 * 1024


class _Notifications(msgspec.Struct):
    notifications: list[msgspec.Raw]
    next_token: Any = None


class _Messages(msgspec.Struct):
    chunk: list[msgspec.Raw]
    end: Any = None


class _Context(msgspec.Struct):
    event: msgspec.Raw
    events_before: list[msgspec.Raw] = []
    events_after: list[msgspec.Raw] = []
    start: Any = None


async def fetch_notifications(session: Session, *, since: str | None, limit: int) -> NotificationsPage:
    """One page of what rang. `since`: None for the first page, else a page's `next_token`. Raises Refused if the
    homeserver has no such endpoint (conduwuit and its kin), and other ServerErrors."""
    query = {"limit": str(limit)}
    if since is not None:
        query["from"] = since
    with missing_is_refused():
        answer = await session.request("GET", "/_matrix/client/v3/notifications", query=query, limit=_MAX_PAGE)
    page = decode_as(_Notifications, answer)
    entries = tuple(read_notification(bytes(entry)) for entry in page.notifications)
    return NotificationsPage(entries, _token(page.next_token))


async def fetch_event(session: Session, room_id: RoomId, event_id: EventId) -> Event | Malformed:
    """One event. Raises Refused if there is none, or none that the user may see, and other ServerErrors."""
    path = f"/_matrix/client/v3/rooms/{segment(room_id)}/event/{segment(event_id)}"
    answer = await session.request("GET", path, limit=MAX_EVENT)
    json = read_event_object(answer)
    if isinstance(json, str):
        raise bad_answer(200, answer)
    return event_of(json, room_id, "event")


async def fetch_messages(
    session: Session, room_id: RoomId, *, since: str, until: str | None, limit: int, event_types: frozenset[str] | None
) -> MessagesPage:
    """One page of a room's messages, backwards from `since` (a `prev_batch`, or a page's `end`) as far as `until`.
    Raises ServerError."""
    query = {"dir": "b", "from": since, "limit": str(limit)}
    if until is not None:
        query["to"] = until
    filter_ = write_filter(messages_filter(event_types))
    # Without the filter if that makes the URL too long: more comes then, and nothing is missed.
    query = first_fitting([query | {"filter": filter_}, query])
    path = f"/_matrix/client/v3/rooms/{segment(room_id)}/messages"
    answer = await session.request("GET", path, query=query, limit=_MAX_PAGE)
    page = decode_as(_Messages, answer)
    events = tuple(read_event(bytes(event), room_id, "messages") for event in page.chunk)
    return MessagesPage(events, _token(page.end), len(answer))


async def fetch_context(
    session: Session, room_id: RoomId, event_id: EventId, *, limit: int, event_types: frozenset[str] | None
) -> EventContext:
    """The event and up to `limit` others around it. Raises Refused if there is none, or none that the user may see, and
    other ServerErrors."""
    query = {"limit": str(limit)}
    # Lazy members: the room's state comes with the answer, and nobody reads it.
    filter_ = write_filter({**messages_filter(event_types), "lazy_load_members": True})
    query = first_fitting([query | {"filter": filter_}, query])
    path = f"/_matrix/client/v3/rooms/{segment(room_id)}/context/{segment(event_id)}"
    found = decode_as(_Context, await session.request("GET", path, query=query, limit=_MAX_PAGE))
    parts = [*reversed(found.events_before), found.event, *found.events_after]
    return EventContext(tuple(read_event(bytes(part), room_id, "context") for part in parts), _token(found.start))


def _token(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TOKEN else None
