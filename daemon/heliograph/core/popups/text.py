"""Words a popup: its title and lines for the messages that it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from heliograph.core.notification import Category
from heliograph.core.popups.privacy import Level
from heliograph.core.popups.profile import Layout
from heliograph.core.record import Content
from heliograph.core.text.markup import Span, Style, Styled, in_one_line, join_spans, read_markup, shorten
from heliograph.core.value_type import value_type

LINES = 4
"""Messages that a room's popup quotes."""
LINE_LIMIT = 200
"""Characters of each message, where several are quoted: a long one must not push the newest off the popup.
Test: test_long_messages_do_not_push_the_newest_off_the_popup."""
SUMMARY_LINES = 7
"""Rooms and highlights that a summary names."""
SUMMARY_HIGHLIGHTS = 3
"""Highlights that a summary quotes, the newest first.
Test: test_a_summary_quotes_three_highlights_at_the_most_and_each_in_a_line."""
_NAMES = 3
"""Senders that are named in a row; the rest is counted."""

WHERE_ALL_ARE = "All of them: heliograph inbox"


@value_type
class PopupText:
    """A title, which takes no markup, and the lines below it."""

    title: str
    body: Styled


def word_room(
    contents: Sequence[Content], count: int, senders: Iterable[str], level: Level, layout: Layout
) -> PopupText:
    """The text for one room. `contents` are its messages at hand, oldest first; `count` is how many there are in all.

    `senders` are the names of everyone who wrote any of these.
    """
    latest = contents[-1]
    names = _names([*senders, *(content.sender_name for content in contents)])
    if level is Level.HIDDEN:
        return PopupText(_word_hidden(latest, count), ())
    title = latest.sender_name if _is_between_two(contents, names) else latest.room_title
    # A title may be cut on screen, and then hide the user id of who invites.
    with_names = title != latest.sender_name or not latest.is_direct or latest.category is Category.INVITE
    if level is Level.SENDER and latest.category is Category.MESSAGE:
        body = _count(count, "new message") + (f" from {_enumerate(names)}" if with_names and names else "")
        return PopupText(title, (Span(body[:1].upper() + body[1:]),))
    # A thread that all lines share stands once, in the title; otherwise each line names its own.
    # Test: test_threads_are_named_in_their_lines_if_there_are_several.
    quoted = contents[-LINES:]
    threads = {content.thread for content in quoted}
    thread = threads.pop() if len(threads) == 1 else None
    if thread is not None:
        title = f"{title} › {thread or 'thread'}"
    if count > 1:
        title = f"{title} ({count} new)"
    lines = [_line(content, with_name=with_names, with_thread=thread is None) for content in quoted]
    if len(lines) > 1:
        lines = [shorten(in_one_line(line), LINE_LIMIT) for line in lines]
    others = [name for name in names if all(name != content.sender_name for content in quoted)]
    if others and with_names:
        lines.insert(0, (Span(f"Also from {_enumerate(others)}", Style.ITALIC),))
    return PopupText(title, _stack(reversed(lines) if layout.is_newest_first else lines, layout))


def word_summary(contents: Sequence[tuple[Content, Level]], layout: Layout) -> PopupText:
    """The text for messages of many rooms: first the highlights, with sender and words; then the names of the rooms of
    which there is more.
    Test: test_a_summary_names_each_room_once."""
    visible = [(content, level) for content, level in contents if level is not Level.HIDDEN]
    hidden = len(contents) - len(visible)
    quoted = [each for each in reversed(visible) if each[0].is_highlight][:SUMMARY_HIGHLIGHTS]
    seen = Counter(_room_name(content) for content, _ in quoted)
    rooms = Counter(_room_name(content) for content, _ in visible)
    highlighted = Counter(_room_name(content) for content, _ in visible if content.is_highlight)
    others = [title for title in rooms if rooms[title] > seen[title]]
    others.sort(key=lambda title: (-highlighted[title], -rooms[title]))
    named = SUMMARY_LINES - len(quoted)
    lines = [f"{title}: {rooms[title]}{' (@)' if highlighted[title] else ''}" for title in others[:named]]
    if len(others) > named:
        lines.append(f"and {len(others) - named} more")
    if hidden:
        lines.append(f"Hidden: {hidden}")
    lines.append(WHERE_ALL_ARE)
    # The rooms of hidden messages are not counted, so a number of rooms beside these would be wrong.
    # Test: test_a_summary_counts_hidden_rooms_without_their_names.
    where = f" in {len(rooms)} rooms" if len(rooms) > 1 and not hidden else ""
    title = f"{_count(len(contents), 'new message')}{where}"
    return PopupText(
        title, _stack([*(_highlight(*each) for each in quoted), *((Span(line),) for line in lines)], layout)
    )


def _highlight(content: Content, level: Level) -> Styled:
    where = "" if content.is_direct else f" in {content.room_title}"
    start = [Span("@ "), Span(content.sender_name or content.room_title, Style.BOLD)]
    start.append(Span(where if content.sender_name else ""))
    if level is not Level.FULL:
        return join_spans(start)
    text = read_markup(content.markup) if content.markup else (Span(content.text),)
    return shorten(in_one_line(join_spans([*start, Span(": "), *text])), LINE_LIMIT)


def _room_name(content: Content) -> str:
    return content.sender_name if content.is_direct else content.room_title


def _is_between_two(contents: Sequence[Content], names: Sequence[str]) -> bool:
    return contents[-1].is_direct and len(names) < 2


def _word_hidden(latest: Content, count: int) -> str:
    match latest.category:
        case Category.CALL:
            return "Incoming call"
        case Category.INVITE:
            return "New invite"
    text = _count(count, "new message")
    return text[:1].upper() + text[1:]


def _line(content: Content, *, with_name: bool, with_thread: bool) -> Styled:
    text = read_markup(content.markup) if content.markup else (Span(content.text),)
    where = ""
    if with_thread and content.thread is not None:
        where = f"in “{content.thread}”" if content.thread else "in a thread"
    if with_name and content.sender_name:
        return join_spans([Span(content.sender_name, Style.BOLD), Span(f" ({where}): " if where else ": "), *text])
    return join_spans([Span(f"({where}) " if where else ""), *text])


def _stack(lines: Iterable[Styled], layout: Layout) -> Styled:
    spans: list[Span] = []
    for line in lines:
        if spans:
            spans.append(Span(layout.line_break))
        spans.extend(line)
    return join_spans(spans)


def _names(senders: Iterable[str]) -> list[str]:
    """The names in order, each once."""
    return [name for name in dict.fromkeys(senders) if name]


def _enumerate(names: Sequence[str]) -> str:
    if len(names) > _NAMES:
        return f"{', '.join(names[: _NAMES - 1])} and {len(names) - _NAMES + 1} others"
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last


def _count(count: int, what: str) -> str:
    return what if count == 1 else f"{count} {what}s"
