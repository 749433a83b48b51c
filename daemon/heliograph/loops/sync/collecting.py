"""Those who wait until everything that is on the homeserver now has come and is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COLLECT_ROUNDS = 5
"""Syncs for one of them, where something new comes all the time."""


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits."""

    granted: asyncio.Future[bool]
    rounds: int = 0


class Collecting:
    """`hurry` has the loop sync at once, whatever it waits for."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._waiters: list[Waiter] = []

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """Who waits at the moment."""
        return tuple(self._waiters)

    async def wait(self) -> bool:
        """Returns once nothing new came, or a sync failed. Whether everything is here."""
        waiter = Waiter(asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._hurry()
        try:
            return await waiter.granted
        finally:
            self._forget(waiter)

    def refuse(self) -> None:
        """It could not be had: all of them are told so."""
        self._grant(self.waiters, is_done=False)

    def grant(self, waiters: Sequence[Waiter], *, has_more: bool) -> None:
        """A sync worked that was asked for after these began to wait; they go on waiting if there may be more."""
        for waiter in waiters:
            waiter.rounds += 1
        self._grant([each for each in waiters if not has_more or each.rounds >= COLLECT_ROUNDS], is_done=True)

    def _grant(self, waiters: Sequence[Waiter], *, is_done: bool) -> None:
        for waiter in waiters:
            if not waiter.granted.done():
                waiter.granted.set_result(is_done)
            self._forget(waiter)

    def _forget(self, waiter: Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
