"""Writes the query of GET /sync with an inline filter, which asks for as little as judging, naming and withdrawing
need.

Measured on Synapse: with `"rooms": []` a first sync takes milliseconds whatever the account's size. A receipt of
another device comes only if the filter lets `m.receipt` of its room pass; changed counts alone never wake a poll.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from heliograph.core.ids import FilterRoomId, RoomId, fits_filter
from heliograph.core.room import FACT_TYPES
from heliograph.homeserver import account_data
from heliograph.homeserver.address import encode_query
from heliograph.ports.homeserver import SyncRequest

STATE_TYPES = FACT_TYPES
"""The state that is asked for. Also in the timeline: on Synapse, a rename that the filter keeps out of a timeline
without a gap comes nowhere else. Test: test_a_rename_passes_whatever_types_are_wanted."""

MAX_QUERY = 7000
"""The most bytes of a query. Proxies refuse requests whose first line is longer than 8 KiB."""


def sync_query(request: SyncRequest, device_id: str) -> dict[str, str]:
    """The query of GET /sync. If the lists of rooms or event types make it too long, it asks for all of them."""
    # Without set_presence each poll would show the user as online (GET /sync).
    query = {"timeout": str(request.timeout_ms), "set_presence": "offline"}
    if request.since is None:
        return query | {"filter": write_filter(_first_filter(device_id))}
    # The state at the end of a timeline, instead of at its beginning, from homeservers that have it (MSC4222): a change
    # of state that is not in the timeline is lost without. Others ignore both names.
    query |= {"since": request.since, "use_state_after": "true", "org.matrix.msc4222.use_state_after": "true"}
    rooms = _nameable(request.receipts_in)
    # The rooms are given up first: their list grows with what is unread.
    # Test: test_rooms_too_many_to_list_are_all_rooms.
    narrowings = ((rooms, request.event_types), (None, request.event_types), (None, None))
    filters = (_filter(request.timeline_limit, named, types, device_id) for named, types in narrowings)
    return first_fitting(query | {"filter": filter_} for filter_ in filters)


def messages_filter(event_types: frozenset[str] | None) -> dict[str, Any]:
    """The filter for GET /messages that lets the same events pass as that of /sync."""
    return {} if event_types is None else {"types": sorted(event_types.union(STATE_TYPES))}


def first_fitting(queries: Iterable[dict[str, str]]) -> dict[str, str]:
    """The first of these queries that is short enough to be sent, or else the last one."""
    query: dict[str, str] = {}
    for query in queries:
        if len(encode_query(query)) <= MAX_QUERY:
            break
    return query


def _nameable(rooms: frozenset[RoomId] | None) -> frozenset[FilterRoomId] | None:
    """These rooms as a filter may name them. None (all rooms) if one of them has an id for which the homeserver would
    refuse the whole sync.
    Test: test_where_no_filter_may_name_a_room_receipts_of_all_are_asked_for."""
    if rooms is None:
        return None
    named = frozenset(filter(fits_filter, rooms))
    return named if len(named) == len(rooms) else None


def _first_filter(device_id: str) -> dict[str, Any]:
    return {"presence": {"types": []}, "account_data": {"types": account_data.types(device_id)}, "room": {"rooms": []}}


@lru_cache(maxsize=8)
def _filter(
    limit: int, receipts_in: frozenset[FilterRoomId] | None, event_types: frozenset[str] | None, device_id: str
) -> str:
    receipts: dict[str, Any] = {"types": ["m.receipt"]}
    if receipts_in is not None:
        receipts["rooms"] = sorted(receipts_in)
    # Redundant members bring the sender's name with each message. Without them the server leaves out whom it believes
    # to have told before, also in an answer that never arrived. Test: test_every_message_comes_with_its_senders_name.
    members = {"lazy_load_members": True, "include_redundant_members": True}
    return write_filter(
        {
            "presence": {"types": []},
            "account_data": {"types": account_data.types(device_id)},
            "room": {
                "timeline": {"limit": limit, "unread_thread_notifications": True, **messages_filter(event_types)},
                "state": {"types": STATE_TYPES, **members},
                "ephemeral": receipts,
                "account_data": {"types": []},
            },
        }
    )


def write_filter(filter_: dict[str, Any]) -> str:
    """The filter as JSON in ASCII. Synapse refuses a query with other characters, and strangers name rooms and
    types."""
    return json.dumps(filter_, ensure_ascii=True, separators=(",", ":"))
