"""What an event says, in words short enough for a notification."""

from __future__ import annotations

from typing import TypeGuard

from heliograph.core.events import Event, Json
from heliograph.core.notification import Category
from heliograph.core.text.clean import clean_line, clean_text
from heliograph.core.text.html import read_formatted
from heliograph.core.text.markup import Span, Style, Styled, join_spans, plain, shorten, write_markup
from heliograph.core.text.names import NAME_LIMIT
from heliograph.core.value_type import value_type

TEXT_LIMIT = 600
THREAD_LIMIT = 40

ENCRYPTED = "New encrypted message"

_HTML = "org.matrix.custom.html"
_MEDIA = {
    "m.image": "an image",
    "m.video": "a video",
    "m.audio": "a sound file",
    "m.file": "a file",
    "m.location": "a location",
}
_VOICE = ("m.voice", "org.matrix.msc3245.voice", "org.matrix.msc2516.voice")
_POLL_STARTS = ("m.poll.start", "org.matrix.msc3381.poll.start")
_POLL_ENDS = ("m.poll.end", "org.matrix.msc3381.poll.end")
_POLL_RESPONSES = ("m.poll.response", "org.matrix.msc3381.poll.response")
_POLL_ANSWERS = 6
_BEACONS = ("m.beacon_info", "org.matrix.msc3672.beacon_info")
RTC_RINGS = (
    *("m.call.notify", "m.rtc.notification"),
    *("org.matrix.msc4075.call.notify", "org.matrix.msc4075.rtc.notification"),
)
"""Types of the events that ring for a MatrixRTC call (MSC4075), by their present and former names."""
_CALLS = ("m.call.invite", *RTC_RINGS)
_LARGEST_SIZE = 1 << 50
_LONGEST_MS = 24 * 3_600_000


@value_type
class Words:
    """A text, and the same as markup (`core.text.markup`) if anything in it is bold, italic or underlined."""

    text: str
    markup: str = ""


def word_event(event: Event) -> Words:
    """The body of a notification about `event`: its text, or what it is. Never empty."""
    if event.type == "m.room.message":
        return _word_message(_latest_content(event))
    return Words(_word_other(event))


def _word_other(event: Event) -> str:
    content = event.content
    match event.type:
        case "m.room.encrypted":
            return ENCRYPTED
        case "m.sticker":
            return _with_caption("Sticker", content.get("body"))
        case "m.reaction":
            return _with_caption("Reacted", _reaction(event))
        case "m.room.tombstone":
            return "This room was moved to a new one"
        case "m.room.member":
            return _word_membership(content)
        case "m.room.topic":
            return _with_caption("New topic", content.get("topic"))
    if event.type in _CALLS:
        return _word_call(event)
    if event.type in _POLL_STARTS:
        return _word_poll(content)
    if event.type in _POLL_RESPONSES:
        return "Voted in a poll"
    if event.type in _POLL_ENDS:
        return "A poll has ended"
    if event.type in _BEACONS:
        return "Shares a live location" if content.get("live") is not False else "No longer shares a live location"
    return _with_caption("New event", event.type)


def mark_unverified(words: Words) -> Words:
    """The words of a message of which nothing proves who wrote it."""
    return Words(f"Unverified: {words.text}", words.markup and f"Unverified: {words.markup}")


def word_invite(*, is_direct: bool, is_space: bool = False) -> str:
    """The body of a notification about an invite."""
    if is_space:
        return "Invited you to this space"
    return "Wants to talk to you" if is_direct else "Invited you to this room"


def category_of(event: Event) -> Category:
    """How the desktop files the notification."""
    return Category.CALL if event.type in _CALLS and not _is_quiet_call(event) else Category.MESSAGE


def word_thread(event: Event) -> str:
    """What a thread is about: the beginning of the message at its root."""
    return clean_line(word_event(event).text, THREAD_LIMIT)


def _latest_content(event: Event) -> Json:
    """The message as it reads now: an edit's new content, or the message's own."""
    new_content = event.content.get("m.new_content")
    return new_content if event.replaces is not None and isinstance(new_content, dict) else event.content


def _word_message(content: Json) -> Words:
    message_type = content.get("msgtype")
    if isinstance(message_type, str) and message_type in _MEDIA:
        return _word_media(message_type, content)
    if message_type == "m.key.verification.request":
        return Words("Asks you to verify each other")
    styled = _styled_text(content) or (Span("Empty message"),)
    if message_type == "m.emote":
        styled = join_spans([Span("* "), *styled])
    return _words(styled)


def _words(styled: Styled) -> Words:
    styled = shorten(styled, TEXT_LIMIT)
    is_styled = any(span.style is not Style.PLAIN for span in styled)
    return Words(plain(styled), write_markup(styled) if is_styled else "")


