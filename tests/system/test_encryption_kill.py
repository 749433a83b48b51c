"""kill -9 at every step between a room key's receipt and the next /sync, and while keys are published and used up.

Whatever is killed, each message is read: no key is acknowledged before it is on disk, no one-time key is published
before its private half is. With `--long`: at the steps of showing, too; 130 claims, 20 kills in a stream.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.demo.user import DemoUser
from heliograph.loops.keys import LEAST
from support.buses import PrivateBus
from support.remote_peer import RemotePeer
from support.waiting import until
from system.daemon import Daemon, session_of, sign_in
from system.evidence import PATIENCE_S, rings, rung, texts
from system.launcher import KEY_STEPS, STEPS

PUBLISHING = [step for step in KEY_STEPS if "key" in step]
RECEIVING = [step for step in (*STEPS, "after decryption") if "commit" in step or "decryption" in step]
BEFORE = 55
"""Claims while the daemon is down: more than the fifty one-time keys that it publishes."""


@dataclass
class Stage:
    """The user with Heliograph, a sender, and the notification server."""

    me: DemoUser
    alice: DemoUser
    account: Account
    screen: NotificationServer


@pytest.fixture
async def stage(new_user: NewUser, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    me = await new_user("me")
    account = await sign_in(me)
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield Stage(me, await new_user("alice"), account, screen)
    await screen.stop()


async def test_a_kill_at_any_step_leaves_every_message_readable(
    stage: Stage, js_client: OpenJsClient, is_long: bool
) -> None:
    daemon = Daemon()
    for step in PUBLISHING:
        await daemon.start(words=(step,), until_connected=False)
        assert await daemon.ended() == -signal.SIGKILL, step

    alice = await js_client(stage.alice)
    room = str(await alice("create_room", invite=[stage.me.user_id], is_direct=True))
    await stage.me.join(room)
    await alice("wait_members", room=room, count=2)
    said = {}
    steps = [*RECEIVING, *(STEPS if is_long else ())]
    for number, step in enumerate(steps):
        await daemon.start(words=(step,), until_connected=False)
        await alice("rotate", room=room)
        said[await alice("send", room=room, body=f"message {number}")] = f"message {number}"
        assert await daemon.ended() == -signal.SIGKILL, step
    async with daemon:
        await rung(stage.screen, f"message {len(steps) - 1}")
        await until(lambda: texts(stage.account) == said, "every message")
    assert rings(stage.screen, "New encrypted message") == 0


@pytest.mark.timeout(400)
async def test_used_up_keys_and_kills_leave_every_message_readable(stage: Stage, tmp_path: Path, is_long: bool) -> None:
    claims, kills = (130, 20) if is_long else (65, 3)
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    room = await stage.alice.create_room(invite=[stage.me], is_direct=True)
    await stage.me.join(room)
    encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
    await stage.alice.send_state(room, "m.room.encryption", encryption)
    said: dict[str, str] = {}
    async with Daemon() as daemon:
        await until(lambda: "Published keys" in daemon.log, "the keys to be published")
        await daemon.kill()
        account = stage.account
        peer = await RemotePeer.open(stage.alice, tmp_path / "alice", account.user_id, account.device_id)

        async def say(number: int) -> None:
            await peer.claim()
            await peer.renew(room)
            said[await peer.say(room, f"number {number}")] = f"number {number}"

        for number in range(BEFORE):
            await say(number)
        assert peer.fallback_keys_used == BEFORE - 50

        stream = asyncio.create_task(_each(say, range(BEFORE, claims)))
        for _ in range(kills):
            await daemon.start(until_connected=False)
            await asyncio.sleep(dice.uniform(0.2, 1.2))
            await daemon.kill()
        await stream
        await daemon.start()
        await until(lambda: texts(account) == said, "every message", PATIENCE_S)
        await peer.close()
        device = await session_of(stage.me, account)

        async def is_replenished() -> bool:
            counts = (await device.call("POST", "/keys/upload"))["one_time_key_counts"]
            return bool(counts["signed_curve25519"] >= LEAST)

        await until(is_replenished, "new one-time keys, although there were none left")


async def _each(say: Callable[[int], Awaitable[None]], numbers: range) -> None:
    for number in numbers:
        await say(number)
