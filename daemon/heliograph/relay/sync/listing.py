"""GET /notifications, asked with the access token of the /sync that is being answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlencode

import msgspec

from heliograph.core.value_type import value_type
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.wire.sync import BROKEN, loads

log = logging.getLogger(__name__)

FIRST_PAGE = 3
"""Entries of the first page. Each costs the homeserver time, and mostly one is new; two tell the list's direction."""
PAGE = 100
MAX_PAGES = 10
MAX_BODY = 16 * 1024 * 1024
"""Bytes of one page, and of the entries of all."""
ABSENT_MS = 3_600_000
"""A homeserver without the list is asked again after this."""
_PATH = "/_matrix/client/v3/notifications"


@value_type
class Entry:
    """One entry of the list. `raw` is its JSON, as the homeserver wrote it."""

    event_id: str
    room_id: str
    ts: int
    raw: bytes


@value_type
class Listed:
    """The entries of the list, as far down as was asked for."""

    entries: dict[str, Entry]
    """In the order of `ts`."""
    is_whole: bool
    """No entry that was looked for can be further down the list."""


class _Page(msgspec.Struct):
    notifications: list[msgspec.Raw]
    next_token: str | None = None


class _EventId(msgspec.Struct):
    event_id: str


class _Entry(msgspec.Struct):
    room_id: str
    ts: int
    event: _EventId


_page = msgspec.json.Decoder(_Page)
_entry = msgspec.json.Decoder(_Entry)


class Listing:
    """Reads the list from the newest entry on, no further than needed.

    A homeserver that lists the oldest first is read to the end. `now_ms` is the wall clock, in ms since 1970.
    """

    def __init__(self, upstream: Upstream, now_ms: Callable[[], int]) -> None:
        self._upstream = upstream
        self._now_ms = now_ms
        self._absent_at: int | None = None

    @property
    def is_absent(self) -> bool:
        """The homeserver has no such list."""
        return self._absent_at is not None and abs(self._now_ms() - self._absent_at) < ABSENT_MS

    async def read(
        self, authorization: Mapping[str, str], needed: Collection[str], wants: Callable[[Entry], bool]
    ) -> Listed | None:
        """Reads until all `needed` event ids were found and a page ends with an unwanted entry. None: there is no list.

        Raises NotAnswered.
        """
        if self.is_absent:
            return None
        found: dict[str, Entry] = {}
        missing = set(needed)
        token: str | None = None
        size = 0
        # Mostly the missing ones are the newest, so that one page brings them all.
        limit = min(FIRST_PAGE + len(missing), PAGE)
        for _ in range(MAX_PAGES):
            page = await self._ask(authorization, token, limit)
            if page is None:
                return None
            entries = [entry for raw in page.notifications if (entry := _read(raw)) is not None]
            found.update((entry.event_id, entry) for entry in entries)
            missing.difference_update(found)
            # A page of which nothing can be read does not tell that the end of the news is reached.
            has_more = not entries or wants(entries[-1])
            # The oldest first: news are on the last page.
            is_ascending = len(entries) > 1 and entries[0].ts < entries[-1].ts
            token = page.next_token
            size += sum(map(len, page.notifications))
            if size > MAX_BODY:
                return _listed(found, is_whole=False)
            if token is None or not page.notifications:
                return _listed(found, is_whole=True)
            if not (has_more or missing or is_ascending):
                return _listed(found, is_whole=True)
            limit = PAGE
        return _listed(found, is_whole=False)

    async def newest(self, authorization: Mapping[str, str]) -> list[Entry] | None:
        """The newest entries, the latest last. None: there is no list. Raises NotAnswered."""
        listed = await self.read(authorization, (), lambda _: False)
        return None if listed is None else list(listed.entries.values())

    async def _ask(self, authorization: Mapping[str, str], token: str | None, limit: int) -> _Page | None:
        query = {"limit": str(limit)} | ({} if token is None else {"from": token})
        answer = await self._upstream.ask("GET", f"{_PATH}?{urlencode(query)}", authorization, limit=MAX_BODY)
        if answer.status in (404, 405, 501):
            log.info("The homeserver has no GET /notifications: what pushes tell is used instead")
            self._absent_at = self._now_ms()
            return None
        if answer.status != 200:
            raise NotAnswered(f"GET /notifications was answered with status {answer.status}")
        try:
            return _page.decode(answer.body)
        except BROKEN as error:
            raise NotAnswered(f"GET /notifications was answered with what cannot be read: {error}") from error


def _listed(found: dict[str, Entry], *, is_whole: bool) -> Listed:
    # Newest first where two have the same time, hence the reversal.
    ordered = sorted(reversed(list(found.values())), key=lambda entry: entry.ts)
    return Listed({entry.event_id: entry for entry in ordered}, is_whole)


def _read(raw: msgspec.Raw) -> Entry | None:
    try:
        entry = _entry.decode(raw)
    except BROKEN:
        try:
            # msgspec refuses lone surrogates and NaN, which homeservers pass on.
            entry = msgspec.convert(loads(raw), _Entry)
        except BROKEN:
            return None
    return Entry(entry.event.event_id, entry.room_id, entry.ts, bytes(raw))
