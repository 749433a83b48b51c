"""Waiting until everything that is on the homeserver now has come and is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COLLECT_ROUNDS = 5
"""Syncs that one waiter waits for at the most; on a busy account something new comes all the time."""


@dataclass(slots=True, eq=False)
class CollectWaiter:
    """Somebody who waits."""

    granted: asyncio.Future[bool]
    """Set to True if everything has come, to False if it cannot be had."""
    rounds: int = 0
    """Syncs that were asked for since."""


class Collecting:
    """The waiters of one account."""

    def __init__(self) -> None:
        self._waiters: list[CollectWaiter] = []

    @property
    def waiters(self) -> tuple[CollectWaiter, ...]:
        """Who waits at the moment."""
        return tuple(self._waiters)

    @contextlib.contextmanager
    def joined(self) -> Iterator[asyncio.Future[bool]]:
        """Adds a waiter for the length of the block, and gives the future that this waiter awaits."""
        waiter = CollectWaiter(asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            yield waiter.granted
        finally:
            self._forget(waiter)

    def refuse(self) -> None:
        """Tells all waiters that what they wait for cannot be had."""
        self._settle(self.waiters, is_here=False)

    def grant(self, waiters: Sequence[CollectWaiter], *, has_more: bool) -> None:
        """Takes a sync that was asked for after these began to wait. They go on waiting if there may be more.

        Only an answer with nothing new comes from no cache, and leaves nothing unacknowledged.
        """
        for waiter in waiters:
            waiter.rounds += 1
        self._settle([each for each in waiters if not has_more or each.rounds >= COLLECT_ROUNDS], is_here=True)

    def _settle(self, waiters: Sequence[CollectWaiter], *, is_here: bool) -> None:
        for waiter in waiters:
            if not waiter.granted.done():
                waiter.granted.set_result(is_here)
            self._forget(waiter)

    def _forget(self, waiter: CollectWaiter) -> None:
        # Settled and left alike: whichever comes first takes the waiter out.
        if waiter in self._waiters:
            self._waiters.remove(waiter)
