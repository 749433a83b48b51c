"""The answer to GET /rooms/{roomId}/context/{eventId}, and the order of a timeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from heliograph.core.reading import thread_of
from heliograph.relay.model.around import Around


def read_context(answer: Any) -> Around:
    """The stretch with the event in it; an empty one for an answer that cannot be read."""
    if not isinstance(answer, dict):
        return Around()
    before, after = answer.get("events_before"), answer.get("events_after")
    older = reversed(before) if isinstance(before, list) else ()
    return around_of((*older, answer.get("event"), *(after if isinstance(after, list) else ())))


def around_of(events: Iterable[Any]) -> Around:
    """These events of one timeline, oldest first. What is no event is passed over."""
    threads: dict[str, str | None] = {}
    for event in events:
        event_id = event.get("event_id") if isinstance(event, dict) else None
        if isinstance(event_id, str):
            relation = relation_of(event.get("content"))
            threads[event_id] = thread_of(*root_and_parent(relation), threads)
    return Around(tuple(threads), {event_id: thread for event_id, thread in threads.items() if thread is not None})


def relation_of(content: Any) -> dict[str, Any]:
    """The content's `m.relates_to`, or an empty object."""
    relation = content.get("m.relates_to") if isinstance(content, dict) else None
    return relation if isinstance(relation, dict) else {}


def root_and_parent(relation: dict[str, Any]) -> tuple[str | None, str | None]:
    """The root of the thread that an event says it is in, and the event that it relates to otherwise."""
    target, type_ = relation.get("event_id"), relation.get("rel_type")
    if not isinstance(target, str) or not isinstance(type_, str):
        return None, None
    return (target, None) if type_ == "m.thread" else (None, target)
