"""When a session is over."""

from __future__ import annotations

import asyncio
import os
import pwd

import pytest

from conftest import Home
from heliograph.app.session_watch import SessionWatch
from heliograph.system import session_bus
from heliograph.system.session_bus import outlives_sessions
from support.buses import PrivateBus
from support.waiting import until


async def test_a_session_is_over_when_its_bus_stays_away(private_bus: PrivateBus) -> None:
    doubts: list[bool] = []
    watch = SessionWatch(private_bus.address, on_doubt=doubts.append, patience_s=0.2)
    await watch.start()
    over = asyncio.create_task(watch.over())
    await asyncio.to_thread(private_bus.stop)
    await over
    await watch.stop()
    assert doubts == [True]


async def test_a_bus_that_comes_back_ends_no_session(private_bus: PrivateBus) -> None:
    doubts: list[bool] = []
    watch = SessionWatch(private_bus.address, on_doubt=doubts.append, patience_s=60)
    await watch.start()
    over = asyncio.create_task(watch.over())
    for _ in range(2):
        doubts.clear()
        await asyncio.to_thread(private_bus.stop)
        await until(lambda: doubts == [True], "the doubt")
        await asyncio.to_thread(private_bus.start)
        await until(lambda: doubts == [True, False], "the end of the doubt")
    assert not over.done()
    over.cancel()
    await watch.stop()


async def test_a_bus_that_was_never_there_ends_no_session(private_bus: PrivateBus) -> None:
    await asyncio.to_thread(private_bus.stop)
    doubts: list[bool] = []
    watch = SessionWatch(private_bus.address, on_doubt=doubts.append, patience_s=0)
    await watch.start()
    over = asyncio.create_task(watch.over())
    await asyncio.sleep(0.1)
    assert not over.done()
    over.cancel()
    await watch.stop()
    assert doubts == []


@pytest.mark.parametrize(
    ("address", "is_lingering", "outlives"),
    [
        ("unix:path={run}/bus", True, True),
        ("unix:path={run}/bus,guid=00", True, True),
        ("unix:path={run}/bus", False, False),
        ("unix:path=/tmp/dbus-AbCd,guid=00", True, False),
        ("unix:abstract=/tmp/dbus-AbCd", True, False),
    ],
)
def test_the_bus_of_a_user_who_lingers_outlives_sessions(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, address: str, is_lingering: bool, outlives: bool
) -> None:
    folder = home.path / "linger"
    folder.mkdir()
    monkeypatch.setattr(session_bus, "_LINGERING", folder)
    if is_lingering:
        (folder / pwd.getpwuid(os.getuid()).pw_name).touch()
    assert outlives_sessions(address.format(run=home.runtime)) is outlives
