"""Histories of reading on a real Synapse, where the phone's client is matrix-js-sdk: it and Heliograph count the same.

tests/run tests/system/test_reading_histories.py --seeds 500    so many, instead of 6
tests/run tests/system/test_reading_histories.py --seed 17      this one; repeatable
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from conftest import NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.js_client import JsClient
from support.waiting import until
from system.daemon import Daemon, account_folder, sign_in

FEW = 6
STEPS = 12
PATIENCE_S = 30
TRIES = 2
_OPEN = "state IN ('pending', 'shown', 'dismissed', 'lost')"


@dataclass
class Stage:
    alice: DemoUser
    me: DemoUser
    phone: JsClient
    account: Account

    def unread(self, room: str) -> dict[str, int]:
        """By thread, as Heliograph counts."""
        thread = "coalesce(thread_root, 'main')"
        query = f"SELECT {thread}, count(*) FROM deliveries WHERE {_OPEN} AND room_id = ? GROUP BY 1"
        with closing(sqlite3.connect(f"file:{account_folder(self.account)}/ledger.db?mode=ro", uri=True)) as db:
            return dict(db.execute(query, (room,)))

    def states(self, room: str) -> list[str]:
        """What became of each message, for a failure."""
        query = "SELECT event_id, state, why FROM deliveries WHERE room_id = ? ORDER BY position"
        with closing(sqlite3.connect(f"file:{account_folder(self.account)}/ledger.db?mode=ro", uri=True)) as db:
            return [" ".join(row) for row in db.execute(query, (room,))]


@dataclass
class Room:
    """What was said in one history."""

    room_id: str
    messages: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


@pytest.fixture
async def stage(new_user: NewUser, private_bus: PrivateBus, js_client: OpenJsClient) -> AsyncIterator[Stage]:
    me, alice = await new_user("me"), await new_user("alice")
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield Stage(alice, me, await js_client(me, has_threads=True), await sign_in(me))
    await screen.stop()


@pytest.mark.timeout(0)
async def test_the_phone_and_heliograph_count_the_same_as_unread(stage: Stage, request: pytest.FixtureRequest) -> None:
    async with Daemon():
        for seed in request.config.getoption("seed") or range(request.config.getoption("seeds") or FEW):
            await _live(stage, random.Random(seed), seed)


async def _live(stage: Stage, chance: random.Random, seed: int) -> None:
    room = Room(await stage.alice.create_room(f"Room {seed}", invite=[stage.me]))
    await stage.me.join(room.room_id)
    is_unthreaded = chance.random() < 0.3
    for _ in range(chance.randint(4, STEPS)):
        await _step(stage, room, chance, is_unthreaded)
    told: list[str] = []
    for _ in range(TRIES):
        if (wrong := await _compare(stage, room)) is None:
            return
        told.append(f"seed {seed}: {wrong}")
    pytest.fail("\n".join((*told, *room.story, *stage.states(room.room_id))), pytrace=False)


async def _compare(stage: Stage, room: Room) -> str | None:
    """What the two count differently, after one more message: a client's counts are as old as its last sync."""
    last = await stage.alice.send_text(room.room_id, "the end of it")
    await until(lambda: _has_rung(stage, last), "the last message", PATIENCE_S)
    seen = Counter[str]()

    async def agree() -> bool:
        nonlocal seen
        seen = +Counter(await stage.phone("unread", room=room.room_id, threads=room.roots))
        return seen == Counter(stage.unread(room.room_id))

    try:
        await until(agree, "agreement", PATIENCE_S)
    except AssertionError:
        return f"the phone counts {dict(seen)}, Heliograph {stage.unread(room.room_id)}"
    return None


def _has_rung(stage: Stage, event_id: str) -> bool:
    with closing(sqlite3.connect(f"file:{account_folder(stage.account)}/ledger.db?mode=ro", uri=True)) as db:
        return bool(db.execute("SELECT 1 FROM deliveries WHERE event_id = ?", (event_id,)).fetchone())


async def _step(stage: Stage, room: Room, chance: random.Random, is_unthreaded: bool) -> None:
    alice, room_id = stage.alice, room.room_id
    kinds = ("text", "thread", "reaction", "edit", "topic", "read", "read", "private", "own")
    kind = chance.choice(kinds if room.messages else ("text",))
    target: str = chance.choice(room.messages[-6:]) if room.messages else ""
    event: str
    match kind:
        case "text":
            event = await alice.send_text(room_id, "hello")
            room.messages.append(event)
            room.roots.append(event)
        case "thread":
            target = chance.choice(room.roots[-3:])
            event = await alice.send_text(room_id, "in the thread", thread=target)
            room.messages.append(event)
        case "reaction":
            event = await alice.react(room_id, target, f"{len(room.events)}")
        case "edit":
            relation = {"rel_type": "m.replace", "event_id": target}
            new = {"msgtype": "m.text", "body": "corrected"}
            content = {**new, "body": "* corrected", "m.new_content": new, "m.relates_to": relation}
            event = await alice.send_event(room_id, "m.room.message", content)
        case "topic":
            event = await alice.send_state(room_id, "m.room.topic", {"topic": f"{len(room.events)}"})
        case "own":
            # As Element, which is at the end of the room after one has written there.
            event = await stage.phone("send", room=room_id, body="from the phone")
            await stage.phone("read", room=room_id, event_id=event, is_unthreaded=is_unthreaded)
        case _:
            event = target = chance.choice(room.events[-5:])
            receipt = "m.read.private" if kind == "private" else "m.read"
            await stage.phone("read", room=room_id, event_id=event, kind=receipt, is_unthreaded=is_unthreaded)
    room.story.append(f"{kind} {event} {target}{' unthreaded' if is_unthreaded else ''}")
    if event not in room.events:
        room.events.append(event)
