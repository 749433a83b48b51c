"""The content of a text reply. https://spec.matrix.org/v1.18/client-server-api/#rich-replies"""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json

MAX_TEXT = 20_000
"""Characters. An event has at most 64 KiB, and encryption makes it larger by half."""


def reply_content(text: str, event_id: str | None, sender: str | None, thread_root: str | None) -> Json:
    """`sender` is whose event is answered, and is mentioned. In a thread the reply stays there."""
    content: dict[str, Any] = {"msgtype": "m.text", "body": text}
    content["m.mentions"] = {"user_ids": [sender]} if sender is not None else {}
    relation: dict[str, Any] = {}
    if thread_root is not None:
        relation = {"rel_type": "m.thread", "event_id": thread_root, "is_falling_back": False}
    if event_id is not None:
        relation["m.in_reply_to"] = {"event_id": event_id}
    return content | {"m.relates_to": relation} if relation else content
