"""The event under judgement, and what was read of its properties so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.core.push import patterns
from heliograph.core.push.context import Context
from heliograph.core.push.flatten import MISSING, Path, value_at
from heliograph.core.push.levels import sender_level
from heliograph.core.push.patterns import MAX_TEXT, Work

BODY = "content.body"
_BODY_PATH: Path = ("content", "body")


class Subject:
    """One event and its context while rules are tried. Each property is looked up, lowered and split once at most.

    Objects inside the event are dicts, as JSON decoders make them.
    """

    __slots__ = (
        *("_folded", "_lowered", "_related", "_sender_level", "_values", "_words"),
        *("context", "event", "says_name", "work"),
    )

    def __init__(self, event: Mapping[str, Any], context: Context, work: Work | None = None) -> None:
        self.event = event if isinstance(event, dict) else dict(event)
        self.context = context
        self.work = work or Work()
        self._values: dict[str, Any] = {}
        self._lowered: dict[str, str | None] = {}
        self._folded: dict[str, str | None] = {}
        self._words: frozenset[bytes] | None = None
        self._related: dict[str, Subject | None] = {}
        self.says_name: bool | None = None
        """Whether the body has the user's display name. None: nobody has looked yet."""
        self._sender_level: float | Missed | None = _MISSED

    def value(self, key: str, path: Path) -> Any:
        """The property's value, or MISSING."""
        values = self._values
        if key in values:
            return values[key]
        if self.work.left < 0:
            return MISSING
        values[key] = found = self._look_up(path)
        return found

    def _look_up(self, path: Path) -> Any:
        return value_at(self.event, path) if self.work.spend(200 + 15 * len(path)) else MISSING

    def lowered(self, key: str, path: Path) -> str | None:
        """The property in lower case if it is a string, else None. Of a very long string only the beginning."""
        texts = self._lowered
        if key in texts:
            return texts[key]
        if self.work.left < 0:
            return None
        value = self._look_up(path)
        text = None
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                value = value[:MAX_TEXT]
            # Charged by what lowering costs: ASCII is done at once, and other letters one by one.
            if self.work.spend(len(value) // 8 if value.isascii() else 5 * len(value)):
                text = value.lower()
        texts[key] = text
        return text

    def folded(self, key: str, path: Path) -> str | None:
        """The property in folded case, as globs are sought in (`patterns.fold`)."""
        texts = self._folded
        if key in texts:
            return texts[key]
        text = self.lowered(key, path)
        if text is not None:
            text = patterns.fold(text) if self.work.spend(0 if text.isascii() else 3 * len(text)) else None
        texts[key] = text
        return text

    @property
    def words(self) -> frozenset[bytes]:
        """The words of `content.body`, in lower case."""
        if self._words is None:
            text = self.lowered(BODY, _BODY_PATH)
            self._words = patterns.words(text) if text and self.work.spend(3 * len(text)) else frozenset()
        return self._words

    @property
    def sender_level(self) -> float | None:
        """The sender's power level, None if too little is known."""
        if isinstance(self._sender_level, Missed):
            self._sender_level = sender_level(self.event.get("sender"), self.context)
        return self._sender_level

    def related(self, rel_type: str) -> Subject | None:
        """The event to which this one has a relation of this type, if the context has that event."""
        if rel_type not in self._related:
            event = self.context.related.get(rel_type)
            known = event is not None and isinstance(event, Mapping)
            self._related[rel_type] = Subject(event, self.context, self.work) if known else None  # type: ignore[arg-type]
        return self._related[rel_type]


class Missed:
    """Stands for a value that was not computed yet, since None is an answer."""


_MISSED = Missed()
