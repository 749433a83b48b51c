"""Encrypted messages in the sync loop: decrypted before they are judged, and judged again when their keys come."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.encryption import ROOM_KEY
from heliograph.core.delivery import State
from heliograph.core.encryption.values import Reason, Received, Rejected, RoomKey
from heliograph.core.events import Event, JoinedRoom, Sync
from heliograph.core.ids import RoomId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.text.messages import ENCRYPTED
from heliograph.ports.homeserver import Features
from support.builders import ALICE, ME, make_edit, make_encrypted, make_event
from support.waiting import until

ROOM = RoomId("!room:example.org")
KEY = RoomKey(ROOM, "session")


@pytest.fixture
def stage(clock: WallClock) -> SyncStage:
    return SyncStage(clock)


class Script:
    """Syncs that a test puts in the homeserver's mouth, one after another."""

    def __init__(self, stage: SyncStage) -> None:
        self._stage = stage
        self._number = 900

    async def send(self, *events: Event, keys: tuple[RoomKey, ...] = (), **sync: Any) -> None:
        self._number += 1
        to_device = [
            {"type": ROOM_KEY, "sender": ALICE, "content": {"room_id": key.room_id, "session_id": key.session_id}}
            for key in keys
        ]
        joined = (JoinedRoom(events[0].room_id, events),) if events else ()
        answer = Sync(
            f"s{self._number}",
            **({"joined": joined, "to_device": tuple(json.dumps(each).encode() for each in to_device)} | sync),
        )
        self._stage.homeserver.answers.append(answer)
        await self._stage.homeserver.drop_connections()
        await until(lambda: self._stage.ledger.state.next_batch == answer.next_batch, "the sync to be committed")


def encrypted(body: str = "hello", **options: Any) -> Event:
    return make_encrypted(make_event(body, room_id=ROOM, **options))


def mention(**options: Any) -> Event:
    content = {"msgtype": "m.text", "body": "to you", "m.mentions": {"user_ids": [ME]}}
    return make_encrypted(make_event(room_id=ROOM, content=content, **options))


def silence_room(stage: SyncStage) -> None:
    rules = {**predefined_rules(ME), "room": [{"rule_id": ROOM, "default": False, "enabled": True, "actions": []}]}
    stage.homeserver.add_account_data("m.push_rules", {"global": rules})


