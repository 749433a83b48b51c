"""Reads and writes text in bold, italics and underlined, which is the markup that all notification servers share.

Source: Desktop Notifications Specification 1.3, "Markup", without its links and images: these come from strangers, and
some notification servers open and load whatever they name. A styled message is kept in this small markup beside its
plain text, and is read and written anew before it is sent. Test: test_whatever_else_is_read_comes_out_harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntFlag

from heliograph.core.text.cutting import find_end
from heliograph.core.value_type import value_type


class Style(IntFlag):
    """The style of a piece of text."""

    PLAIN = 0
    BOLD = 1
    ITALIC = 2
    UNDERLINED = 4


@value_type
class Span:
    """A piece of text in one style."""

    text: str
    style: Style = Style.PLAIN


Styled = tuple[Span, ...]

_TAGS = ((Style.BOLD, "b"), (Style.ITALIC, "i"), (Style.UNDERLINED, "u"))
_STYLES = {name: style for style, name in _TAGS}
_TAG = re.compile("<(/?)([biu])>")
_BLANKS = re.compile("[ \n]+")


def join_spans(spans: Iterable[Span]) -> Styled:
    """The spans in order, with neighbours of the same style joined into one."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].style == span.style:
            joined[-1] = Span(joined[-1].text + span.text, span.style)
        elif span.text:
            joined.append(span)
    return tuple(joined)


def plain(styled: Styled) -> str:
    """The text without its styles."""
    return "".join(span.text for span in styled)


def in_one_line(styled: Styled) -> Styled:
    """The text with a blank in place of each line break, and without indentation."""
    spans: list[Span] = []
    for span in styled:
        text = _BLANKS.sub(" ", span.text)
        is_after_blank = bool(spans) and spans[-1].text.endswith(" ")
        spans.append(Span(text.removeprefix(" ") if is_after_blank else text, span.style))
    return join_spans(spans)


def change_indentation(styled: Styled, change: Callable[[str], str]) -> Styled:
    """The text with the spaces at the beginning of each line as `change` makes them. It is not called where there are
    none."""
    spans: list[Span] = []
    is_line_start = True
    for span in styled:
        first, *lines = span.text.split("\n")
        first = _change_line(first, change) if is_line_start else first
        spans.append(Span("\n".join([first, *(_change_line(line, change) for line in lines)]), span.style))
        is_line_start = span.text.endswith("\n")
    return join_spans(spans)


def shorten(styled: Styled, limit: int) -> Styled:
    """The text cut to at most `limit` characters where it reads well, with an ellipsis at the end if it was longer."""
    text = plain(styled)
    if len(text) <= limit:
        return styled
    left, ending = find_end(text, limit)
    spans: list[Span] = []
    for span in styled:
        spans.append(Span(span.text[:left], span.style))
        left -= len(spans[-1].text)
    *kept, last = join_spans(spans) or (Span(""),)
    return join_spans([*kept, Span(last.text + ending, last.style)])


def write_markup(styled: Styled) -> str:
    """The text as markup. All tags are ours and are closed; everything else is escaped."""
    return "".join(_write(span) for span in styled)


def read_markup(markup: str) -> Styled:
    """Reads what `write_markup` wrote. A tag of another kind counts as text."""
    spans: list[Span] = []
    style = Style.PLAIN
    end = 0
    for tag in _TAG.finditer(markup):
        spans.append(Span(_unescape(markup[end : tag.start()]), style))
        end = tag.end()
        named = _STYLES[tag[2]]
        # Flags and not a stack: however tags overlap, the text comes out.
        style = style & ~named if tag[1] else style | named
    spans.append(Span(_unescape(markup[end:]), style))
    return join_spans(spans)


def _change_line(line: str, change: Callable[[str], str]) -> str:
    words = line.lstrip(" ")
    return change(line[: len(line) - len(words)]) + words if words != line else line


def _escape(text: str) -> str:
    # Not of `xml.sax.saxutils`, whose import takes 190 KiB of memory.
    return text.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")


def _unescape(text: str) -> str:
    # The ampersand last: "&amp;lt;" is "&lt;", and not "<".
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _write(span: Span) -> str:
    text = _escape(span.text)
    for style, name in _TAGS:
        if style in span.style:
            text = f"<{name}>{text}</{name}>"
    return text
