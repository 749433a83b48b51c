"""The Olm machine: what it takes, decrypts and publishes, over restarts, replays, strangers and full disks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.core.encryption.values import MEGOLM, Clear, Locked, Reason, Received, Rejected, RoomKey
from heliograph.core.ids import RoomId
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.room_keys import MOST_CANDIDATES
from heliograph.errors import StorageError, UserError
from heliograph.system.migrations import read_migrations
from support.builders import ALICE, BOB, ME, ROOM, make_event
from support.peers import NOW, Peer, bodies, device_of, open_machine, to_device_event, withheld_event

OTHER_ROOM = RoomId("!other:example.org")


@pytest.fixture
async def mine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = await open_machine(tmp_path / "mine")
    yield machine
    await machine.close()


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[Peer]:
    peer = await Peer.open(tmp_path / "alice")
    yield peer
    await peer.machine.close()


async def reopened(machine: Machine, tmp_path: Path) -> Machine:
    """As after a restart."""
    await machine.close()
    return await open_machine(tmp_path / "mine")


# Receiving


async def test_a_room_key_that_was_taken_decrypts_over_restarts(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    taken = await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    assert taken.outcomes == ()
    assert taken.new_keys == {RoomKey(ROOM, said.content["session_id"])}
    again = await reopened(mine, tmp_path)
    assert bodies(await again.decrypt([said])) == ["ahoy"]
    await again.close()


async def test_an_encrypted_to_device_event_tells_who_encrypted_it(mine: Machine, alice: Peer) -> None:
    event = await alice.to_device(mine, "m.secret.send", {"secret": "s", "request_id": "r"})
    (outcome,) = (await mine.take([event])).outcomes
    identity = alice.machine.identity
    assert outcome == Received(
        "m.secret.send", ALICE, {"secret": "s", "request_id": "r"}, identity.curve25519, identity.ed25519
    )


async def test_a_plain_to_device_event_tells_that_nobody_encrypted_it(mine: Machine) -> None:
    (outcome,) = (await mine.take([to_device_event(BOB, "m.key.verification.request", {"from_device": "B"})])).outcomes
    assert outcome == Received("m.key.verification.request", BOB, {"from_device": "B"})


async def test_what_was_taken_before_is_passed_over(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    events = [*await alice.share(mine), await alice.to_device(mine, "m.secret.send", {"secret": "s"})]
    first = await mine.take([*events, *events])
    assert len(first.outcomes) == 1
    again = await reopened(mine, tmp_path)
    assert await again.take(events) == type(first)()
    await again.close()


async def test_an_olm_message_in_another_wrapping_is_not_taken_twice(mine: Machine, alice: Peer) -> None:
    event = json.loads(await alice.to_device(mine, "m.secret.send", {"secret": "s"}))
    await mine.take([json.dumps(event).encode()])
    (outcome,) = (await mine.take([json.dumps({**event, "again": 1}).encode()])).outcomes
    assert isinstance(outcome, Rejected)


async def test_a_one_time_key_serves_once_also_over_a_restart(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    upload = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    assert upload.one_time_keys is not None
    one_time_key = dict([next(iter(upload.one_time_keys.items()))])
    outcomes: list[Received | Rejected] = []
    for number in range(2):
        peer = await Peer.open(tmp_path / f"peer{number}", device_id=f"P{number}")
        assert await peer.machine.start_sessions({device_of(mine): one_time_key})
        event = await peer.to_device(mine, "m.secret.send", {})
        mine = await reopened(mine, tmp_path)
        outcomes += (await mine.take([event])).outcomes
        await peer.machine.close()
    assert [type(each) for each in outcomes] == [Received, Rejected]
    await mine.close()


async def test_garbage_is_an_outcome_and_costs_its_neighbours_nothing(mine: Machine, alice: Peer) -> None:
    (key,) = await alice.share(mine)
    garbage = [b"{", b"[]", b'{"type": 1}', to_device_event(BOB, "m.room.encrypted", {"algorithm": "m.olm.v1"})]
    taken = await mine.take([*garbage[:2], key, *garbage[2:]])
    assert [type(each) for each in taken.outcomes] == [Rejected] * 4
    assert len(taken.new_keys) == 1


@pytest.mark.parametrize("type_", ["m.room_key", "m.forwarded_room_key", "m.secret.send", "m.dummy"])
async def test_what_must_be_secret_is_not_taken_in_clear(mine: Machine, type_: str) -> None:
    (outcome,) = (await mine.take([to_device_event(ALICE, type_, {})])).outcomes
    assert outcome == Rejected("it must come encrypted", type_, ALICE)


async def test_a_message_for_somebody_else_is_rejected(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    other = await open_machine(tmp_path / "other", device_id="E")
    event = await alice.to_device(other, "m.secret.send", {})
    (outcome,) = (await mine.take([event])).outcomes
    assert isinstance(outcome, Rejected)
    await other.close()


async def test_a_message_that_somebody_passes_on_as_their_own_is_rejected(mine: Machine, alice: Peer) -> None:
    event = json.loads(await alice.to_device(mine, "m.secret.send", {}))
    (outcome,) = (await mine.take([json.dumps({**event, "sender": BOB}).encode()])).outcomes
    assert isinstance(outcome, Rejected)
    assert outcome.sender == BOB


@pytest.mark.parametrize("type_", ["m.room_key_request", "m.room_key.withheld"])
async def test_talk_about_room_keys_is_not_told(mine: Machine, type_: str) -> None:
    content = {"code": "m.no_olm"}
    assert (await mine.take([to_device_event(ALICE, type_, content)])).outcomes == ()


async def test_forwarded_room_keys_are_not_asked_for_and_not_taken(mine: Machine, alice: Peer) -> None:
    event = await alice.to_device(mine, "m.forwarded_room_key", {"room_id": ROOM, "session_id": "x" * 43})
    taken = await mine.take([event])
    assert (taken.outcomes, taken.new_keys) == ((), frozenset())


async def test_a_room_key_under_another_name_is_rejected(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    await alice.share(mine)
    said = await alice.say("ahoy")
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "room_id": ROOM,
        "session_id": "x" * 43,
        "session_key": "AgAAAAA" + "A" * 200,
    }
    taken = await mine.take([await alice.to_device(mine, "m.room_key", content)])
    assert isinstance(taken.outcomes[0], Rejected)
    assert bodies(await mine.decrypt([said])) == [Reason.NO_KEY]


# Decrypting


async def test_a_message_whose_key_has_not_come_names_it(mine: Machine, alice: Peer) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    key = RoomKey(ROOM, said.content["session_id"])
    assert await mine.decrypt([said]) == [Locked(Reason.NO_KEY, key)]
    assert (await mine.take(keys)).new_keys == {key}
    assert bodies(await mine.decrypt([said])) == ["ahoy"]


async def test_a_withheld_key_tells_its_code_until_it_comes(mine: Machine, alice: Peer) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    session_id = said.content["session_id"]
    await mine.take([withheld_event(BOB, session_id, "m.blacklisted"), withheld_event(ALICE, session_id)])
    (locked,) = await mine.decrypt([said])
    assert isinstance(locked, Locked)
    assert (locked.reason, locked.code) == (Reason.WITHHELD, "m.unverified")
    await mine.take(keys)
    assert bodies(await mine.decrypt([said])) == ["ahoy"]


async def test_events_without_sender_key_and_device_are_decrypted(mine: Machine, alice: Peer) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    content = {name: value for name, value in said.content.items() if name not in ("sender_key", "device_id")}
    bare = make_event(type="m.room.encrypted", content=content, sender=ALICE)
    assert bodies(await mine.decrypt([bare])) == ["ahoy"]


async def test_the_same_event_again_is_read_again_but_no_other_in_its_place(
    mine: Machine, alice: Peer, tmp_path: Path
) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    replayed = make_event(type="m.room.encrypted", content=dict(said.content), sender=ALICE)
    assert bodies(await mine.decrypt([said, said, replayed])) == ["ahoy", "ahoy", Reason.REPLAYED]
    again = await reopened(mine, tmp_path)
    assert bodies(await again.decrypt([replayed, said])) == [Reason.REPLAYED, "ahoy"]
    await again.close()


async def test_a_message_in_another_room_than_it_was_made_for_is_not_read(mine: Machine, alice: Peer) -> None:
    (event,) = await alice.share(mine)
    said = await alice.say("ahoy")
    await mine.take([event])
    # Somebody who has the key gives it out for another room, too.
    exported = await exported_key(mine, alice, said.content["session_id"])
    assert await mine.import_room_key(RoomKey(OTHER_ROOM, said.content["session_id"]), exported)
    moved = make_event(type="m.room.encrypted", content=dict(said.content), sender=ALICE, room_id=OTHER_ROOM)
    assert bodies(await mine.decrypt([moved])) == [Reason.WRONG_ROOM]


async def test_a_message_that_claims_another_author_is_not_read(mine: Machine, alice: Peer) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy", sender=BOB)
    assert bodies(await mine.decrypt([said])) == [Reason.WRONG_SENDER]


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[Peer]:
    peer = await Peer.open(tmp_path / "bob", BOB)
    yield peer
    await peer.machine.close()


async def send_on(mine: Machine, alice: Peer, bob: Peer, session_id: str) -> bytes:
    """Bob sends the key that Alice made as his own."""
    session_key = await alice.machine._run(lambda engine: engine.outbound._rooms[ROOM].session.session_key)
    content = {"algorithm": MEGOLM, "room_id": ROOM, "session_id": session_id, "session_key": session_key}
    return await bob.to_device(mine, "m.room_key", content)


async def test_a_key_that_somebody_else_sent_first_does_not_displace_the_senders_own(
    mine: Machine, alice: Peer, bob: Peer, tmp_path: Path
) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    await mine.take([await send_on(mine, alice, bob, said.content["session_id"])])
    (locked,) = await mine.decrypt([said])
    assert isinstance(locked, Locked)
    assert (locked.reason, locked.may_open) == (Reason.WRONG_SENDER, True)
    assert (await mine.take(keys)).new_keys == {locked.key}
    (clear,) = await mine.decrypt([said])
    assert isinstance(clear, Clear)
    assert clear.sender_key == alice.machine.identity.curve25519
    again = await reopened(mine, tmp_path)
    assert bodies(await again.decrypt([said])) == ["ahoy"]
    await again.close()


async def test_a_crowd_that_sends_a_key_on_forgets_no_key_in_use(mine: Machine, alice: Peer) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    assert bodies(await mine.decrypt([said])) == ["ahoy"]
    key = RoomKey(ROOM, said.content["session_id"])

    def crowd(engine: Any) -> int:
        own = engine._room_keys.find(key, ALICE)
        for serial in range(2 * MOST_CANDIDATES):
            engine._room_keys.add(own.session, f"@crowd{serial}:example.org", is_from_backup=False)
        count = engine._db.execute("SELECT count(*) FROM room_keys WHERE session_id = ?", (key.session_id,))
        return int(count.fetchone()[0])

    assert await mine._run(crowd) == MOST_CANDIDATES
    assert bodies(await mine.decrypt([said])) == ["ahoy"]


def test_keys_of_earlier_versions_are_kept_with_the_places_that_they_used(tmp_path: Path) -> None:
    migrations = read_migrations("heliograph.encryption.olm")
    with contextlib.closing(sqlite3.connect(tmp_path / "crypto.db")) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.executescript("\n".join(migrations[:3]))
        db.executescript(
            f"INSERT INTO room_keys VALUES (7, '{ROOM}', 'session', x'00', '{ALICE}', 'curve', 'ed', 0, 1);"
            "INSERT INTO message_indices VALUES (3, 7, 12, '$said');"
        )
        db.executescript(f"BEGIN; {migrations[3]} COMMIT;")
        assert db.execute("SELECT id, sender, is_used FROM room_keys").fetchall() == [(7, ALICE, 1)]
        assert db.execute("SELECT * FROM message_indices").fetchall() == [(3, 7, 12, "$said")]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute(
            "INSERT INTO room_keys SELECT NULL, room_id, session_id, pickle, ?, '', '', 0, 0 FROM room_keys", (BOB,)
        )
        db.execute("DELETE FROM room_keys WHERE id = 7")
        assert db.execute("SELECT count(*) FROM message_indices").fetchone() == (0,)


async def test_a_key_that_starts_later_opens_only_what_comes_later(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    other = await open_machine(tmp_path / "other", device_id="E")
    await alice.share(other)
    before = await alice.say("before")
    (key,) = await alice.share(mine, other)
    after = await alice.say("after")
    await mine.take([key])
    outcomes = await mine.decrypt([before, after])
    assert bodies(outcomes) == [Reason.KEY_STARTS_LATER, "after"]
    assert isinstance(outcomes[0], Locked)
    assert outcomes[0].may_open
    await other.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, Reason.UNSUPPORTED),
        ({"algorithm": "m.moon.v1"}, Reason.UNSUPPORTED),
        ({"algorithm": "m.megolm.v1.aes-sha2"}, Reason.MALFORMED),
        ({"algorithm": "m.megolm.v1.aes-sha2", "session_id": 7, "ciphertext": "AAAA"}, Reason.MALFORMED),
        ({"algorithm": "m.megolm.v1.aes-sha2", "session_id": "x" * 43, "ciphertext": "?"}, Reason.MALFORMED),
        ({"algorithm": "m.megolm.v1.aes-sha2", "session_id": "x" * 43, "ciphertext": {}}, Reason.MALFORMED),
    ],
)
async def test_what_is_no_encrypted_message_says_so(mine: Machine, content: dict[str, object], reason: Reason) -> None:
    event = make_event(type="m.room.encrypted", content=content)
    assert await mine.decrypt([event]) == [Locked(reason)]


async def test_a_ciphertext_that_the_key_does_not_fit_is_broken(mine: Machine, alice: Peer) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    cipher = said.content["ciphertext"]
    spoilt = {**said.content, "ciphertext": cipher[:-1] + ("A" if cipher[-1] != "A" else "Q")}
    (outcome,) = await mine.decrypt([make_event(type="m.room.encrypted", content=spoilt, sender=ALICE)])
    assert isinstance(outcome, Locked)
    assert outcome.reason in (Reason.BROKEN, Reason.MALFORMED)
    assert not outcome.may_open


# The key backup


async def exported_key(mine: Machine, alice: Peer, session_id: str) -> dict[str, object]:
    """As the backup holds it."""
    stored = await mine._run(lambda engine: engine._room_keys.find(RoomKey(ROOM, session_id), ALICE))
    if stored is None:
        stored = await alice.machine._run(lambda engine: engine._room_keys.find(RoomKey(ROOM, session_id), ALICE))
    assert stored is not None
    return {
        "algorithm": "m.megolm.v1.aes-sha2",
        "sender_key": alice.machine.identity.curve25519,
        "sender_claimed_keys": {"ed25519": alice.machine.identity.ed25519},
        "session_key": stored.session.export_session(stored.session.first_known_index),
    }


async def test_a_key_of_the_backup_opens_what_it_fits_and_says_where_it_came_from(mine: Machine, alice: Peer) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    key = RoomKey(ROOM, said.content["session_id"])
    exported = await exported_key(mine, alice, key.session_id)
    assert not await mine.import_room_key(RoomKey(ROOM, "x" * 43), exported)
    assert await mine.import_room_key(key, exported)
    assert not await mine.import_room_key(key, exported)
    (clear,) = await mine.decrypt([said])
    assert isinstance(clear, Clear)
    assert clear.is_from_backup
    # The sender's own key proves more.
    assert (await mine.take(keys)).new_keys == frozenset()
    (clear,) = await mine.decrypt([said])
    assert isinstance(clear, Clear)
    assert not clear.is_from_backup


async def test_a_key_of_the_backup_that_starts_earlier_opens_more_and_keeps_the_author(
    mine: Machine, alice: Peer, tmp_path: Path
) -> None:
    other = await open_machine(tmp_path / "other", device_id="E")
    await alice.share(other)
    before = await alice.say("before")
    await mine.take((await alice.share(mine, other))[:1])
    exported = await exported_key(alice.machine, alice, before.content["session_id"])
    assert await mine.import_room_key(RoomKey(ROOM, before.content["session_id"]), exported)
    (clear,) = await mine.decrypt([before])
    assert isinstance(clear, Clear)
    assert not clear.is_from_backup
    await other.close()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"algorithm": "m.megolm.v1.aes-sha2"},
        {"algorithm": "m.megolm.v1.aes-sha2", "sender_key": "x" * 43, "sender_claimed_keys": {}, "session_key": "?"},
    ],
)
async def test_what_is_no_key_of_the_backup_is_not_taken(mine: Machine, content: dict[str, object]) -> None:
    assert not await mine.import_room_key(RoomKey(ROOM, "x" * 43), content)


# Publishing


async def test_keys_are_on_disk_before_they_are_published(mine: Machine, tmp_path: Path) -> None:
    upload = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    again = await reopened(mine, tmp_path)
    assert await again.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW) == upload
    await again.close()


async def test_device_keys_one_time_keys_and_a_fallback_key_are_published_signed(mine: Machine) -> None:
    upload = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    assert upload.device_keys is not None
    assert upload.one_time_keys is not None
    assert upload.fallback_keys is not None
    assert upload.device_keys["keys"]["curve25519:D"] == mine.identity.curve25519
    assert len(upload.one_time_keys) == 50
    assert len(upload.fallback_keys) == 1
    signed = [upload.device_keys, *upload.one_time_keys.values(), *upload.fallback_keys.values()]
    for each in signed:
        assert each["signatures"][ME]["ed25519:D"] == await mine.sign(each)


async def test_what_was_confirmed_is_not_published_again(mine: Machine, tmp_path: Path) -> None:
    await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    await mine.confirm_upload(is_device_published=True)
    again = await reopened(mine, tmp_path)
    assert (await again.keys_to_upload(one_time_keys=50, is_fallback_used=False, now_ms=NOW)).is_empty
    upload = await again.keys_to_upload(one_time_keys=20, is_fallback_used=False, now_ms=NOW)
    assert upload.device_keys is None
    assert upload.one_time_keys is not None
    assert len(upload.one_time_keys) == 30
    assert upload.fallback_keys is None
    await again.close()


async def test_a_device_that_the_server_has_forgotten_goes_up_again_as_the_same_device(
    mine: Machine, tmp_path: Path
) -> None:
    first = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    await mine.confirm_upload(is_device_published=True)
    await mine.forget_publication()
    again = await reopened(mine, tmp_path)
    second = await again.keys_to_upload(one_time_keys=0, is_fallback_used=True, now_ms=NOW)
    assert second.device_keys == first.device_keys
    assert second.fallback_keys is not None
    assert second.fallback_keys != first.fallback_keys
    assert not dict(second.one_time_keys or {}).keys() & dict(first.one_time_keys or {}).keys()
    # Killed before the upload is confirmed: the same keys are sent again.
    await again.forget_publication()
    assert await again.keys_to_upload(one_time_keys=0, is_fallback_used=True, now_ms=NOW) == second
    await again.confirm_upload(is_device_published=True)
    assert (await again.keys_to_upload(one_time_keys=50, is_fallback_used=True, now_ms=NOW)).is_empty
    await again.close()


async def test_a_message_by_the_fallback_key_from_before_the_server_forgot_is_still_read(
    mine: Machine, tmp_path: Path
) -> None:
    first = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    await mine.confirm_upload(is_device_published=True)
    await mine.forget_publication()
    await mine.keys_to_upload(one_time_keys=0, is_fallback_used=True, now_ms=NOW)
    peer = await Peer.open(tmp_path / "peer", device_id="P")
    assert first.fallback_keys is not None
    assert await peer.machine.start_sessions({device_of(mine): first.fallback_keys})
    (outcome,) = (await mine.take([await peer.to_device(mine, "m.secret.send", {})])).outcomes
    assert isinstance(outcome, Received)
    await peer.machine.close()


async def test_a_used_fallback_key_is_replaced_after_an_hour(mine: Machine) -> None:
    async def upload(now_ms: int) -> object:
        told = await mine.keys_to_upload(one_time_keys=50, is_fallback_used=True, now_ms=now_ms)
        await mine.confirm_upload(is_device_published=True)
        return told.fallback_keys

    first = await upload(NOW)
    assert await upload(NOW + 3_599_999) is None
    second = await upload(NOW + 3_600_000)
    assert second is not None
    assert second != first


async def test_a_message_by_the_fallback_key_is_read_again_and_again(mine: Machine, tmp_path: Path) -> None:
    upload = await mine.keys_to_upload(one_time_keys=0, is_fallback_used=False, now_ms=NOW)
    await mine.confirm_upload(is_device_published=True)
    assert upload.fallback_keys is not None
    for number in range(3):
        peer = await Peer.open(tmp_path / f"peer{number}", device_id=f"P{number}")
        assert await peer.machine.start_sessions({device_of(mine): upload.fallback_keys})
        (outcome,) = (await mine.take([await peer.to_device(mine, "m.secret.send", {"n": number})])).outcomes
        assert isinstance(outcome, Received)
        await peer.machine.close()


# Whose it is


async def test_the_state_of_another_device_is_not_used(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    await mine.take(await alice.share(mine))
    said = await alice.say("ahoy")
    await mine.keep_secret("backup", "secret")
    before = mine.identity
    await mine.close()
    new = await open_machine(tmp_path / "mine", device_id="NEW", pickle_key="another key")
    assert new.identity.curve25519 != before.curve25519
    assert await new.secret("backup") is None
    assert bodies(await new.decrypt([said])) == [Reason.NO_KEY]
    await new.close()


async def test_keys_that_the_pickle_key_does_not_open_ask_for_a_new_login(mine: Machine, tmp_path: Path) -> None:
    await mine.close()
    with pytest.raises(UserError, match="cannot be read"):
        await open_machine(tmp_path / "mine", pickle_key="another key")


async def test_no_private_key_and_no_secret_is_in_the_file_in_clear(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    await mine.keep_secret("backup", "the-secret-of-the-backup")
    await mine.take(await alice.share(mine))
    await mine.close()
    content = (tmp_path / "mine/crypto.db").read_bytes()
    assert b"the-secret-of-the-backup" not in content
    assert b"private" not in content
    assert b"signing_key" not in content


async def test_a_secret_is_kept_replaced_and_forgotten(mine: Machine, tmp_path: Path) -> None:
    await mine.keep_secret("backup", "first")
    await mine.keep_secret("backup", "second")
    again = await reopened(mine, tmp_path)
    assert await again.secret("backup") == "second"
    await again.keep_secret("backup", None)
    assert await again.secret("backup") is None
    await again.close()


# When something fails


async def test_what_a_failed_transaction_did_in_memory_is_forgotten(mine: Machine, alice: Peer, tmp_path: Path) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    with contextlib.closing(sqlite3.connect(tmp_path / "mine/crypto.db", isolation_level=None)) as blocker:
        blocker.execute("CREATE TRIGGER full BEFORE INSERT ON room_keys BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(StorageError):
            await mine.take(keys)
        assert bodies(await mine.decrypt([said])) == [Reason.NO_KEY]
        blocker.execute("DROP TRIGGER full")
    # The homeserver sends it again, and nothing of the first try stands in the way.
    assert len((await mine.take(keys)).new_keys) == 1
    assert bodies(await mine.decrypt([said])) == ["ahoy"]


async def test_a_caller_that_is_cancelled_leaves_the_machine_in_order(mine: Machine, alice: Peer) -> None:
    keys = await alice.share(mine)
    said = await alice.say("ahoy")
    task = asyncio.create_task(mine.take(keys))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await mine.take(keys)
    assert bodies(await mine.decrypt([said])) == ["ahoy"]


async def test_many_callers_at_once_take_turns(mine: Machine, alice: Peer) -> None:
    keys = await alice.share(mine)
    said = [await alice.say(f"number {number}") for number in range(20)]
    await mine.take(keys)
    answers = await asyncio.gather(*(mine.decrypt([each]) for each in said))
    assert [bodies(answer) for answer in answers] == [[f"number {number}"] for number in range(20)]
