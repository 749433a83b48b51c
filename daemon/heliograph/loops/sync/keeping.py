"""Writes what a sync brought to disk, also if a fault of ours keeps a part of it from being written.

Such a part is given up alone after a few tries, and the user is told: otherwise the same sync would come for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from heliograph.core.encryption.values import Rejected, Taken
from heliograph.core.record import Plan
from heliograph.core.suspects import TRIES
from heliograph.core.sync.parts import Part, join_parts, split
from heliograph.core.text.clean import count_things
from heliograph.errors import HeliographError, Unstorable
from heliograph.ports.encryption import Encryption
from heliograph.ports.ledger import Committed, Ledger

log = logging.getLogger(__name__)

MOST_COMMITS = 500
"""Commits that may be spent on finding the parts of one sync that cannot be written. What is still together after them
is given up together."""


class Keeping:
    """Writes for one account. `on_trouble` shows a notice of our own: its title, and what to do."""

    def __init__(self, ledger: Ledger, encryption: Encryption, on_trouble: Callable[[str, str], None]) -> None:
        self._ledger = ledger
        self._encryption = encryption
        self._on_trouble = on_trouble
        self._faults = 0
        """How often in a row a plan could not be committed."""

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Writes to-device events into crypto.db. One that fails by a fault of ours is rejected alone. Raises
        StorageError."""
        try:
            return await self._encryption.take(to_device)
        except Exception as error:
            if not _is_fault(error):
                raise
            log.exception("Unexpected fault in taking %s", count_things(len(to_device), "to-device event"))
            if len(to_device) == 1:
                return Taken((Rejected(f"it finds a fault of Heliograph's own ({type(error).__name__})"),))
        # One by one and in order: a room key may need the Olm session that the event before it began.
        taken = [await self.take([each]) for each in to_device]
        return Taken(
            tuple(outcome for each in taken for outcome in each.outcomes),
            frozenset(key for each in taken for key in each.new_keys),
        )

    async def commit(self, decided: Plan, now_ms: int) -> tuple[Plan, Committed]:
        """Commits the plan, and returns what of it was committed. Raises StorageError and UserError.

        A fault of ours is raised the first `TRIES` - 1 times in a row, since it may pass; then whatever cannot be
        written is given up alone.
        """
        try:
            committed = await self._ledger.commit(decided, now_ms)
        except Exception as error:
            if not _is_fault(error):
                raise
            self._faults += 1
            if self._faults < TRIES:
                raise
            log.exception("What a sync brought cannot be kept for a fault of our own: it is looked for, and given up")
            decided, committed = await _Sieve(self._ledger, now_ms).commit(decided, self._tell)
        self._faults = 0
        return decided, committed

    def _tell(self, lost: Sequence[Part]) -> None:
        events = [part.event_id for part in lost if part.event_id is not None]
        if events:
            self._on_trouble(
                "A message could not be kept" if len(events) == 1 else f"{len(events)} messages could not be kept",
                "Heliograph has a fault. Look into your Matrix client, and for the reason at: heliograph explain "
                f"{events[-1]}",
            )
        else:
            self._on_trouble(
                "Some of what came could not be kept",
                f"Heliograph has a fault, which is in its log: it could not keep {lost[0].what}. What it shows may be "
                "out of date: look into your Matrix client.",
            )


class _Sieve:
    """Commits a plan in parts, and finds those that cannot be written by trying halves.

    The token is committed last, alone: killed in between, the same sync comes again, and what was kept of it is known
    by then. Tests: test_one_message_among_many_is_given_up_alone_with_a_reason,
    test_where_all_is_refused_it_is_given_up_without_end_of_tries.
    """

    def __init__(self, ledger: Ledger, now_ms: int) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._left = MOST_COMMITS
        self._new = 0
        self._kept: list[Part] = []

    async def commit(self, decided: Plan, on_lost: Callable[[Sequence[Part]], None]) -> tuple[Plan, Committed]:
        """Returns what of the plan was committed. `on_lost` is called with the parts that were not."""
        lost = await self._keep(split(decided))
        if lost:
            on_lost(lost)
        # Before the token, since `heliograph explain` should know at least why a message is missing.
        reasons = [Part(f"why {part.what} is given up", part.given_up()) for part in lost if part.plan.judged]
        await self._keep(reasons)
        committed = await self._ledger.commit(Plan(decided.next_batch), self._now_ms)
        return join_parts(self._kept, decided.next_batch), Committed(self._new, committed.open_rooms)

    async def _keep(self, parts: Sequence[Part]) -> list[Part]:
        """Returns those of these parts that cannot be written."""
        if not parts:
            return []
        if self._left:
            self._left -= 1
            try:
                committed = await self._ledger.commit(join_parts(parts, None), self._now_ms)
            except Exception as error:
                if not _is_fault(error):
                    raise
                if len(parts) == 1:
                    log.exception("Given up, since it cannot be kept for a fault of our own: %s", parts[0].what)
            else:
                self._new += committed.new
                self._kept.extend(parts)
                return []
        if len(parts) == 1 or not self._left:
            return list(parts)
        middle = len(parts) // 2
        return [*await self._keep(parts[:middle]), *await self._keep(parts[middle:])]


def _is_fault(error: Exception) -> bool:
    """Returns True if the disk is in order, so that the fault lies in what is to be written, or in us."""
    return isinstance(error, Unstorable) or not isinstance(error, HeliographError)
