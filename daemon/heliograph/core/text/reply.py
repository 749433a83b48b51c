"""The content of a text reply. https://spec.matrix.org/v1.18/client-server-api/#rich-replies"""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json

MAX_TEXT = 20_000
"""Characters. An event has at most 64 KiB, and encryption makes it larger by half."""


def reply_content(text: str, event_id: str | None, sender: str | None, thread_root: str | None) -> Json:
    """`sender` is whose event is answered, and is mentioned. In a thread the reply stays there."""
    content: dict[str, Any] = {"msgtype": "m.text", "body": text}
    # Even if empty: without this property, homeservers look for names in the body and ring for them.
    content["m.mentions"] = {"user_ids": [sender]} if sender is not None else {}
    relation: dict[str, Any] = {}
    if thread_root is not None:
        # A real reply to a message of the thread. True would stand
        # for the reply that clients without threads are given.
        relation = {"rel_type": "m.thread", "event_id": thread_root, "is_falling_back": False}
    if event_id is not None:
        relation["m.in_reply_to"] = {"event_id": event_id}
    return content | {"m.relates_to": relation} if relation else content
