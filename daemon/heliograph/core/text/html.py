"""`formatted_body` as styled text: HTML from strangers, of which a few styles, lines and lists remain.

Source: Client-Server API, "m.room.message msgtypes" and "Spoiler messages". What is hidden behind a spoiler is not
said, and neither is what a reply quotes. Links and images are only what they are called.

The tokenizer is our own: Python's html.parser takes 4.2 s for 16 KiB of open quotes, the worst of ten attacks takes
ours 4 ms. Test: test_hostile_html_is_bounded.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph.core.text.clean import clean_inline
from heliograph.core.text.markup import Span, Style, Styled, join, plain, shorten

MAX_HTML = 16 * 1024
"""Characters that are looked at, after the quote of a reply."""
MAX_TAGS = 500
MAX_DEPTH = 60
_MAX_TAG = 1000
"""Characters of a tag; a longer one counts as text."""
_MAX_LINES = 10

_STYLES = {
    "b": Style.BOLD,
    "strong": Style.BOLD,
    "th": Style.BOLD,
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), Style.BOLD),
    "i": Style.ITALIC,
    "em": Style.ITALIC,
    "u": Style.UNDERLINED,
    "ins": Style.UNDERLINED,
}
_BLOCKS = frozenset(
    (
        *("p", "div", "li", "ul", "ol", "blockquote", "pre", "hr", "table", "tr", "caption", "details", "summary"),
        *("h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
_VOID = frozenset(("br", "hr", "img", "wbr", "input", "meta", "link", "source", "col"))
_DROPPED = frozenset(
    (
        *("mx-reply", "script", "style", "head", "title", "template", "noscript", "iframe", "object", "svg", "math"),
        *("textarea", "select", "audio", "video"),
    )
)
_NAME = re.compile("[a-zA-Z][a-zA-Z0-9-]{0,30}")
_DELIMITER = re.compile("[<>\"']")
_BLANKS = re.compile(r"\s+")
_QUOTE_END = re.compile("</mx-reply>", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""([a-z][a-z0-9-]{0,40})(?:\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Formatted:
    """What HTML says."""

    styled: Styled
    is_hiding: bool
    """Something was left out on purpose: the plain body would say it."""

    @property
    def is_empty(self) -> bool:
        """There is not a word in it."""
        return not plain(self.styled).strip()


def read_formatted(source: str, limit: int) -> Formatted:
    """At most `limit` characters in at most ten lines. Time and memory are bounded, whatever the HTML is."""
    if source[:12].lstrip()[:9].lower() == "<mx-reply" and (end := _QUOTE_END.search(source)):
        source = source[end.end() :]
    page = _Page(limit)
    for token in _tokens(source[:MAX_HTML]):
        page.take(token)
        if page.is_full:
            break
    return Formatted(page.styled, page.is_hiding)


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str
    is_end: bool
    attributes: str


_Token = str | _Tag


def _tokens(source: str) -> Iterator[_Token]:
    """Text and tags, in time that grows with the length: every character is passed once, but for tags that have no
    end, of which `_MAX_TAG` characters are."""
    position = tags = 0
    while position < len(source) and tags < MAX_TAGS:
        opening = source.find("<", position)
        if opening < 0:
            yield source[position:]
            return
        if opening > position:
            yield source[position:opening]
        tags += 1
        position = opening + 1
        if source.startswith("<!--", opening):
            end = source.find("-->", opening)
            position = len(source) if end < 0 else end + 3
        elif source[position : position + 1] in ("!", "?"):
            end = source.find(">", position)
            position = len(source) if end < 0 else end + 1
        elif (tag := _read_tag(source, opening)) is not None:
            yield tag[0]
            position = tag[1]
        else:
            yield "<"


def _read_tag(source: str, opening: int) -> tuple[_Tag, int] | None:
    """The tag that begins here and the place after it; None: it is none."""
    is_end = source.startswith("/", opening + 1)
    name = _NAME.match(source, opening + 1 + is_end)
    if name is None:
        return None
    place, last = name.end(), opening + _MAX_TAG
    while (found := _DELIMITER.search(source, place, last)) is not None:
        place = found.end()
        if found[0] == ">":
            return _Tag(name[0].lower(), is_end, source[name.end() : place - 1]), place
        if found[0] == "<" or (place := source.find(found[0], place, last) + 1) == 0:
            break
    return None


class _Page:
    """Takes tokens in order, and keeps what they say."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spans: list[Span] = []
        self._size = 0
        self._line = ""
        """What stands in the last line."""
        self._lines = 0
        self._open: list[tuple[str, bool]] = []
        """Elements, and whether what they hold is left out."""
        self._lists: list[int | None] = []
        """Numbers of the next items of the lists that are open; None: its items have bullets."""
        self._is_break_due = False
        self._has_bullet_only = False
        self.is_hiding = False

    @property
    def is_full(self) -> bool:
        return self._size > self._limit or self._lines >= _MAX_LINES or len(self._open) > MAX_DEPTH

    @property
    def styled(self) -> Styled:
        spans = list(join(self._spans))
        while spans and not (text := spans[-1].text.rstrip()):
            spans.pop()
        if spans:
            spans[-1] = Span(text, spans[-1].style)
        if self._lines >= _MAX_LINES:
            spans.append(Span("…"))
        return shorten(join(spans), self._limit)

    def take(self, token: _Token) -> None:
        if isinstance(token, str):
            if not self._is_dropping:
                self._say(html.unescape(token))
        elif token.is_end:
            self._end(token.name)
        else:
            self._begin(token)

    @property
    def _is_dropping(self) -> bool:
        return any(is_dropped for _, is_dropped in self._open)

    def _begin(self, tag: _Tag) -> None:
        name = tag.name
        if self._is_dropping:
            self._push(name, is_dropped=False)
            return
        if name in _BLOCKS or name == "br":
            self._break()
        match name:
            case "img":
                attributes = _attributes(tag)
                self._say(attributes.get("alt") or attributes.get("title") or "[image]")
            case "ul" | "ol":
                self._lists.append(1 if name == "ol" else None)
            case "li":
                self._say(self._bullet())
                self._has_bullet_only = True
            case "td" | "th" if self._line:
                self._say(" ")
            case "span" | "div" | "p" if (reason := _attributes(tag).get("data-mx-spoiler")) is not None:
                self.is_hiding = True
                reason = clean_inline(html.unescape(reason), 100).strip()
                self._say(f"[spoiler: {reason}]" if reason else "[spoiler]")
                self._push(name, is_dropped=True)
                return
        self._push(name, is_dropped=name in _DROPPED)

    def _push(self, name: str, *, is_dropped: bool) -> None:
        if name not in _VOID:
            self._open.append((name, is_dropped))

    def _end(self, name: str) -> None:
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index][0] == name:
                del self._open[index:]
                break
        else:
            return
        if name in ("ul", "ol") and self._lists:
            self._lists.pop()
        if name in _BLOCKS and not self._is_dropping:
            self._break()

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "• "
        self._lists[-1] = number + 1
        return f"{number}. "

    def _say(self, text: str) -> None:
        """Blanks in a row are one, except where it is preformatted."""
        is_preformatted = any(name == "pre" for name, _ in self._open)
        text = clean_inline(text, self._limit)
        for index, line in enumerate(text.split("\n") if is_preformatted else [_BLANKS.sub(" ", text)]):
            if index:
                self._break()
            self._write(line)

    def _break(self) -> None:
        self._is_break_due |= bool(self._line) and not self._has_bullet_only

    def _write(self, text: str) -> None:
        is_at_start = self._is_break_due or not self._line
        if is_at_start or self._line.endswith(" "):
            text = text.lstrip(" ")
        if not text:
            return
        self._has_bullet_only = False
        if self._is_break_due:
            self._lines += 1
            if self.is_full:
                return
            self._is_break_due, self._line = False, ""
            self._add("\n")
        if is_at_start and any(name == "blockquote" for name, _ in self._open):
            self._add("> ")
        self._add(text, self._style)
        self._line += text

    def _add(self, text: str, style: Style = Style.PLAIN) -> None:
        self._spans.append(Span(text, style))
        self._size += len(text)

    @property
    def _style(self) -> Style:
        style = Style.PLAIN
        for name, _ in self._open:
            style |= _STYLES.get(name, Style.PLAIN)
        return style


def _attributes(tag: _Tag) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(tag.attributes):
        found.setdefault(match[1].lower(), html.unescape(match[2] or match[3] or match[4] or ""))
    return found
