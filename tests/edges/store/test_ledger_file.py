"""What is particular to the ledger on disk: its file, its folder, its versions, its bounds."""

# ruff: noqa: ASYNC240  files are what these tests are about

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.ledgers import make_plan
from heliograph.core.delivery import Move, State
from heliograph.core.events import AccountData
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.notification import Popup
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.record import AccountState, Decision, Delivery, Judged, Plan, PopupRecord, RoomRecord, Withdrawal
from heliograph.core.room import RoomFacts
from heliograph.errors import StateError, StorageError
from heliograph.ports.ledger import Settlement
from heliograph.store import rooms
from heliograph.store.ledger import MIGRATIONS, SqliteLedger
from heliograph.store.reader import open_readonly
from heliograph.system.sqlite import Database
from support.builders import ALICE, BOB, ME, ROOM, make_content, make_delivery, make_facts

WRITTEN_BY = Path(__file__).parent / "written_by"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "@me:example.org"


@pytest.fixture
async def ledger(folder: Path) -> AsyncIterator[SqliteLedger]:
    ledger = await SqliteLedger.open(folder)
    yield ledger
    await ledger.close()


async def test_the_folder_and_its_files_are_for_their_owner_alone(ledger: SqliteLedger, folder: Path) -> None:
    await ledger.commit(Plan("s2"), 1)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ["lock", "ledger.db", "ledger.db-wal", "ledger.db-shm"], 0o600
    )


async def test_a_folder_that_others_could_read_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)

    await (await SqliteLedger.open(folder)).close()

    assert folder.stat().st_mode & 0o777 == 0o700


async def test_what_was_committed_is_there_after_opening_again(ledger: SqliteLedger, folder: Path) -> None:
    await ledger.commit(Plan("s2", deliveries=(make_delivery("$a"),), rooms=(RoomRecord(make_facts()),)), 1)
    due = (await ledger.agenda(1)).deliveries
    await ledger.close()

    again = await SqliteLedger.open(folder)

    assert (await again.account()).next_batch == "s2"
    assert (await again.agenda(1)).deliveries == due
    assert (await again.rooms([ROOM], [ALICE, BOB]))[ROOM].facts == make_facts()
    await again.close()


@pytest.mark.parametrize("with_unread", [False, True])
async def test_nothing_of_a_settled_messages_text_stays_in_the_file(
    with_unread: bool, ledger: SqliteLedger, folder: Path
) -> None:
    secret = "meet me at the old mill"
    deliveries = tuple(make_delivery(f"${serial}", text=f"{secret} {serial}") for serial in range(30))
    await ledger.commit(Plan("s2", deliveries=deliveries), 1)
    await ledger.settle(
        [Settlement(each.event_id, Move.SHOWN) for each in deliveries], shown=PopupRecord(ROOM, Popup("s", 1), "d")
    )
    moves = (Move.OPENED, Move.DISMISSED if with_unread else Move.OPENED, Move.WITHDRAWN)
    await ledger.settle(
        [Settlement(each.event_id, moves[serial % 3]) for serial, each in enumerate(deliveries)], closed=ROOM
    )
    if with_unread:
        await ledger.erase_history(with_unread=True)
    await ledger.close()

    assert [path.name for path in folder.iterdir() if secret.encode() in path.read_bytes()] == []
    with sqlite3.connect(folder / "ledger.db") as db:
        kept = db.execute("SELECT DISTINCT room_title, sender_name, text, popup_key FROM deliveries").fetchall()
    db.close()
    assert kept == ([] if with_unread else [(None, None, None, None)])


async def test_a_lone_surrogate_is_kept_as_a_question_mark(ledger: SqliteLedger) -> None:
    await ledger.commit(Plan("s2", deliveries=(make_delivery("$a", text="a\ud800b"),)), 1)

    (delivery,) = (await ledger.agenda(1)).deliveries
    assert delivery.content == make_content("a?b")


