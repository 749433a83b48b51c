"""What an event says, in words short enough for a notification. Plain text: markup is the desktop edge's matter."""

from __future__ import annotations

from heliograph.core.events import Event, Json
from heliograph.core.notification import Category
from heliograph.core.text import clean_line, clean_text

NAME_LIMIT = 100
TEXT_LIMIT = 600

ENCRYPTED = "New encrypted message"

_MEDIA = {
    "m.image": "an image",
    "m.video": "a video",
    "m.audio": "a sound file",
    "m.file": "a file",
    "m.location": "a location",
}
_POLL_STARTS = ("m.poll.start", "org.matrix.msc3381.poll.start")
_CALLS = ("m.call.invite", "m.call.notify", "org.matrix.msc4075.rtc.notification")


def word_event(event: Event) -> str:
    """The body of a notification about `event`: its text, or what it is. Never empty."""
    match event.type:
        case "m.room.message":
            return _word_message(_latest_content(event))
        case "m.room.encrypted":
            return ENCRYPTED
        case "m.sticker":
            return _with_caption("Sticker", event.content.get("body"))
        case "m.reaction":
            return _with_caption("Reacted", event.relation.get("key"))
        case "m.room.tombstone":
            return "This room was moved to a new one"
        case "m.room.member":
            return _word_membership(event.content)
        case "m.room.topic":
            return _with_caption("New topic", event.content.get("topic"))
    if event.type in _CALLS:
        return "Incoming call"
    if event.type in _POLL_STARTS:
        return _with_caption("Poll", _poll_question(event.content))
    return _with_caption("New event", event.type)


def mark_unverified(text: str) -> str:
    """The text of a message of which nothing proves who wrote it."""
    return f"Unverified: {text}"


def word_invite(*, is_direct: bool) -> str:
    """The body of a notification about an invite."""
    return "Wants to talk to you" if is_direct else "Invited you to this room"


def category_of(event: Event) -> Category:
    """How the desktop files the notification."""
    return Category.CALL if event.type in _CALLS else Category.MESSAGE


def _latest_content(event: Event) -> Json:
    """The message as it reads now: an edit's new content, or the message's own."""
    new_content = event.content.get("m.new_content")
    return new_content if event.replaces is not None and isinstance(new_content, dict) else event.content


def _word_message(content: Json) -> str:
    message_type = content.get("msgtype")
    body = content.get("body")
    text = body if isinstance(body, str) else ""
    if isinstance(message_type, str) and message_type in _MEDIA:
        file_name = content.get("filename")
        has_caption = isinstance(file_name, str) and file_name != text
        label = f"Sent {_MEDIA[message_type]}"
        return _with_caption(label, text) if has_caption or message_type == "m.file" else label
    if "m.in_reply_to" in _relation(content):
        text = _without_quote(text)
    return clean_text(text, TEXT_LIMIT) or "Empty message"


def _relation(content: Json) -> Json:
    relation = content.get("m.relates_to")
    return relation if isinstance(relation, dict) else {}


def _without_quote(body: str) -> str:
    """A reply without the quoted original that clients before specification 1.13 put in front of it."""
    if not body.startswith("> "):
        return body
    lines = body[: TEXT_LIMIT * 16].split("\n")
    rest = next((index for index, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[rest:]) or body


def _word_membership(content: Json) -> str:
    match content.get("membership"):
        case "invite":
            return word_invite(is_direct=content.get("is_direct") is True)
        case "join":
            return "Joined the room"
        case "leave":
            return "Left the room"
        case "ban":
            return "Was banned from the room"
        case "knock":
            return "Asks to join the room"
    return "Changed a membership"


def _poll_question(content: Json) -> object:
    start = content.get("m.poll") or content.get("m.poll.start") or content.get("org.matrix.msc3381.poll.start")
    question = start.get("question") if isinstance(start, dict) else None
    if not isinstance(question, dict):
        return None
    texts = question.get("m.text")
    if isinstance(texts, list) and texts and isinstance(texts[0], dict):
        return texts[0].get("body")
    return texts or question.get("org.matrix.msc1767.text") or question.get("body")


def _with_caption(label: str, caption: object) -> str:
    text = clean_text(caption, TEXT_LIMIT) if isinstance(caption, str) else ""
    return f"{label}: {text}" if text else label


def word_name(name: str) -> str:
    """A room's or a person's name as one line. Never empty."""
    return clean_line(name, NAME_LIMIT) or "(no name)"