def _styled_text(content: Json) -> Styled:
    """The text of a message, formatted where it is, without what it replies to. Empty if it has none."""
    source = content.get("formatted_body")
    if content.get("format") == _HTML and isinstance(source, str):
        formatted = read_formatted(source, TEXT_LIMIT)
        if formatted.is_hiding or not formatted.is_empty:
            return formatted.styled
    # An empty formatted body says nothing, unless all of it is a spoiler: that one must not come out by the plain body.
    text = _text(content.get("body"))
    if "m.in_reply_to" in _relation(content):
        text = _without_quote(text)
    text = clean_text(text, TEXT_LIMIT)
    return (Span(text),) if text else ()


def _word_media(message_type: str, content: Json) -> Words:
    info = content.get("info")
    info = info if isinstance(info, dict) else {}
    label = f"Sent {_MEDIA[message_type]}"
    if message_type == "m.audio" and any(isinstance(content.get(key), dict) for key in _VOICE):
        label = "Sent a voice message"
    if message_type in ("m.audio", "m.video") and (duration := _duration(info.get("duration"))):
        label = f"{label} ({duration})"
    if message_type == "m.location":
        return Words(_with_caption(label, _place(content)))
    body, file_name = content.get("body"), content.get("filename")
    # Since specification 1.10 the body is a caption where the file's name is told apart from it.
    has_caption = isinstance(file_name, str) and file_name != body
    if message_type == "m.file":
        name = clean_line(_text(file_name if has_caption else body), NAME_LIMIT)
        details = ", ".join(filter(None, (name, _size(info.get("size")))))
        label = f"{label}: {details}" if details else label
        separator = "\n"
    else:
        separator = ": "
    caption = _styled_text(content) if has_caption else ()
    return _words(join_spans([Span(label), Span(separator), *caption]) if caption else (Span(label),))


def _place(content: Json) -> object:
    location = content.get("m.location") or content.get("org.matrix.msc3488.location")
    return location.get("description") if isinstance(location, dict) else None


def _duration(milliseconds: object) -> str:
    if not _is_number(milliseconds) or not 0 < milliseconds < _LONGEST_MS:
        return ""
    minutes, seconds = divmod(max(1, round(milliseconds / 1000)), 60)
    return f"{minutes}:{seconds:02}"


def _size(octets: object) -> str:
    if not _is_number(octets) or not 0 < octets < _LARGEST_SIZE:
        return ""
    size = float(octets)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _reaction(event: Event) -> object:
    """An emoji, or the name of a picture that stands for one."""
    key = event.relation.get("key")
    if isinstance(key, str) and key.startswith("mxc://"):
        return event.content.get("shortcode") or event.content.get("com.beeper.reaction.shortcode")
    return key


def _word_call(event: Event) -> str:
    if _is_quiet_call(event):
        return "Started a call"
    offer = event.content.get("offer")
    description = offer.get("sdp") if isinstance(offer, dict) else None
    if not isinstance(description, str):
        return "Incoming call"
    return "Incoming video call" if "m=video" in description else "Incoming voice call"


def _is_quiet_call(event: Event) -> bool:
    """A call that its caller does not want to ring (MSC4075)."""
    content = event.content
    return event.type in RTC_RINGS and (
        content.get("notify_type") == "notify" or content.get("notification_type") == "notification"
    )


def _relation(content: Json) -> Json:
    relation = content.get("m.relates_to")
    return relation if isinstance(relation, dict) else {}


def _without_quote(body: str) -> str:
    """A reply without the quoted original that clients before specification 1.13 put in front of it."""
    if not body.startswith("> "):
        return body
    lines = body[: TEXT_LIMIT * 16].split("\n")
    rest = next((index for index, line in enumerate(lines) if not line.startswith(">")), len(lines))
    # A message that is nothing but a quote is shown as it is, since an empty notification would say less.
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


def _word_poll(content: Json) -> str:
    start = content.get("m.poll") or content.get("m.poll.start") or content.get("org.matrix.msc3381.poll.start")
    if not isinstance(start, dict):
        return "Poll"
    answers = start.get("answers")
    listed = [_poll_text(answer) for answer in (answers if isinstance(answers, list) else [])[:_POLL_ANSWERS]]
    lines = [f"• {line}" for each in listed if (line := clean_line(_text(each), NAME_LIMIT))]
    question = _with_caption("Poll", _poll_text(start.get("question")))
    return clean_text("\n".join([question, *lines]), TEXT_LIMIT)


def _poll_text(part: object) -> object:
    """The text of a question or an answer (MSC1767)."""
    if not isinstance(part, dict):
        return None
    texts = part.get("m.text")
    if isinstance(texts, list) and texts and isinstance(texts[0], dict):
        return texts[0].get("body")
    return texts or part.get("org.matrix.msc1767.text") or part.get("body")


def _with_caption(label: str, caption: object) -> str:
    text = clean_text(caption, TEXT_LIMIT) if isinstance(caption, str) else ""
    return f"{label}: {text}" if text else label
