"""Encrypted messages: what decrypting and judging costs beside vodozemac alone, and what a store of years weighs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vodozemac
from nio.crypto import InboundGroupSession  # type: ignore[import-untyped]

from benchmarks import big_store
from benchmarks.arrivals import Arrivals, mark
from benchmarks.contestants import Heliograph
from benchmarks.phases import Figures
from heliograph.core.encryption.values import Rotation
from heliograph.core.events import Event, JoinedRoom, Sync
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.room import RoomFacts
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.encryption.olm.key_files import FILE_NAME
from heliograph.loops.sync.decryption import AT_ONCE, Decrypter, Opened
from heliograph.secrets.secret import decode_secret
from support.builders import ME
from support.peers import PICKLE_KEY, Peer, open_machine
from support.remote_peer import RemotePeer

NAME = "vodozemac"
PER_KEY = 100
"""Messages that one room key serves, as in most clients."""
_OPENINGS = 5
_MESSAGES = 20


async def measure_encryption(
    server: ThrowawaySynapse, arrivals: Arrivals, bus: str, folder: Path, events: int
) -> dict[str, Figures]:
    """`events`: how many are decrypted in each round."""
    own, floor = await _decrypt(folder / "decrypt", events)
    own |= await _open(folder / "open")
    for name, is_big in (("small", False), ("big", True)):
        own[f"{name}_store_rss_mb"] = await _weigh(server, arrivals, bus, folder / name, is_big=is_big)
    return {"heliograph": own, NAME: floor}


# Decrypting and judging


async def _decrypt(folder: Path, count: int) -> tuple[Figures, Figures]:
    """Milliseconds for each event: ours in parts as large as a catch-up has them, and one by one; vodozemac's alone.
    Best of rounds in which all take their turns, each with sessions that never decrypted before."""
    events, sessions = await _make_events(folder / "made", count)
    best = {"parts": float("inf"), "single": float("inf"), "floor": float("inf")}
    for number in range(5):
        for what, size in (("parts", AT_ONCE), ("single", 1)):
            copy = folder / f"{what}-{number}"
            await asyncio.to_thread(shutil.copytree, folder / "made/mine", copy)
            some = events if what == "parts" else events[:PER_KEY]
            best[what] = min(best[what], await _time_ours(copy, some, size))
        best["floor"] = min(best["floor"], _time_floor(events, sessions))
    own = {
        "decrypt_judge_ms": best["parts"],
        "decrypt_adds_ms": best["parts"] - best["floor"],
        "decrypt_judge_single_ms": best["single"],
    }
    return own, {"decrypt_judge_ms": best["floor"]}


async def _make_events(folder: Path, count: int) -> tuple[list[Event], dict[str, bytes]]:
    """Messages of Alice's in a room, and the pickled room keys by session id. Ours are left in the folder `mine`."""
    mine, alice = await open_machine(folder / "mine"), await Peer.open(folder / "alice")
    events = []
    for number in range(count):
        if number % PER_KEY == 0:
            await mine.take(await alice.share(mine, rotation=Rotation(messages=PER_KEY)))
        events.append(await alice.say(f"message {number}"))
    await mine.close()
    await alice.machine.close()
    with sqlite3.connect(folder / "mine" / FILE_NAME) as db:
        sessions = dict(db.execute("SELECT session_id, pickle FROM room_keys"))
    db.close()
    return events, sessions


async def _time_ours(folder: Path, events: Sequence[Event], size: int) -> float:
    machine = await open_machine(folder)
    ruleset = Ruleset.parse(predefined_rules(ME))
    room_id = events[0].room_id
    context = RoomFacts(room_id, True, joined_member_count=5, own_display_name="Me", power_levels={}).context(ME)
    decrypter = Decrypter(machine, lambda: None)
    began = time.perf_counter()
    for start in range(0, len(events), size):
        sync = Sync("s", joined=(JoinedRoom(room_id, tuple(events[start : start + size])),))
        for event in (await decrypter.open(Opened(sync))).sync.joined[0].timeline:
            assert isinstance(event, Event)
            assert ruleset.judge(event.raw, context).notify
    took_ms = (time.perf_counter() - began) * 1000
    await machine.close()
    return took_ms / len(events)


def _time_floor(events: Sequence[Event], pickles: dict[str, bytes]) -> float:
    sessions = {
        id_: InboundGroupSession.from_pickle(pickle, "", "", events[0].room_id, PICKLE_KEY)._session
        for id_, pickle in pickles.items()
    }
    began = time.perf_counter()
    for event in events:
        content = event.content
        sessions[content["session_id"]].decrypt(vodozemac.MegolmMessage.from_base64(content["ciphertext"]))
    return (time.perf_counter() - began) * 1000 / len(events)


# A store of years


async def _open(folder: Path) -> Figures:
    """In a process of its own each time."""
    owner = (ME, "D", PICKLE_KEY)
    await big_store.fill(folder, *owner)
    took: list[float] = []
    for _ in range(_OPENINGS):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.big_store", str(folder), *owner),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        output, _ = await process.communicate()
        took.append(float(json.loads(output)))
    return {"big_store_open_ms": statistics.median(took)}


async def _weigh(server: ThrowawaySynapse, arrivals: Arrivals, bus: str, home: Path, *, is_big: bool) -> float:
    """RSS of the daemon with such a store, after encrypted messages with a new key each."""
    daemon, name = Heliograph(), home.name
    user, sender = await server.register(f"me-{name}"), await server.register(f"sender-{name}")
    await asyncio.to_thread(daemon.sign_in, user, home, bus)
    if is_big:
        folder = home / ".local/state/heliograph" / user.user_id
        text = await asyncio.to_thread((folder / "secret.json").read_text)
        await big_store.fill(folder, user.user_id, user.device_id, decode_secret(user.user_id, text).pickle_key)
    room = await sender.create_room("Encrypted", invite=[user])
    await user.join(room)
    await sender.send_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    process, _ = await daemon.start(user, home, bus)
    try:
        await _published(sender, user)
        peer = await RemotePeer.open(sender, home / "sender", user.user_id, user.device_id)
        await peer.claim()
        for number in range(_MESSAGES):
            await peer.renew(room)
            text = mark(name, number)
            await peer.say(room, text)
            if await arrivals.wait(text, 20) is None:
                raise RuntimeError(f"an encrypted message was not shown: {process.last_words()}")
        await peer.close()
        await asyncio.sleep(2)
        return process.rss_mb()
    finally:
        await process.stop()


async def _published(asking: DemoUser, user: DemoUser) -> None:
    body: dict[str, Any] = {"device_keys": {user.user_id: [user.device_id]}}
    for _ in range(200):
        if (await asking.call("POST", "/keys/query", body))["device_keys"].get(user.user_id):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the device's keys were not published")
