"""A row of the ledger that cannot be read: it is set aside alone, said in the log, and all others are read."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.core.delivery import Move
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Popup
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.record import Decision, Judged, LockedEvent, Plan, PopupRecord, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.errors import StateError
from heliograph.ports.ledger import Settlement
from heliograph.store.ledger import LEDGER_NAME, SqliteLedger
from heliograph.store.reader import open_readonly
from heliograph.store.set_aside import MOST
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_encrypted, make_event, make_facts

OTHER = RoomId("!other:example.org")
LOCKED = [make_encrypted(make_event(text, room_id=ROOM)) for text in ("one", "two")]
KEY = RoomKey(ROOM, "session")

GARBAGE = {
    "state": "UPDATE deliveries SET state = 'nonsense' WHERE event_id = '$a'",
    "category": "UPDATE deliveries SET category = 'nonsense' WHERE event_id = '$a'",
    "blob for a text": "UPDATE deliveries SET text = x'00ff' WHERE event_id = '$a'",
    "text for a number": "UPDATE deliveries SET due_ms = 'soon' WHERE event_id = '$a'",
    "text for a time": "UPDATE deliveries SET rings_until_ms = 'soon' WHERE event_id = '$a'",
    "no name": "UPDATE deliveries SET sender_name = NULL WHERE event_id = '$a'",
    "blob for a room": "UPDATE deliveries SET room_id = x'00ff' WHERE event_id = '$a'",
    "blob for an id": "UPDATE deliveries SET event_id = x'00ff' WHERE event_id = '$a'",
    "decision": "UPDATE judged SET decision = 'nonsense' WHERE event_id = '$a'",
    "time of judgement": "UPDATE judged SET judged_ms = 'then' WHERE event_id = '$a'",
    "popup's id": f"UPDATE popups SET popup_id = 'first' WHERE key = '{ROOM}'",
    "impossible popup": f"UPDATE popups SET popup_id = -1 WHERE key = '{ROOM}'",
    "facts": f"UPDATE rooms SET facts = '{{' WHERE room_id = '{ROOM}'",
    "shape of facts": f"UPDATE rooms SET facts = '[]' WHERE room_id = '{ROOM}'",
    "fact": f"UPDATE rooms SET facts = '{{\"heroes\": 5}}' WHERE room_id = '{ROOM}'",
    "null for a fact": f"UPDATE rooms SET facts = '{{\"heroes\": null}}' WHERE room_id = '{ROOM}'",
    "blob for facts": f"UPDATE rooms SET facts = x'00' WHERE room_id = '{ROOM}'",
    "serial": f"UPDATE rooms SET invite_serial = 'x' WHERE room_id = '{ROOM}'",
    "name": f"UPDATE members SET display_name = x'00' WHERE user_id = '{ALICE}'",
    "kept event": f"UPDATE locked SET event = '{{}}' WHERE event_id = '{LOCKED[0].event_id}'",
    "kept event's text": f"UPDATE locked SET event = '!' WHERE event_id = '{LOCKED[0].event_id}'",
    "mute": f"UPDATE mutes SET until_ms = 'never' WHERE room_id = '{ROOM}'",
    "pusher": "UPDATE switched_off SET pushkey = x'00' WHERE app_id = 'org.example.phone'",
    "account data": "UPDATE account_data SET content = '{' WHERE name = 'direct_rooms'",
    "shape of account data": "UPDATE account_data SET content = '5' WHERE name = 'direct_rooms'",
    "item of account data": "UPDATE account_data SET content = '[5]' WHERE name = 'direct_rooms'",
    "time of the last sync": "UPDATE account SET last_sync_ms = 'then'",
    "last place": "UPDATE account SET last_place = 'x'",
    "place": "UPDATE judged SET place = 'x' WHERE event_id = '$a'",
    "no account": "DELETE FROM account",
}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    """With two of everything."""
    ledger = await SqliteLedger.open(tmp_path)
    await ledger.commit(
        Plan(
            "s2",
            deliveries=(
                make_delivery("$a", text="one"),
                make_delivery("$b", room_id=OTHER, text="two"),
                make_delivery("$shown", text="shown"),
            ),
            rooms=(RoomRecord(make_facts()), RoomRecord(RoomFacts(OTHER, name="Other"), invite_serial=3)),
            judged=tuple(Judged(event.event_id, ROOM, Decision.SILENT, "no rule matched") for event in LOCKED),
            locked=tuple(LockedEvent(event, KEY) for event in LOCKED),
            account_data=AccountData(direct_rooms=frozenset({ROOM}), ignored_users=frozenset({BOB})),
        ),
        7,
    )
    for serial, key in enumerate((ROOM, OTHER)):
        await ledger.settle([], shown=PopupRecord(key, Popup("server", serial + 1), "digest"))
        await ledger.keep_mute(TimedMute(RoomId(key), key, 1000 + serial))
    await ledger.settle([Settlement(EventId("$shown"), Move.SHOWN)], shown=PopupRecord(ROOM, Popup("server", 1), "d"))
    await ledger.set_switched_off({("org.example.phone", "phone"), ("org.example.tablet", "tablet")})
    yield ledger
    await ledger.close()


def change(folder: Path, statement: str) -> None:
    """Beside the daemon, as a disk or a fault would."""
    with sqlite3.connect(folder / LEDGER_NAME) as db:
        db.execute(statement)
    db.close()


async def use(ledger: SqliteLedger) -> None:
    """All that the daemon reads at its start and in each round, and what it writes; the rest is all there."""
    account = await ledger.account()
    assert account.ignored_users == {BOB}
    assert ("org.example.tablet", "tablet") in account.switched_off
    agenda = await ledger.agenda(2**40)
    assert "two" in {each.content.text for each in agenda.deliveries if each.content is not None}
    assert OTHER in {popup.key for popup in agenda.popups}
    await ledger.popups()
    await ledger.shown_in(ROOM)
    assert OTHER in await ledger.rooms_with_open_deliveries()
    assert [each.event_id for each in await ledger.open_deliveries([ROOM, OTHER])][-2:-1] == ["$b"]
    assert (await ledger.rooms([ROOM, OTHER], [ALICE]))[OTHER].invite_serial == 3
    assert LOCKED[1].event_id in {each.event_id for each in await ledger.locked_events(None)}
    assert LOCKED[1].event_id in {each.event_id for each in await ledger.locked_in([ROOM])}
    assert OTHER in {each.room_id for each in await ledger.mutes()}
    assert "$b" in await ledger.positions([EventId("$a"), EventId("$b")])
    assert OTHER in {each.room_id for each in await ledger.unread(5)}
    assert (await ledger.counts())["pending"] >= 1
    await ledger.settle([Settlement(EventId("$a"), Move.OPENED)])
    await ledger.prune(0)
    await ledger.commit(Plan("s3", deliveries=(make_delivery("$c", text="three"),)), 8)
    assert (await ledger.account()).next_batch == "s3"


@pytest.mark.expected_log("Set aside in the ledger", times=(0, None))
@pytest.mark.expected_log("cannot be read and count as unknown|in a way that cannot be read", times=(0, None))
@pytest.mark.parametrize("statement", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_that_comes_while_the_daemon_runs_holds_up_nothing_else(
    ledger: SqliteLedger, tmp_path: Path, statement: str
) -> None:
    change(tmp_path, statement)
    await use(ledger)


@pytest.mark.expected_log("Set aside in the ledger, since it cannot be read", times=(1, None))
@pytest.mark.parametrize("statement", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_set_aside_at_the_start_and_said(ledger: SqliteLedger, tmp_path: Path, statement: str) -> None:
    await ledger.close()
    change(tmp_path, statement)
    reader = await open_readonly(tmp_path)
    (found,) = await reader.unreadable()
    await reader.close()

    again = await SqliteLedger.open(tmp_path)
    await use(again)
    await again.close()

    reader = await open_readonly(tmp_path)
    assert await reader.unreadable() == []
    aside = await reader.set_aside()
    await reader.close()
    assert [(each.table, each.why) for each in aside] == ([] if found.key == () else [(found.table, found.why)])


async def test_a_sound_ledger_has_nothing_to_set_aside(ledger: SqliteLedger, tmp_path: Path) -> None:
    reader = await open_readonly(tmp_path)
    assert (await reader.unreadable(), await reader.set_aside()) == ([], [])
    await reader.close()


@pytest.mark.expected_log("Set aside in the ledger, since it cannot be read: rooms")
async def test_a_room_whose_facts_are_unknown_keeps_its_count_of_invites(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.close()
    change(tmp_path, f"UPDATE rooms SET facts = '5' WHERE room_id = '{OTHER}'")
    again = await SqliteLedger.open(tmp_path)
    assert await again.rooms([OTHER], ()) == {OTHER: RoomRecord(RoomFacts(OTHER), invite_serial=3)}
    await again.close()


@pytest.mark.expected_log("Set aside in the ledger, since it cannot be read: deliveries", times=2)
async def test_what_was_set_aside_goes_with_the_history(ledger: SqliteLedger, tmp_path: Path) -> None:
    """It may hold what a message said."""
    for event_id in ("$a", "$b"):
        change(tmp_path, f"UPDATE deliveries SET state = 'nonsense', text = 'a secret' WHERE event_id = '{event_id}'")
        await ledger.settle([Settlement(EventId(event_id), Move.OPENED)])
        if event_id == "$a":
            await ledger.prune(2**50)
        else:
            await ledger.erase_history()
        reader = await open_readonly(tmp_path)
        assert await reader.set_aside() == []
        await reader.close()
    await ledger.close()
    assert b"a secret" not in (tmp_path / LEDGER_NAME).read_bytes()


async def test_a_command_beside_a_ledger_that_cannot_be_read_says_what_to_do(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    change(tmp_path, GARBAGE["category"])
    reader = await open_readonly(tmp_path)
    with pytest.raises(StateError, match="Something in the ledger cannot be read") as caught:
        await reader.unread(5)
    await reader.close()
    assert "sets that alone aside" in caught.value.hint


@pytest.mark.expected_log("Set aside in the ledger", times=(1, None))
async def test_only_so_many_are_kept_aside(ledger: SqliteLedger, tmp_path: Path) -> None:
    deliveries = tuple(make_delivery(f"$m{serial}", content=make_content()) for serial in range(MOST + 5))
    await ledger.commit(Plan("s3", deliveries=deliveries), 7)
    change(tmp_path, "UPDATE deliveries SET category = 'nonsense' WHERE event_id LIKE '$m%'")
    for _ in range(2):
        await ledger.close()
        ledger = await SqliteLedger.open(tmp_path)
    reader = await open_readonly(tmp_path)
    assert len(await reader.set_aside()) == MOST
    assert await reader.unreadable() == []
    await reader.close()
    await ledger.close()
