"""What a sync brought, on its way to disk. What finds a fault of ours there is given up after a few tries, and told:
else the same sync would come for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from heliograph.core.encryption import Rejected, Taken
from heliograph.core.record import FAULT, Decision, Plan
from heliograph.core.suspects import TRIES
from heliograph.core.text import count_things
from heliograph.errors import HeliographError
from heliograph.ports import Committed, Encryption, Ledger

log = logging.getLogger(__name__)


class Keeping:
    """One account's. `on_trouble` shows a notice of our own: its title, and what to do."""

    def __init__(self, ledger: Ledger, encryption: Encryption, on_trouble: Callable[[str, str], None]) -> None:
        self._ledger = ledger
        self._encryption = encryption
        self._on_trouble = on_trouble
        self._faults = 0
        """How often in a row a plan could not be committed."""

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """To-device events into crypto.db. One that finds a fault of ours is rejected alone. Raises StorageError."""
        try:
            return await self._encryption.take(to_device)
        except HeliographError:
            raise
        except Exception as error:
            log.exception("Unexpected fault in taking %s", count_things(len(to_device), "to-device event"))
            if len(to_device) == 1:
                return Taken((Rejected(f"it finds a fault of Heliograph's own ({type(error).__name__})"),))
        taken = [await self.take([each]) for each in to_device]
        return Taken(
            tuple(outcome for each in taken for outcome in each.outcomes),
            frozenset(key for each in taken for key in each.new_keys),
        )

    async def commit(self, decided: Plan, now_ms: int) -> tuple[Plan, Committed]:
        """The plan as it was committed. Raises StorageError and UserError, and the first times whatever fault of ours
        there is; then all that the plan would have kept is given up but its token."""
        try:
            committed = await self._ledger.commit(decided, now_ms)
        except HeliographError:
            raise
        except Exception:
            self._faults += 1
            if self._faults < TRIES:
                raise
            log.exception("What a sync brought cannot be kept for a fault of our own, and is given up")
            decided, committed = await self._commit_the_rest(decided, now_ms)
        self._faults = 0
        return decided, committed

    async def _commit_the_rest(self, decided: Plan, now_ms: int) -> tuple[Plan, Committed]:
        self._on_trouble(
            "Some messages may be missing",
            "Heliograph has a fault, which is in its log: what it got could not be kept. Look into your Matrix client.",
        )
        judged = tuple(replace(each, decision=Decision.MALFORMED, reason=FAULT) for each in decided.judged)
        named = Plan(decided.next_batch, judged=judged)
        try:
            return named, await self._ledger.commit(named, now_ms)
        except HeliographError:
            raise
        except Exception:
            log.exception("Not even what was judged can be kept")
        bare = Plan(decided.next_batch)
        return bare, await self._ledger.commit(bare, now_ms)
