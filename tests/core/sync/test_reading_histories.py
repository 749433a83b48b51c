"""Generated histories of reading, taken sync by sync, beside a model that knows the whole order.

tests/run tests/core/sync/test_reading_histories.py --seeds 100000    so many of each kind, instead of 300
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fakes.ledger import FakeLedger
from heliograph.core.delivery import OPEN_STATES
from heliograph.core.encryption.values import Locked, Reason, RoomKey
from heliograph.core.ids import EventId
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import RoomRecord
from heliograph.core.sync.needs import marked_events, rooms_changing_deliveries, unplaced_events
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.sync.threads import inherit, parents_in
from support.builders import ME, ROOM, make_facts
from support.reading_history import MOST, History, Told, draw_history, is_locked

T = TypeVar("T")
NO_KEY = Locked(Reason.NO_KEY, RoomKey(ROOM, "session"))
LOUD = Ruleset.parse({"override": [{"rule_id": "all", "enabled": True, "default": False, "actions": ["notify"]}]})
FEW = 300


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a method of the fake ledger, which waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


class Reader:
    """Takes the syncs of one history as the planner does, over the ledger in memory."""

    def __init__(self, history: History, reach: int) -> None:
        self._history = history
        self._reach = reach
        self.ledger = FakeLedger()

    def take(self, told: Told) -> None:
        rooms = {ROOM: RoomRecord(make_facts())}
        sync = told.sync
        changing = rooms_changing_deliveries(sync, ME, rooms)
        open_deliveries = _run(self.ledger.open_deliveries(changing))
        waiting = _run(self.ledger.locked_in(changing))
        ordered = marked_events(sync, ME).union(
            (each.event_id for each in open_deliveries), (each.event_id for each in waiting)
        )
        situation = Situation(
            ME,
            Mode.BOTH,
            _run(self.ledger.account()),
            LOUD,
            rooms,
            open_deliveries=open_deliveries,
            places=_run(self.ledger.places(ordered)),
            filled=told.filled,
            locked={each.event_id: NO_KEY for each in self._history.timeline if is_locked(each)},
            waiting=waiting,
        )
        known = dict(self._history.threads) | _run(self.ledger.threads(parents_in(sync, situation)))
        sync, situation = inherit(sync, situation, {str(each): thread for each, thread in known.items()})
        decided = plan(sync, situation)
        asked: set[EventId] = set()
        while left := [each for _, each in unplaced_events(sync, situation, decided) if each not in asked]:
            asked.add(left[0])
            stretch = self._history.around(left[0], self._reach)
            places = {**situation.places, **_run(self.ledger.places(stretch))}
            stretches = {ROOM: [*situation.stretches.get(ROOM, ()), stretch]}
            situation = replace(situation, places=places, stretches=stretches)
            decided = plan(sync, situation)
        if untold := frozenset(each for _, each in unplaced_events(sync, situation, decided)):
            decided = plan(sync, replace(situation, untold=untold))
        _run(self.ledger.commit(decided, 1))

    def open(self) -> set[str]:
        return {each.event_id for each in self.ledger.deliveries.values() if each.state in OPEN_STATES}

    def locked(self) -> set[str]:
        """What is kept until its key comes."""
        return set(self.ledger.locked)

    def rung(self) -> set[str]:
        """What was told of and rings, whatever became of it, but for what an edit that rings took the place of."""
        told = {each.event_id for each in self.ledger.judged.values() if each.sender != ME}
        versions: dict[str, list[str]] = {}
        for event in self._history.timeline:
            if event.event_id in told:
                versions.setdefault(event.replaces or event.event_id, []).append(event.event_id)
        return {each[-1] for each in versions.values()}


def _count(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("seeds") or FEW


@pytest.mark.timeout(0)
def test_what_is_unread_is_what_the_model_says(request: pytest.FixtureRequest) -> None:
    for seed in range(_count(request)):
        history = draw_history(seed, has_hidden=False)
        reader = Reader(history, MOST)
        for told in history.told:
            reader.take(told)
            unread = reader.rung() - told.read
            assert reader.open() == unread, f"seed {seed}, {told.sync.next_batch}"
            locked = {each.event_id for each in history.timeline if is_locked(each)}
            assert reader.locked() == unread & locked, f"seed {seed}, {told.sync.next_batch}"


@pytest.mark.timeout(0)
def test_where_the_homeserver_tells_little_nothing_counts_as_read_that_is_not(request: pytest.FixtureRequest) -> None:
    for seed in range(_count(request)):
        history = draw_history(seed, has_hidden=True)
        reader = Reader(history, 1 + seed % 4)
        for told in history.told:
            reader.take(told)
            assert reader.open() >= reader.rung() - told.read, f"seed {seed}, {told.sync.next_batch}"
