"""Fetches pictures of people and rooms when they are first needed, and keeps the latest in memory only.

Test: test_only_so_many_are_kept_and_the_latest_used_stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from heliograph.core.notification import Picture
from heliograph.core.popups.looks import LARGE
from heliograph.errors import ServerError
from heliograph.system.tasks import start_beside

T = TypeVar("T")

Source = Callable[[str, int], Awaitable[bytes]]
"""Fetches a file by its mxc: URI, as a picture of at most so many pixels a side. Raises ServerError."""

log = logging.getLogger(__name__)

SIDE = LARGE
"""Pixels, 36 KB each. Servers that like small pictures get them made smaller."""
PATIENCE_S = 0.5
"""A popup waits no longer for its picture, and is not shown again for one that comes late: the next popup has it.
Test: test_a_slow_one_is_not_waited_for_but_there_the_next_time."""
KEPT = 48
"""Pictures in memory; the least recently used are forgotten."""
UNDER_WAY = 16
"""Pictures fetched at once; the popups of all others go without."""
FAILURE_KEPT_MS = 600_000
"""After a picture could not be had, how long it is not asked for again."""


class PictureCache:
    """`ports.Pictures` of one account. `decode` takes a file's bytes and the side; `clock` gives milliseconds.

    `find_source` gives what files can be fetched from now: None while the account is not signed in.
    """

    def __init__(
        self,
        decode: Callable[[bytes, int], Awaitable[Picture | None]],
        find_source: Callable[[], Source | None],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._decode = decode
        self._find_source = find_source
        self._clock = clock
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._failed: OrderedDict[str, int] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[object]] = {}

    async def fetch(self, uris: Collection[str]) -> Mapping[str, Picture]:
        wanted = set(uris)
        tasks = [task for uri in sorted(wanted) if (task := self._begin(uri)) is not None]
        if tasks:
            # `wait` and not a time-out: what is late goes on, for the next popup.
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        found = {uri: self._kept[uri] for uri in wanted if uri in self._kept}
        for uri in found:
            self._kept.move_to_end(uri)
        return found

    async def close(self) -> None:
        """Ends the fetching that is under way."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, uri: str) -> asyncio.Task[object] | None:
        """The task that fetches this picture; None if it is here, or cannot be had now."""
        source = self._find_source()
        if uri in self._kept or source is None:
            return None
        failed_ms = self._failed.get(uri)
        # Below 0 the clock was set back: it is asked for again.
        if failed_ms is not None and 0 <= self._clock() - failed_ms < FAILURE_KEPT_MS:
            return None
        if uri not in self._under_way and len(self._under_way) < UNDER_WAY:
            task = start_beside(self._get(uri, source), name="picture")
            self._under_way[uri] = task
            task.add_done_callback(lambda _: self._under_way.pop(uri, None))
        return self._under_way.get(uri)

    async def _get(self, uri: str, source: Source) -> None:
        try:
            picture = await self._decode(await source(uri, SIDE), SIDE)
        except ServerError as trouble:
            log.info("A picture cannot be had: %s", trouble)
            picture = None
        except Exception:
            log.exception("Unexpected fault in a picture, which is done without")
            picture = None
        if picture is None:
            _remember(self._failed, uri, self._clock(), 4 * KEPT)
        else:
            _remember(self._kept, uri, picture, KEPT)


def _remember(memory: OrderedDict[str, T], uri: str, value: T, most: int) -> None:
    memory[uri] = value
    while len(memory) > most:
        memory.popitem(last=False)
