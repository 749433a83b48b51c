"""What the handoff may expect of a desk: of systemd's logind, of one that a test plays, and of the fake."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from fakes.login1 import FakeLogind
from fakes.presence import FakePresence
from heliograph.core.pushers.handoff import Signs
from heliograph.desktop.presence import DesktopPresence
from heliograph.ports.desktop import Presence
from support.buses import PrivateBus
from support.real_logind import RealLogind
from support.waiting import until


@dataclass
class Desk:
    """A presence, and what the user and the machine do."""

    presence: Presence
    lock: Callable[[], None]
    unlock: Callable[[], None]
    sleep: Callable[[], None]
    wake: Callable[[], None]


@pytest.fixture
def fake_desk() -> Desk:
    presence = FakePresence()
    return Desk(
        presence,
        lock=lambda: presence.change(is_locked=True),
        unlock=lambda: presence.change(is_locked=False),
        sleep=lambda: presence.change(is_asleep=True),
        wake=lambda: presence.change(is_asleep=False),
    )


@pytest.fixture
async def played_desk(private_bus: PrivateBus) -> AsyncIterator[Desk]:
    logind = FakeLogind(private_bus.address)
    await logind.start()
    presence = open_presence(private_bus)
    yield Desk(presence, lock=logind.lock, unlock=logind.unlock, sleep=logind.announce_sleep, wake=logind.resume)
    await presence.stop()
    await logind.stop()


@pytest.fixture
async def real_desk(private_bus: PrivateBus) -> AsyncIterator[Desk]:
    logind = RealLogind(private_bus.address)
    await logind.start()
    presence = open_presence(private_bus)
    yield Desk(presence, lock=logind.lock, unlock=logind.unlock, sleep=logind.suspend, wake=logind.resume)
    await presence.stop()
    await logind.stop()


def open_presence(bus: PrivateBus) -> DesktopPresence:
    return DesktopPresence(
        away_after_s=600, monotonic=time.monotonic, system_address=bus.address, session_address=bus.address
    )


@pytest.fixture(params=os.environ.get("DESKS", "fake played").split())
def desk(request: pytest.FixtureRequest) -> Desk:
    desk = request.getfixturevalue(f"{request.param}_desk")
    assert isinstance(desk, Desk)
    return desk


async def test_it_tells_at_once_and_then_of_changes(desk: Desk) -> None:
    assert await desk.presence.start()
    told: list[Signs] = []
    desk.presence.listen(told.append)
    assert told == [Signs()]
    desk.lock()
    await until(lambda: told[-1].is_locked, "the lock")
    desk.unlock()
    await until(lambda: not told[-1].is_locked, "the end of the lock")
    assert told == [Signs(), Signs(is_locked=True), Signs()]
    assert desk.presence.signs == Signs()


async def test_sleep_is_held_up_until_it_is_let_and_again_after_waking(desk: Desk) -> None:
    await desk.presence.start()
    assert desk.presence.holds_sleep_up
    desk.sleep()
    await until(lambda: desk.presence.signs.is_asleep, "the way to sleep")
    desk.presence.let_sleep()
    assert not desk.presence.holds_sleep_up
    desk.wake()
    await until(lambda: not desk.presence.signs.is_asleep, "waking")
    await until(lambda: desk.presence.holds_sleep_up, "the next inhibitor")


async def test_letting_sleep_twice_is_no_error(desk: Desk) -> None:
    await desk.presence.start()
    desk.presence.let_sleep()
    desk.presence.let_sleep()
    assert not desk.presence.holds_sleep_up


async def test_after_stopping_nothing_is_told_and_nothing_held(desk: Desk) -> None:
    await desk.presence.start()
    told: list[Signs] = []
    desk.presence.listen(told.append)
    await desk.presence.stop()
    desk.lock()
    assert told == [Signs()]
    assert not desk.presence.holds_sleep_up


def test_systemds_own_logind_passes_the_same_suite() -> None:
    """In a namespace, where we are root: it obeys nobody else."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "real", __file__]
    environ = {**os.environ, "DESKS": "real"}
    done = subprocess.run([*namespace, *suite], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
