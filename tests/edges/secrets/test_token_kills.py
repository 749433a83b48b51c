"""Renewals at an auth server in MAS's manner: kill -9 and SIGSTOP at each step, and what networks do to answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from heliograph.errors import LoggedOut, Unreachable
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.secrets.token_file import KeptTokens, TokenFile
from heliograph.secrets.tokens import SealedTokens
from heliograph.system.clock import boottime, now_ms
from support.auth_server.faults import FAULTS, Fault
from support.auth_server.server import CLIENT, AuthServer
from support.auth_server.sessions import Session
from support.builders import ME
from support.waiting import until

RENEWING = Path(__file__).with_name("renewing.py")
TESTS = Path(__file__).parents[2]


class Device:
    """A signed-in device, its folder and its auth server."""

    def __init__(self, auth_server: AuthServer, folder: Path) -> None:
        self.auth_server = auth_server
        self.folder = folder
        self.client_id = str(auth_server.oauth.register(dict(CLIENT))["client_id"])
        self.session = Session("me", "HELIOGRAPH01", self.client_id)
        self.sessions = auth_server.sessions
        self.file = TokenFile(folder, ME, "pickle")
        access, refresh = self.sessions.grant(self.session, lasts=False)
        self.file.save(KeptTokens(access_token=access, refresh_token=refresh, life_s=300, born_ms=now_ms()))
        self.is_later_s = 0.0
        """Seconds that have passed for the clocks of `open`, so that no test waits for a back-off."""

    def open(self) -> SealedTokens:
        """The tokens as a process has them that starts now."""
        kept = self.file.load()
        assert kept is not None
        endpoint = OAuthTokenEndpoint(f"{self.auth_server.url}/oauth2/token", "", self.client_id)
        return SealedTokens(self.file, endpoint, kept, boottime=lambda: boottime() + self.is_later_s)

    async def use(self, tokens: SealedTokens) -> None:
        """Makes a request as `homeserver.session` does. Fails if the session does not live."""
        token = await tokens.fresh()
        if self.sessions.introspect(token) is None:
            token = await tokens.renew(token)
        assert self.sessions.introspect(token) is self.session
        tokens.note_accepted(token)

    async def renew(self, tokens: SealedTokens) -> None:
        """Renews, and uses the new token."""
        kept = self.file.load()
        assert kept is not None
        await tokens.renew(kept.access_token)
        await self.use(tokens)

    @contextlib.asynccontextmanager
    async def renewing(self, step: str) -> AsyncIterator[Process]:
        """Another process that renews, and kills itself at this step."""
        words = (step, str(self.folder), f"{self.auth_server.url}/oauth2/token", self.client_id)
        path = os.pathsep.join([str(TESTS), str(TESTS.parent / "daemon")])
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(RENEWING), *words, stdout=PIPE, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    folder = tmp_path / "account"
    folder.mkdir()
    with AuthServer({}) as auth_server:
        yield Device(auth_server, folder)


@pytest.mark.parametrize("step", ["locked", "answered", "written", "saved"])
async def test_a_kill_at_any_step_of_a_renewal_keeps_the_session(device: Device, step: str) -> None:
    before = device.open()
    async with device.renewing(step) as process:
        assert await process.wait() == -signal.SIGKILL
    assert device.sessions.refreshes == (0 if step == "locked" else 1)
    # Both for a process that goes on with what it had, and for one that starts with what is on the disk.
    await device.use(device.open())
    await device.use(before)
    await device.renew(device.open())
    await device.use(before)
    assert {path.name for path in device.folder.iterdir()} == {"tokens", "tokens.lock"}


async def test_a_kill_while_the_answer_is_under_way_keeps_the_session(device: Device) -> None:
    device.auth_server.fail("token", "late", seconds=30)
    async with device.renewing("none") as process:
        await until(lambda: device.sessions.refreshes == 1)
        process.kill()
        await process.wait()
    await device.use(device.open())
    assert device.sessions.second_chances == 1
    await device.renew(device.open())


async def test_a_stop_within_a_renewal_over_the_end_of_the_token_keeps_the_session(device: Device) -> None:
    device.sessions.ttl_s = 1
    device.auth_server.fail("token", "late", seconds=1)
    async with device.renewing("none") as process:
        await until(lambda: device.sessions.refreshes == 1)
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        # The lock is held meanwhile: a token that lives serves all the same.
        assert await asyncio.wait_for(device.open().fresh(), 5)
        await until(lambda: time.monotonic() - began > 1.5)
        process.send_signal(signal.SIGCONT)
        output, _ = await process.communicate()
        assert process.returncode == 0
    kept = await asyncio.to_thread(device.file.load)
    assert kept is not None
    assert output.decode().strip() == kept.access_token
    await device.use(device.open())


async def test_whoever_holds_the_lock_and_is_killed_does_not_keep_it(device: Device) -> None:
    device.auth_server.fail("token", "late", seconds=30)
    async with device.renewing("none") as process:
        await until(lambda: device.sessions.refreshes == 1)
        waiting = asyncio.create_task(device.renew(device.open()))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        process.kill()
        await waiting


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_of_a_network_ends_the_session(device: Device, fault: Fault) -> None:
    tokens = device.open()
    device.auth_server.fail("token", fault, times=3, seconds=0.1)
    for _ in range(3):
        with contextlib.suppress(Unreachable):
            await device.renew(tokens)
        device.is_later_s += 60
    device.auth_server.heal()
    await device.renew(tokens)
    await device.renew(device.open())
    assert device.sessions.second_chances == (3 if fault == "lose" else 0)


async def test_a_process_that_starts_without_a_network_goes_on_later(device: Device) -> None:
    tokens = device.open()
    device.auth_server.fail("token", "drop", times=2)
    device.is_later_s = 300
    with pytest.raises(Unreachable):
        await tokens.fresh()
    device.auth_server.heal()
    device.is_later_s += 60
    await device.use(tokens)


async def test_a_session_that_was_ended_elsewhere_is_a_soft_sign_out(device: Device) -> None:
    tokens = device.open()
    device.session.has_ended = True
    with pytest.raises(LoggedOut) as gone:
        await device.renew(tokens)
    assert gone.value.soft


async def test_a_server_that_ends_a_session_for_a_refresh_token_used_twice_does_so_softly(device: Device) -> None:
    tokens = device.open()
    device.sessions.is_strict = True
    await device.renew(tokens)
    device.auth_server.fail("token", "lose")
    with pytest.raises(Unreachable):
        await device.renew(tokens)
    device.is_later_s = 60
    with pytest.raises(LoggedOut) as gone:
        await device.renew(tokens)
    assert gone.value.soft


async def test_a_server_that_keeps_the_refresh_token_is_served_as_well(device: Device) -> None:
    device.sessions.rotates = False
    tokens = device.open()
    for _ in range(3):
        await device.renew(tokens)
        await device.use(device.open())