async def test_names_are_bounded_however_recent(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_NAMES", 3)
    for serial in range(6):
        facts = make_facts(names={f"@user{serial}:x": f"User {serial}"}, heroes=("@user0:x",))
        await ledger.commit(Plan(f"s{serial}", rooms=(RoomRecord(facts),)), serial)

    await ledger.prune(0)

    names = (await ledger.rooms([ROOM], [UserId(f"@user{serial}:x") for serial in range(6)]))[ROOM].facts.names
    assert set(names) == {"@user0:x", "@user4:x", "@user5:x"}


@pytest.mark.expected_log("The facts of !room:example.org in the ledger cannot be read and count ")
@pytest.mark.expected_log("The ledger's push_rules cannot be read and count as unknown")
async def test_facts_that_cannot_be_read_count_as_unknown(ledger: SqliteLedger, folder: Path) -> None:
    record = RoomRecord(make_facts(names={}), invite_serial=2)
    await ledger.commit(Plan("s2", rooms=(record,), account_data=AccountData(push_rules={"global": {}})), 1)
    with sqlite3.connect(folder / "ledger.db") as db:
        db.execute("UPDATE rooms SET facts = '{'")
        db.execute("UPDATE account_data SET content = '['")
    db.close()

    assert await ledger.rooms([ROOM], [ALICE]) == {ROOM: RoomRecord(RoomFacts(ROOM), invite_serial=2)}
    assert (await ledger.account()).push_rules is None


@pytest.mark.parametrize(
    ("facts", "is_left"),
    [
        ("{}", True),
        ('{"is_complete":false,"heroes":[],"creators":[],"name":null,"power_levels":null}', True),
        ('{"unheard_of":null}', False),
        ('{"name":"[]"}', False),
        ('{"is_encrypted":true}', False),
        ('{"power_levels":{}}', False),
        ('["of another shape"]', False),
        ("[]", False),
        ("{", False),
    ],
)
async def test_a_room_is_forgotten_once_nothing_is_known_of_it_by_whichever_version(
    ledger: SqliteLedger, folder: Path, facts: str, is_left: bool
) -> None:
    await ledger.commit(Plan("s2", rooms=(RoomRecord(make_facts(names={})),)), 1)
    with sqlite3.connect(folder / "ledger.db") as db:
        db.execute("UPDATE rooms SET facts = ?", (facts,))
    await ledger.prune(0)
    assert (db.execute("SELECT count(*) FROM rooms").fetchone() == (0,)) is is_left
    db.close()


async def test_a_ledger_is_read_beside_the_daemon_that_has_it(ledger: SqliteLedger, folder: Path) -> None:
    reader = await open_readonly(folder)
    await ledger.commit(Plan("s2", deliveries=(make_delivery("$a"),)), 7)

    assert await reader.account() == AccountState(next_batch="s2", last_sync_ms=7)
    assert await reader.counts() == {state.value: int(state is State.PENDING) for state in State}
    await reader.close()


async def test_a_ledger_is_read_while_no_daemon_runs(folder: Path) -> None:
    ledger = await SqliteLedger.open(folder)
    await ledger.commit(Plan("s2"), 1)
    await ledger.close()

    reader = await open_readonly(folder)

    assert (await reader.account()).next_batch == "s2"
    await reader.close()


async def test_reading_an_account_that_never_ran_says_so(folder: Path) -> None:
    with pytest.raises(StateError, match="There is no") as caught:
        await open_readonly(folder)

    assert "heliograph run" in caught.value.hint
    assert not folder.exists()


async def test_a_closed_ledger_is_a_storage_error(ledger: SqliteLedger) -> None:
    await ledger.close()

    with pytest.raises(StorageError):
        await ledger.commit(Plan("s2"), 1)


# Versions


def schema(path: Path) -> list[tuple[str, str]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_every_earlier_version_becomes_the_present_one(version: int, folder: Path, tmp_path: Path) -> None:
    await (await SqliteLedger.open(tmp_path / "fresh")).close()
    folder.mkdir(parents=True)
    await (await Database.open(folder / "ledger.db", MIGRATIONS[:version])).close()

    await (await SqliteLedger.open(folder)).close()

    assert schema(folder / "ledger.db") == schema(tmp_path / "fresh" / "ledger.db")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_what_every_version_wrote_is_still_read(version: int, folder: Path) -> None:
    """`written_by/<version>.sql` is what that version left behind; it never changes once the version is released."""
    folder.mkdir(parents=True)
    database = await Database.open(folder / "ledger.db", MIGRATIONS[:version])
    rows = (WRITTEN_BY / f"{version}.sql").read_text()
    await database.transaction(lambda db: [db.execute(row) for row in rows.split(";\n") if row.strip()])
    await database.close()

    ledger = await SqliteLedger.open(folder)

    assert await ledger.account() == AccountState(
        next_batch="s72594_4483",
        push_rules={"global": {"override": [{"rule_id": ".m.rule.master", "enabled": False}]}},
        direct_rooms=frozenset({RoomId("!direct:example.org")}),
        ignored_users=frozenset({BOB}),
        is_silenced=True,
        is_pusher_enabled=False,
        last_sync_ms=1_700_000_000_123,
        switched_off=frozenset({("org.example.phone", "phone-key")} if version >= 3 else ()),
        fallback=("org.example.fallback", "fallback-key") if version >= 3 else None,
        has_counted=version >= 10,
    )
    assert await ledger.rooms([ROOM], [ALICE]) == {
        ROOM: RoomRecord(
            RoomFacts(
                room_id=ROOM,
                is_complete=True,
                name="Lunch",
                is_encrypted=True,
                room_version="12",
                creators=frozenset({ALICE}),
                power_levels={"users": {ALICE: 100}},
                joined_member_count=5,
                heroes=(BOB,),
                own_display_name="Me",
                names={ALICE: "Alice", BOB: ""},
                avatars={ALICE: "mxc://example.org/alice"} if version >= 6 else {},
            ),
            invite_serial=1,
        )
    }
    content = make_content("hello", is_highlight=True, sound="default")
    threaded = content
    if version >= 6:
        content = replace(content, markup="<b>hello</b>", avatar="mxc://example.org/alice")
        threaded = replace(content, thread="Tea")
    assert await ledger.open_deliveries([ROOM]) == [
        Delivery(
            EventId("$shown"),
            ROOM,
            ALICE,
            content,
            edits=EventId("$edited") if version >= 11 else None,
            state=State.SHOWN,
            position=3,
            popup_key=ROOM,
        ),
        Delivery(
            EventId("$pending"),
            ROOM,
            ALICE,
            threaded,
            EventId("$root"),
            position=4,
            attempts=2,
            due_ms=99,
            why="no server",
        ),
    ]
    assert await ledger.popups() == [PopupRecord(ROOM, Popup(":1.7", 42), "digest", is_stale=True)]
    assert await ledger.positions([EventId("$own"), EventId("$settled"), EventId("$shown"), EventId("$pending")]) == {
        "$own": 1,
        "$settled": 2,
        "$shown": 3,
        "$pending": 4,
    }
    # Before version 10 nothing else than the position told the order.
    places = {"$own": 7, "$shown": 9} if version >= 10 else {"$own": 1, "$shown": 3, "$pending": 4}
    assert await ledger.places([EventId("$own"), EventId("$shown"), EventId("$pending")]) == places
    assert await ledger.mutes() == [TimedMute(ROOM, ROOM, 1_700_003_600_000, was_there=True)][: max(0, version - 4)]
    await ledger.close()


async def test_a_ledger_from_a_newer_version_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    await (await Database.open(folder / "ledger.db", (*MIGRATIONS, "CREATE TABLE later (x);"))).close()

    with pytest.raises(StateError, match="newer"):
        await SqliteLedger.open(folder)
    with pytest.raises(StateError, match="newer"):
        await open_readonly(folder)


# A commit that the disk refuses


async def test_a_refused_commit_keeps_nothing_and_the_next_one_works(ledger: SqliteLedger) -> None:
    await ledger.commit(Plan("s2", deliveries=(make_delivery("$a"),)), 1)
    await ledger._database.transaction(lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
    large = Plan(
        "s3",
        judged=tuple(Judged(EventId(f"$b{serial}"), ROOM, Decision.RING, "x" * 500) for serial in range(500)),
        deliveries=tuple(make_delivery(f"$b{serial}") for serial in range(500)),
        changes=(Withdrawal(EventId("$a"), "read elsewhere"),),
    )

    with pytest.raises(StorageError, match="full"):
        await ledger.commit(large, 2)

    assert (await ledger.account()).next_batch == "s2"
    assert [each.event_id for each in (await ledger.agenda(9)).deliveries] == ["$a"]
    await ledger._database.transaction(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    assert (await ledger.commit(large, 3)).new == 500


async def test_a_reader_tells_of_every_room_with_the_names_that_name_it(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path)
    lunch = make_facts("!lunch:x")
    direct = make_facts("!direct:x", name=None, heroes=(ALICE,), joined_member_count=2)
    await ledger.commit(Plan("s2", rooms=(RoomRecord(lunch), RoomRecord(direct))), 1)
    reader = await open_readonly(tmp_path)
    titles = {record.facts.room_id: record.facts.title(ME) for record in await reader.rooms()}
    await reader.close()
    await ledger.close()
    assert titles == {"!lunch:x": "Lunch", "!direct:x": "Alice"}


async def test_what_no_transaction_has_changed_is_not_read_again(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = Database.read

    async def count(self: Database, work: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, work)

    await ledger.commit(make_plan("$a", rooms=(RoomRecord(make_facts(names={ALICE: "Alice"})),)), 1)
    monkeypatch.setattr(Database, "read", count)
    for _ in range(3):
        await ledger.unread()
        await ledger.rooms([ROOM], [ALICE])
    assert reads == 2
    # A plain message changes what is unread, and no room.
    await ledger.commit(make_plan("$b"), 2)
    assert [each.unread for each in await ledger.unread()] == [2]
    await ledger.rooms([ROOM], [ALICE])
    assert reads == 3
    await ledger.commit(make_plan(rooms=(RoomRecord(make_facts(names={ALICE: "Alicia"})),)), 3)
    assert (await ledger.rooms([ROOM], [ALICE]))[ROOM].facts.names == {ALICE: "Alicia"}


async def test_whoever_changes_an_answer_about_rooms_changes_only_his_own(ledger: SqliteLedger) -> None:
    await ledger.commit(make_plan(rooms=(RoomRecord(make_facts()),)), 1)
    (await ledger.rooms([ROOM], [])).clear()
    assert list(await ledger.rooms([ROOM], [])) == [ROOM]
