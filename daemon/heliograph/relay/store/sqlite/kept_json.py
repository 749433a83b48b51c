"""JSON that is kept in memory as its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class KeptJson(Mapping[str, Any]):
    """A JSON object that is parsed whenever something looks into it.

    Of a hundred thousand users hardly anybody's pushers are looked into in an hour, and parsed objects take several
    times the memory of their texts. Figures: docs/benchmarks.md.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, name: str) -> Any:
        return self._parse()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parse())

    def __len__(self) -> int:
        return len(self._parse())

    def __repr__(self) -> str:
        return self._text

    def _parse(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self._text)
        return parsed
