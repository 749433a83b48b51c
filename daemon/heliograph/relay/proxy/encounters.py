"""Marked requests: `heliograph relay check` sends some to the public address, and asks whether they came by."""

from __future__ import annotations

from collections import deque

from aiohttp import web

MARK = "io.github.heliograph.check"
"""The name of a query parameter. Homeservers pass over parameters that they do not know."""
MOST = 100
LONGEST = 64


class Encounters:
    """The marks of the latest requests that had one. A mark cannot be guessed, so nobody else can ask for it."""

    def __init__(self) -> None:
        self._marks: deque[str] = deque(maxlen=MOST)

    def note(self, request: web.Request) -> None:
        mark = request.query.get(MARK)
        if mark:
            # Cut, since a stranger chooses its length.
            self._marks.append(mark[:LONGEST])

    def has_met(self, mark: str) -> bool:
        return mark in self._marks
