"""A session of OAuth 2.0 whose tokens live for three seconds, under faults, kill -9 and SIGSTOP: it lives on.

A real Synapse in its MAS mode, the daemon and commands beside it. With `--long` until 1,000 renewals.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import Home
from fakes.notification_server import NotificationServer
from heliograph.accounts import state_folder
from heliograph.demo.user import request
from heliograph.secrets.token_file import TokenFile
from support.auth_server.faults import FAULTS
from support.auth_server.server import AuthServer
from support.waiting import until
from system.command import heliograph
from system.daemon import Daemon
from system.evidence import rung
from system.oauth_device import OAuthDevice, hand_over_credential, sign_in_by_oauth, someone

TTL_S = 3.0
RENEWALS, FEW_RENEWALS = 1000, 5
EXPECTED = pytest.mark.expected_log


@dataclass
class Stage:
    auth_server: AuthServer
    device: OAuthDevice
    daemon: Daemon
    chance: random.Random
    said: list[str] = field(default_factory=list)
    """What commands printed."""

    async def fail(self) -> None:
        """Spoils the next answers of the token endpoint."""
        fault = self.chance.choice(FAULTS)
        self.auth_server.fail("token", fault, times=self.chance.randint(1, 3), seconds=self.chance.uniform(1, 4))

    async def kill_daemon(self) -> None:
        """At a random moment of a token's life, so that some kills fall into a renewal."""
        self.auth_server.fail("token", "late", seconds=0.5)
        await asyncio.sleep(self.chance.uniform(0, TTL_S))
        await self.daemon.kill()
        self.said.append(self.daemon.log)
        await self.daemon.start(until_connected=False)

    async def kill_command(self) -> None:
        words = (sys.executable, "-m", "heliograph", "rules", "list")
        command = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        if command.returncode is None:
            command.kill()
        await command.wait()

    async def run_command(self) -> None:
        ended = await heliograph("rules", "list")
        self.said += [ended.output, ended.errors]

    async def freeze(self) -> None:
        """Over the end of a token."""
        self.daemon.freeze()
        await asyncio.sleep(TTL_S * 1.2)
        self.daemon.thaw()


@pytest.mark.timeout(3 * 3600)
@EXPECTED("homeserver 401 ", times=(0, None))
@EXPECTED("@ruth:localhost: ", times=(0, None))
async def test_faults_and_kills_lose_neither_session_nor_message_nor_keys(
    auth_server: AuthServer,
    screen: NotificationServer,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    is_long: bool,
) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text('[log]\nlevel = "debug"\n')
    auth_server.sessions.ttl_s = TTL_S
    device = await sign_in_by_oauth(auth_server, "ruth")
    hand_over_credential(tmp_path / "credentials", device)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    alice = await someone(auth_server, "alice")
    room = await alice.create_room(invite=[device.account.user_id], is_direct=True)
    await (await someone(auth_server, "ruth")).join(room)
    began, renewals = auth_server.sessions.refreshes, 0
    async with Daemon() as daemon:
        stage = Stage(auth_server, device, daemon, random.Random(seed))
        each_once: list[Callable[[], Awaitable[None]]] = [stage.fail, stage.kill_daemon, stage.kill_command]
        each_once += [stage.freeze, stage.run_command]
        number = 0
        while number < len(each_once) or renewals < (RENEWALS if is_long else FEW_RENEWALS):
            disturb = each_once[number] if number < len(each_once) else stage.chance.choice([*each_once, stage.fail])
            sending = asyncio.create_task(alice.send_text(room, f"message {number}."))
            await disturb()
            await sending
            await rung(screen, f"message {number}.")
            renewals = auth_server.sessions.refreshes - began
            number += 1
            if number % 10 == 0:
                print(f"{number} messages rang over {renewals} renewals", flush=True)
        auth_server.heal()
        auth_server.sessions.ttl_s = 300
        print(f"{number} messages rang over {renewals} renewals, {auth_server.sessions.second_chances} answers lost")
        # A daemon that was killed last has only just begun, and does not listen to SIGTERM yet.
        await until(lambda: "is connected to" in daemon.log, "the connection", 60)
        assert await daemon.stop() == 0
        stage.said.append(daemon.log)
    assert not device.session.has_ended
    listed = await heliograph("pushers", "list")
    assert "Heliograph on " in listed.output, listed.errors
    assert await one_time_keys(auth_server, device) >= 40
    said = "".join(stage.said)
    assert [secret for secret in auth_server.secrets_seen if secret in said] == []


async def one_time_keys(auth_server: AuthServer, device: OAuthDevice) -> int:
    """How many the homeserver has of the device. A command has just renewed the token."""
    account = device.account
    file = TokenFile(state_folder(account.user_id), account.user_id, device.secret.pickle_key)
    kept = await asyncio.to_thread(file.load)
    assert kept is not None
    url = f"{auth_server.url}/_matrix/client/v3/keys/upload"
    answer = await request("POST", url, {}, token=kept.access_token)
    return int(answer["one_time_key_counts"]["signed_curve25519"])