async def test_a_message_whose_key_comes_with_it_rings_with_what_it_says(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(encrypted(), keys=(KEY,))
    assert stage.rung == ["hello"]
    assert stage.ledger.locked == {}


async def test_a_late_key_replaces_what_waits_and_what_is_shown(stage: SyncStage) -> None:
    event = encrypted()
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(event)
        delivery = stage.ledger.deliveries[event.event_id]
        assert stage.rung == [ENCRYPTED]
        assert 2000 < delivery.due_ms - stage.clock() <= 3000
        assert list(stage.ledger.locked) == [event.event_id]
        news = stage.heard.news
        await script.send(keys=(KEY,))
    assert stage.rung == ["hello"]
    assert stage.ledger.deliveries[event.event_id].due_ms == 0
    assert stage.ledger.locked == {}
    assert stage.heard.news > news


async def test_a_late_key_of_the_backup_replaces_it_at_once(stage: SyncStage) -> None:
    event = encrypted()
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(event)
        stage.encryption.keys.add(KEY)
        stage.encryption.from_backup.add(KEY)
        await stage.loop.unlock([KEY])
    assert stage.rung == ["Unverified: hello"]


async def test_keys_that_events_want_are_told(clock: WallClock) -> None:
    stage = SyncStage(clock)
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(encrypted(), encrypted(sender=ME))
    assert stage.heard.wanted == [frozenset({KEY})]


async def test_what_the_rules_silence_after_all_is_withdrawn(stage: SyncStage) -> None:
    event = make_encrypted(make_event(type="m.reaction", content={}, room_id=ROOM))
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(event)
        assert stage.rung == [ENCRYPTED]
        await script.send(keys=(KEY,))
    assert stage.ledger.deliveries[event.event_id].state is State.CANCELLED


async def test_in_a_silent_room_a_mention_rings_when_its_key_comes(stage: SyncStage) -> None:
    silence_room(stage)
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(encrypted("not to you"), mention())
        assert stage.rung == []
        await script.send(keys=(KEY,))
    assert stage.rung == ["to you"]


async def test_an_encrypted_edit_changes_what_is_shown_and_does_not_ring(stage: SyncStage) -> None:
    event = encrypted()
    edit = make_encrypted(make_edit(event.event_id, "hello, corrected", room_id=ROOM))
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(event, keys=(KEY,))
        await script.send(edit)
    assert stage.rung == ["hello, corrected"]


async def test_an_edit_whose_key_has_not_come_does_not_ring(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(make_encrypted(make_edit("$some", room_id=ROOM)))
    assert stage.rung == []


async def test_why_a_message_cannot_be_read_is_recorded(stage: SyncStage) -> None:
    event, withheld = encrypted(), encrypted()
    stage.encryption.hopeless[event.event_id] = Reason.REPLAYED
    stage.encryption.withheld[KEY] = "m.unverified"
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(event, withheld)
    assert stage.ledger.judged[event.event_id].encryption == "it repeats an earlier message"
    assert "this device is not verified" in stage.ledger.judged[withheld.event_id].encryption
    assert list(stage.ledger.locked) == [withheld.event_id]


async def test_a_key_that_came_before_a_kill_opens_what_waits_after_it(stage: SyncStage, clock: WallClock) -> None:
    event = encrypted()
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(event)
    # The key was taken, and the process ended before its sync was committed.
    stage.encryption.keys.add(KEY)
    again = SyncStage(clock, homeserver=stage.homeserver, ledger=stage.ledger, encryption=stage.encryption)
    async with running(again.loop):
        await again.connected()
        await again.rings("hello")


async def test_a_key_that_comes_while_the_first_sync_is_planned_opens_what_waits(
    stage: SyncStage, clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(encrypted())
    # A sync in which nothing came needs no plan.
    stage.homeserver.answers.append(Sync("s950", joined=(JoinedRoom(ROOM, (make_event("meanwhile", room_id=ROOM),)),)))
    again = SyncStage(clock, homeserver=stage.homeserver, ledger=stage.ledger, encryption=stage.encryption)
    unlocking: list[asyncio.Task[None]] = []
    read_rooms = again.ledger.rooms

    async def rooms(*arguments: Any) -> Any:
        """Called once the plan has looked for keys: it finds none any more by itself."""
        if not unlocking:
            again.encryption.keys.add(KEY)
            unlocking.append(asyncio.create_task(again.loop.unlock([KEY])))
            await asyncio.sleep(0)
        return await read_rooms(*arguments)

    monkeypatch.setattr(again.ledger, "rooms", rooms)
    async with running(again.loop):
        await again.rings("hello")
        await asyncio.gather(*unlocking)


@pytest.mark.expected_log("What 1 room key opens is shown with the next sync")
@pytest.mark.expected_log("@me:example.org: the fake disk is full$")
async def test_a_full_disk_does_not_lose_what_a_key_opens(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(encrypted())
        stage.ledger.is_full = True
        stage.encryption.keys.add(KEY)
        await stage.loop.unlock([KEY])
        await asyncio.sleep(60)
        stage.ledger.is_full = False
        await stage.rings("hello")


async def test_a_key_that_opens_nothing_frees_what_is_hopeless(stage: SyncStage) -> None:
    event = encrypted()
    async with running(stage.loop):
        await stage.connected()
        script = Script(stage)
        await script.send(event)
        stage.encryption.hopeless[event.event_id] = Reason.WRONG_SENDER
        await script.send(keys=(KEY,))
    assert stage.rung == [ENCRYPTED]
    assert stage.ledger.locked == {}


async def test_other_to_device_events_are_told_in_order(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        for number in range(3):
            stage.homeserver.send_to_device(ALICE, "org.example.test", {"n": number})
        await until(lambda: len(stage.heard.received) == 3)
    assert [each.content for each in stage.heard.received if isinstance(each, Received)] == [{"n": n} for n in range(3)]
    assert not any(isinstance(each, Rejected) for each in stage.heard.received)


async def test_in_direct_mode_what_the_server_listed_is_judged_by_what_it_says(stage: SyncStage) -> None:
    silence_room(stage)
    stage.homeserver.told = Features(has_direct_push=True)
    async with running(stage.loop):
        await stage.connected()
        await Script(stage).send(encrypted("not to you"), mention(), keys=(KEY,))
    assert stage.rung == ["to you"]
