"""Without systemd the daemon ends with the session that it was started in, and the next session's shows what comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conftest import NewUser
from fakes.notification_server import NotificationServer
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S, rung
from system.phone import Phone


async def test_a_new_session_has_its_own_daemon_and_the_phone_its_voice_in_between(
    new_user: NewUser, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room(invite=[me], is_direct=True)
    await me.join(room)
    phone = Phone(me)
    await phone.set_up()
    await sign_in(me)
    config = Path.home() / ".config/heliograph/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('[handoff]\nquiet = ["Element Android"]\n')
    screen = NotificationServer(private_bus.address)
    await screen.start()
    first = Daemon()
    async with first:
        await until(phone.is_quiet, "the phone to be quiet", PATIENCE_S)
        await screen.stop()
        await asyncio.to_thread(private_bus.stop)
        with PrivateBus() as next_bus:
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", next_bus.address)
            screen = NotificationServer(next_bus.address)
            await screen.start()
            # At once, as an autostart does; where the one before is not gone yet, it waits for that.
            async with Daemon():
                assert await first.ended() == 0
                assert "Heliograph ends with its session" in first.log
                assert "Switched Phone on" in first.log
                await until(phone.is_quiet, "the phone to be quiet again", PATIENCE_S)
                await alice.send_text(room, "in the next session")
                await rung(screen, "in the next session")
            await screen.stop()


async def test_a_bus_that_is_restarted_ends_nothing(new_user: NewUser, private_bus: PrivateBus) -> None:
    me = await new_user("me")
    await sign_in(me)
    async with Daemon() as daemon:
        await asyncio.to_thread(private_bus.stop)
        await asyncio.to_thread(private_bus.start)
        await until(lambda: private_bus.has_owner("io.github.heliograph"), "the daemon on the bus", PATIENCE_S)
        assert daemon.exit_code is None
        assert await daemon.stop() == 0
