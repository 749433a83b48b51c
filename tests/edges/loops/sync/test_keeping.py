"""What of a sync the ledger on disk refuses: it alone is given up, and the rest of the sync is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.encryption import FakeEncryption
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData
from heliograph.core.ids import EventId, RoomId
from heliograph.core.record import UNKEPT, Decision, Delivery, Judged, LockedEvent, Plan, RoomRecord, Withdrawal
from heliograph.core.room import RoomFacts
from heliograph.core.suspects import TRIES
from heliograph.errors import Unstorable
from heliograph.loops.sync import keeping as keeping_module
from heliograph.loops.sync.keeping import Keeping
from heliograph.ports.ledger import Committed
from heliograph.store.ledger import LEDGER_NAME, SqliteLedger
from heliograph.store.reader import open_readonly
from support.builders import ROOM, make_delivery, make_encrypted, make_event, make_facts

OTHER = RoomId("!other:example.org")

pytestmark = pytest.mark.expected_log("cannot be kept for a fault of our own", times=(1, None))


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = await SqliteLedger.open(tmp_path)
    yield ledger
    await ledger.close()


def refuse(folder: Path, what: str, when: str) -> None:
    """From now on the ledger refuses to insert or update such rows."""
    with sqlite3.connect(folder / LEDGER_NAME) as db:
        for verb in ("INSERT", "UPDATE"):
            db.execute(
                f"CREATE TRIGGER refuse_{verb} BEFORE {verb} ON {what} WHEN {when} BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
    db.close()


def judged(delivery: Delivery) -> Judged:
    return Judged(delivery.event_id, ROOM, Decision.RING, ".m.rule.message")


def make_plan(*texts: str, **parts: object) -> Plan:
    """Rings for each of these texts, which name their events, too."""
    deliveries = tuple(make_delivery(f"${text}", text=text) for text in texts)
    return Plan("s2", judged=tuple(map(judged, deliveries)), deliveries=deliveries, **parts)  # type: ignore[arg-type]


async def keep(ledger: SqliteLedger, plan: Plan, told: list[tuple[str, str]]) -> tuple[Plan, Committed]:
    """As often as it takes."""
    keeping = Keeping(ledger, FakeEncryption(), lambda title, hint: told.append((title, hint)))
    for _ in range(TRIES - 1):
        with pytest.raises(Unstorable):
            await keeping.commit(plan, 1)
    return await keeping.commit(plan, 1)


async def texts(ledger: SqliteLedger) -> list[str]:
    return [each.content.text for each in (await ledger.agenda(1)).deliveries if each.content is not None]


async def test_one_message_among_many_is_given_up_alone_with_a_reason(ledger: SqliteLedger, tmp_path: Path) -> None:
    refuse(tmp_path, "deliveries", "NEW.text = 'm7'")
    told: list[tuple[str, str]] = []
    decided, committed = await keep(ledger, make_plan(*(f"m{serial}" for serial in range(20))), told)

    assert await texts(ledger) == [f"m{serial}" for serial in range(20) if serial != 7]
    assert committed.new == len(decided.deliveries) == 19
    assert (await ledger.account()).next_batch == "s2"
    ((title, hint),) = told
    assert title == "A message could not be kept"
    assert "heliograph explain $m7" in hint
    reader = await open_readonly(tmp_path)
    record = await reader.event(EventId("$m7"))
    await reader.close()
    assert record is not None
    assert (record.judged.decision, record.judged.reason) == (Decision.MALFORMED, UNKEPT)


async def test_several_that_are_refused_are_told_of_together(ledger: SqliteLedger, tmp_path: Path) -> None:
    refuse(tmp_path, "deliveries", "NEW.text LIKE 'bad%'")
    told: list[tuple[str, str]] = []
    await keep(ledger, make_plan("bad1", "good", "bad2"), told)
    assert await texts(ledger) == ["good"]
    assert [title for title, _ in told] == ["2 messages could not be kept"]


@pytest.mark.parametrize(
    ("table", "when", "what"),
    [
        ("rooms", "NEW.room_id = '!other:example.org'", "what is known of !other:example.org"),
        ("deliveries", "NEW.state = 'cancelled'", "a change of $old"),
        ("locked", "1", "until its key comes"),
        ("account_data", "NEW.name = 'direct_rooms'", "direct rooms"),
    ],
)
async def test_one_room_change_key_or_account_data_is_given_up_alone_and_named(
    ledger: SqliteLedger, tmp_path: Path, table: str, when: str, what: str
) -> None:
    await ledger.commit(Plan("s1", deliveries=(make_delivery("$old", text="old"),)), 1)
    refuse(tmp_path, table, when)
    encrypted = make_encrypted(make_event("x", room_id=ROOM))
    plan = make_plan(
        "new",
        changes=(Withdrawal(EventId("$old"), "read elsewhere"),),
        rooms=(RoomRecord(make_facts()), RoomRecord(RoomFacts(OTHER, name="Other"))),
        locked=(LockedEvent(encrypted, RoomKey(ROOM, "session")),),
        unlocked=(EventId("$long-ago"),),
        account_data=AccountData(direct_rooms=frozenset({ROOM}), is_silenced=True),
    )
    told: list[tuple[str, str]] = []
    decided, _ = await keep(ledger, plan, told)

    ((title, hint),) = told
    assert title == "Some of what came could not be kept"
    assert what in hint
    assert await texts(ledger) == (["old", "new"] if table == "deliveries" else ["new"])
    account = await ledger.account()
    assert (account.next_batch, account.is_silenced) == ("s2", True)
    assert account.direct_rooms == (frozenset() if table == "account_data" else {ROOM})
    assert set(await ledger.rooms([ROOM, OTHER], ())) == ({ROOM} if table == "rooms" else {ROOM, OTHER})
    assert decided.account_data.is_silenced


async def test_where_all_is_refused_it_is_given_up_without_end_of_tries(
    ledger: SqliteLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_module, "MOST_COMMITS", 5)
    refuse(tmp_path, "deliveries", "1")
    told: list[tuple[str, str]] = []
    await keep(ledger, make_plan(*(f"m{serial}" for serial in range(20))), told)
    assert (await ledger.account()).next_batch == "s2"
    assert [title for title, _ in told] == ["20 messages could not be kept"]
