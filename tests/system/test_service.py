"""What systemd hears from the running daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import NewUser
from heliograph.app.watchdog import FED_S
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Every assignment so far, in order."""
        while True:
            try:
                self._heard.extend(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return self._heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    systemd = Systemd(path)
    yield systemd
    systemd.close()


async def test_systemd_hears_of_readiness_life_and_the_end(
    new_user: NewUser, private_bus: PrivateBus, systemd: Systemd
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    daemon = Daemon()
    async with daemon:
        assert "READY=1" in systemd.heard()
        await until(lambda: "STATUS=1 connected" in systemd.heard(), "the status")
        fed = systemd.heard().count("WATCHDOG=1")
        await asyncio.sleep(FED_S)
        await alice.send_text(room, "one more turn of the loop")
        await until(lambda: systemd.heard().count("WATCHDOG=1") > fed, "the watchdog's food")
        assert await daemon.stop() == 0
    # A turn that was under way may still feed the watchdog after that.
    assert [word for word in systemd.heard() if word != "WATCHDOG=1"][-1] == "STOPPING=1"


async def test_the_watchdog_starves_while_the_process_is_frozen(
    new_user: NewUser, private_bus: PrivateBus, systemd: Systemd
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    async with Daemon() as daemon:
        await until(lambda: "STATUS=1 connected" in systemd.heard(), "the status")
        daemon.freeze()
        fed = systemd.heard().count("WATCHDOG=1")
        await alice.send_text(room, "nobody turns")
        await asyncio.sleep(1)
        assert systemd.heard().count("WATCHDOG=1") == fed
        daemon.thaw()
        await until(lambda: systemd.heard().count("WATCHDOG=1") > fed, "the watchdog's food")
