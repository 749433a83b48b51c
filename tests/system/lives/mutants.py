"""Daemons that are broken on purpose, to see that lives notice: each as a word that `break_it` takes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from heliograph.core.events import Sync
from heliograph.core.reading import Candidate, Mark
from heliograph.core.record import Plan

_ASKING_S = 0.05
"""As long as it takes to ask the homeserver about a room."""


def _replace(owner: Any, name: str, broken: object) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} to break"
    setattr(owner, name, broken)


def _ask_for_any_id() -> None:
    """The old filter: whatever has something open is named in it, and a refusal is the whole sync's."""
    from heliograph.homeserver import sync_filter
    from heliograph.loops.sync.narrowing import Narrowing
    from heliograph.store import deliveries

    async def ask(self: Any, sync: Callable[[Any], Any], request: Any) -> Any:
        return await sync(request)

    def read_open_rooms(db: sqlite3.Connection) -> frozenset[str]:
        rows = db.execute(f"SELECT DISTINCT room_id FROM deliveries WHERE {deliveries.OPEN}")
        return frozenset(room_id for (room_id,) in rows)

    _replace(deliveries, "read_open_rooms", read_open_rooms)
    _replace(sync_filter, "fits_filter", lambda room_id: True)
    _replace(Narrowing, "ask", ask)


def _take_the_token_first() -> None:
    """The token is on disk before what it stands for."""
    from heliograph.loops.sync.commits import Commits

    original = Commits._plan_and_commit

    async def plan_and_commit(self: Commits, sync: Sync, **options: Any) -> Plan:
        if any(room.timeline for room in sync.joined):
            await self._ledger.commit(Plan(next_batch=sync.next_batch), self._clock())
            await asyncio.sleep(_ASKING_S)
        return await original(self, sync, **options)

    _replace(Commits, "_plan_and_commit", plan_and_commit)


def _end_the_front_desk() -> None:
    """The loop that tells bars and docks ends at its third news, and nobody starts it again."""
    from heliograph.app.daemon_api import DaemonApi

    _end_after(DaemonApi, "_tell", 3)


def _end_deliveries() -> None:
    """The loop that shows ends at its tenth round, and nobody starts it again."""
    from heliograph.loops.delivery.loop import DeliveryLoop

    _end_after(DeliveryLoop, "_work", 10)


def _end_the_quiet_loop() -> None:
    """The loop that ends quiet is gone from the start."""
    from heliograph.loops.quiet import QuietLoop

    _end_after(QuietLoop, "_run", 0)


def _end_after(loop: type, step: str, rounds: int) -> None:
    original = getattr(loop, step)
    done: dict[int, int] = {}

    async def work(self: Any, *args: Any, **options: Any) -> Any:
        done[id(self)] = done.get(id(self), 0) + 1
        if done[id(self)] > rounds:
            # As if its task had ended, and nobody had looked.
            await asyncio.get_running_loop().create_future()
        return await original(self, *args, **options)

    _replace(loop, step, work)


def _forget_receipts() -> None:
    """Nothing that is read elsewhere is withdrawn."""
    from heliograph.core.sync import plan

    _replace(plan, "read_by", lambda marks, candidates, places, counts: frozenset())


def _forget_redactions() -> None:
    """What is taken back stays."""
    from heliograph.core.sync.relations import Relations

    _replace(Relations, "_redact", lambda self, event_id: None)


def _read_all() -> None:
    """Any receipt reads the whole room."""
    from heliograph.core.sync import plan

    def read_all(marks: Collection[Mark], candidates: Sequence[Candidate], *_: object) -> frozenset[str]:
        return frozenset(each.event_id for each in candidates if marks)

    _replace(plan, "read_by", read_all)


def _leave_gaps() -> None:
    """What a sync leaves out is lost."""
    from heliograph.loops.sync.gaps import Filled, GapFiller

    async def fill(self: GapFiller, sync: Sync, *_: object, **__: object) -> Filled:
        return Filled(sync)

    _replace(GapFiller, "fill", fill)


def _forget_late_keys() -> None:
    """What could not be read when it came is never read."""
    from heliograph.core.sync.plan import _Planner

    _replace(_Planner, "_take_late", lambda self, event: None)


def _hold_nothing_back() -> None:
    """Neither a pause nor quiet hours keep anything from popping up."""
    from heliograph.loops.quiet import QuietLoop

    _replace(QuietLoop, "through", property(lambda self: None))


def _ring_on() -> None:
    """Calls ring until somebody closes them."""
    from heliograph.loops.delivery.calls import Calls

    async def end_calls(*_: object) -> bool:
        return False

    _replace(Calls, "end", end_calls)


def _ring_again() -> None:
    """What was on screen before the daemon was started rings again."""
    from heliograph.store.ledger import SqliteLedger

    original = SqliteLedger.account

    async def account(self: SqliteLedger) -> Any:
        await self._database.transaction(_as_if_never_shown)
        return await original(self)

    _replace(SqliteLedger, "account", account)


def _as_if_never_shown(db: sqlite3.Connection) -> None:
    db.execute("UPDATE deliveries SET state = 'pending', popup_key = NULL WHERE state = 'shown'")


MUTANTS: Mapping[str, Callable[[], None]] = {
    "old filter": _ask_for_any_id,
    "token first": _take_the_token_first,
    "front desk dies": _end_the_front_desk,
    "delivery loop dies": _end_deliveries,
    "quiet loop dies": _end_the_quiet_loop,
    "receipts are forgotten": _forget_receipts,
    "redactions are forgotten": _forget_redactions,
    "rings again after a start": _ring_again,
    "any receipt reads all": _read_all,
    "gaps stay open": _leave_gaps,
    "late keys are forgotten": _forget_late_keys,
    "quiet holds nothing back": _hold_nothing_back,
    "calls ring on": _ring_on,
}


def break_it(words: Sequence[str]) -> None:
    """Breaks the program that this process is about to run."""
    for word in words:
        MUTANTS[word]()
