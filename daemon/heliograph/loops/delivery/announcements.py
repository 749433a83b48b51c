"""Tells hooks and bars which messages rang, once the ledger has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from heliograph.core.popups.privacy import Privacy, reduce
from heliograph.core.record import Delivery
from heliograph.core.text.clean import count_things
from heliograph.system.tasks import going_on

PART = 200
"""Deliveries told of at once."""


class Announcements:
    """Announces the deliveries of one account. `on_rang` is called with them, reduced to what `privacy` lets be shown
    without a lock."""

    def __init__(self, on_rang: Callable[[Sequence[Delivery]], None], privacy: Privacy) -> None:
        self._on_rang = on_rang
        self._privacy = privacy

    async def tell(self, rang: Sequence[Delivery]) -> None:
        """Tells of all these, in order. What `on_rang` raises is logged, and that part is told of no more."""
        for begin in range(0, len(rang), PART):
            if begin:
                # An absence may bring thousands: the other tasks of the event loop go on meanwhile.
                await asyncio.sleep(0)
            part = rang[begin : begin + PART]
            with going_on(f"telling hooks and bars what rang: they miss {count_things(len(part), 'message')}"):
                # The screen may be locked, but a hook is no screen: it gets the words that an open one shows.
                self._on_rang([self._reduce(each) for each in part])

    def _reduce(self, delivery: Delivery) -> Delivery:
        content = delivery.content
        return replace(delivery, content=content and reduce(content, self._privacy.level_of(delivery)))
