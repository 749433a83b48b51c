"""Whatever is done in whatever order, the ledger on disk tells what the one in memory tells."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fakes.ledger import FakeLedger
from heliograph.core.delivery import Move
from heliograph.core.events import AccountData
from heliograph.core.notification import Popup
from heliograph.core.record import (
    UNLISTED,
    Agenda,
    Change,
    Decision,
    Delivery,
    Edit,
    Judged,
    Plan,
    PopupRecord,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.ports.ledger import Ledger, Settlement
from heliograph.store.ledger import SqliteLedger
from support.builders import ALICE, BOB, make_content, make_delivery, make_facts

T = TypeVar("T")

EVENTS = [f"$event{serial}" for serial in range(8)]
ROOMS = ["!one:x", "!two:x"]
KEYS = [*ROOMS, "summary:$event0"]
TIMES = st.integers(0, 40)

events = st.sampled_from(EVENTS)
room_ids = st.sampled_from(ROOMS)
judged = st.builds(Judged, events, room_ids, st.sampled_from(Decision), st.sampled_from(["why", UNLISTED]))
deliveries = st.builds(make_delivery, events, room_id=room_ids, due_ms=TIMES, text=st.text(max_size=3))
changes = st.one_of(
    st.builds(Withdrawal, events, st.just("gone")),
    st.builds(Edit, events, st.text(max_size=3)),
    st.builds(Rewrite, events, st.builds(make_content, st.text(max_size=3))),
)
names = st.dictionaries(st.sampled_from([ALICE, BOB, "@carol:x"]), st.sampled_from(["", "A", "B"]), max_size=3)
records = st.one_of(
    st.builds(RoomRecord, st.builds(RoomFacts, room_ids), st.integers(0, 3)),
    st.builds(
        RoomRecord,
        st.builds(make_facts, room_ids, names=names, heroes=st.sampled_from([(), (BOB,)]), inviter=st.none()),
    ),
)
plans = st.builds(
    Plan,
    st.sampled_from(["s1", "s2"]),
    judged=st.lists(judged, max_size=4).map(tuple),
    deliveries=st.lists(deliveries, max_size=4).map(tuple),
    rejudged=st.lists(judged, max_size=2).map(tuple),
    changes=st.lists(changes, max_size=3).map(tuple),
    rooms=st.lists(records, max_size=2).map(tuple),
    account_data=st.builds(AccountData, is_silenced=st.one_of(st.none(), st.booleans())),
    timelines=st.lists(st.lists(events, unique=True, max_size=4).map(tuple), max_size=2).map(tuple),
    has_counted=st.booleans(),
)
popups = st.builds(
    PopupRecord,
    st.sampled_from(KEYS),
    st.builds(Popup, st.sampled_from([":1.1", ":1.2"]), st.integers(1, 3)),
    st.sampled_from(["d1", "d2"]),
    st.booleans(),
)
settlements = st.builds(Settlement, events, st.sampled_from(Move), TIMES, st.sampled_from(["", "why"]))


def comparable(answer: Any) -> Any:
    """An answer without positions: their order is promised, the numbers are not."""
    match answer:
        case [Delivery(), *_]:
            return [replace(delivery, position=0) for delivery in answer]
        case Agenda():
            return replace(answer, deliveries=tuple(replace(each, position=0) for each in answer.deliveries))
        case dict() if answer.keys() <= set(EVENTS):
            return sorted(answer, key=answer.__getitem__)
    return answer


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self._fake = FakeLedger()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _both(self, name: str, *arguments: Any, **options: Any) -> None:
        ledgers: list[Ledger] = [self._fake, self._real]
        expected, found = (self._run(getattr(ledger, name)(*arguments, **options)) for ledger in ledgers)
        assert comparable(found) == comparable(expected), name

    @initialize()
    def open(self) -> None:
        self._real = self._run(SqliteLedger.open(Path(self._folder.name)))

    @rule(plan=plans, now_ms=TIMES)
    def commit(self, plan: Plan, now_ms: int) -> None:
        self._both("commit", plan, now_ms)

    @rule(changed=st.lists(changes, max_size=3))
    def change(self, changed: list[Change]) -> None:
        self._both("change", changed)

    @rule(
        moves=st.lists(settlements, max_size=4),
        shown=st.one_of(st.none(), popups),
        closed=st.one_of(st.none(), st.sampled_from(KEYS)),
    )
    def settle(self, moves: list[Settlement], shown: PopupRecord | None, closed: str | None) -> None:
        self._both("settle", moves, shown=shown, closed=closed)

    @rule(now_ms=TIMES, popup=popups)
    def show_all_that_is_due(self, now_ms: int, popup: PopupRecord) -> None:
        due = self._run(self._fake.agenda(now_ms)).deliveries
        self._both("agenda", now_ms)
        self._both("settle", [Settlement(each.event_id, Move.SHOWN) for each in due], shown=popup)

    @rule(server=st.sampled_from([":1.1", ":1.2", None]), is_shown_again=st.booleans())
    def forget_popup_ids(self, server: str | None, is_shown_again: bool) -> None:
        self._both("forget_popup_ids", server, is_shown_again=is_shown_again)

    @rule(before_ms=TIMES)
    def prune(self, before_ms: int) -> None:
        self._both("prune", before_ms)

    @rule(with_unread=st.booleans())
    def erase_history(self, with_unread: bool) -> None:
        self._both("erase_history", with_unread=with_unread)

    @rule()
    def look_for_the_order(self) -> None:
        self._both("places", EVENTS)
        self._both("threads", EVENTS)

    @rule()
    def open_again(self) -> None:
        self._both("agenda", 100)  # what changed since is not kept over a restart
        self._run(self._real.close())
        self.open()

    @invariant()
    def both_tell_the_same(self) -> None:
        self._both("account")
        self._both("counts")
        self._both("popups")
        self._both("open_deliveries", ROOMS)
        self._both("rooms_with_open_deliveries")
        self._both("unread", 2)
        # Twice, since answers are kept: what was kept in the turn before must not be told after a change.
        for _ in range(2):
            self._both("unread")
            self._both("rooms", ROOMS, [BOB])
        self._both("positions", EVENTS)
        self._both("rooms", ROOMS, [ALICE])
        for key in KEYS:
            self._both("shown_in", key)

    def teardown(self) -> None:
        self._run(self._real.close())
        self._runner.close()
        self._folder.cleanup()


TestLedgerMachine = pytest.mark.timeout(600)(LedgerMachine.TestCase)
TestLedgerMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
