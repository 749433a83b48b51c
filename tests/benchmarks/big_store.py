"""A crypto.db as after years: ten thousand room keys, five thousand devices. Run as a program it times its opening.

    python -m benchmarks.big_store FOLDER USER DEVICE PICKLE_KEY

prints as JSON how many milliseconds that took, the cryptography being loaded already.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sqlite3
import sys
import time
from pathlib import Path

import vodozemac
from nio.crypto import InboundGroupSession  # type: ignore[import-untyped]

from heliograph.core.ids import UserId
from heliograph.encryption.olm.key_files import FILE_NAME
from heliograph.encryption.olm.machine import Machine

ROOM_KEYS = 10_000
DEVICES = 5_000


async def fill(folder: Path, user_id: UserId, device_id: str, pickle_key: str) -> None:
    """Makes the device's keys, and puts others' beside them."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    machine = await Machine.open(folder, user_id, device_id, pickle_key, now_ms=0)
    await machine.close()
    await asyncio.to_thread(_fill, folder / FILE_NAME, pickle_key)


def _fill(file: Path, pickle_key: str) -> None:
    account = vodozemac.Account()
    curve25519, ed25519 = account.curve25519_key.to_base64(), account.ed25519_key.to_base64()
    keys, devices, sessions = [], [], []
    for number in range(ROOM_KEYS):
        room_id = f"!room{number // 20}:example.org"
        session = InboundGroupSession(vodozemac.GroupSession().session_key.to_base64(), ed25519, curve25519, room_id)
        user_id = f"@user{number // 20}:example.org"
        keys.append((room_id, session.id, session.pickle(pickle_key), user_id, curve25519, ed25519, 0))
    for number in range(DEVICES):
        other = vodozemac.Account()
        key = other.curve25519_key.to_base64()
        devices.append((f"@user{number // 5}:example.org", f"DEVICE{number}", key, other.ed25519_key.to_base64()))
        # Their content does not matter here: only those of who writes are read.
        sessions.append((f"session{number}", key, bytes(700), float(number), float(number)))
    with sqlite3.connect(file) as db:
        db.executemany(
            "INSERT INTO room_keys (room_id, session_id, pickle, sender, sender_key, sender_ed25519, is_from_backup)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            keys,
        )
        db.executemany("INSERT INTO devices (user_id, device_id, curve25519, ed25519) VALUES (?, ?, ?, ?)", devices)
        db.executemany(
            "INSERT INTO olm_sessions (session_id, sender_key, pickle, created, used) VALUES (?, ?, ?, ?, ?)", sessions
        )
    db.close()


async def _time_opening(folder: Path, user_id: UserId, device_id: str, pickle_key: str) -> float:
    importlib.import_module("heliograph.encryption.olm.engine")
    began = time.perf_counter()
    machine = await Machine.open(folder, user_id, device_id, pickle_key, now_ms=0)
    took_ms = (time.perf_counter() - began) * 1000
    await machine.close()
    return took_ms


if __name__ == "__main__":
    place, user_id, device_id, pickle_key = sys.argv[1:]
    print(json.dumps(asyncio.run(_time_opening(Path(place), UserId(user_id), device_id, pickle_key))))
