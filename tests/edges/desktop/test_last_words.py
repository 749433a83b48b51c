"""What a program says that cannot go on, on a real bus."""

from __future__ import annotations

import asyncio

import pytest

from fakes.notification_server import NotificationServer
from heliograph.core.notification import Urgency
from heliograph.desktop.last_words import say_last_words
from support.buses import PrivateBus


async def test_the_last_words_stay_on_screen_after_their_program(private_bus: PrivateBus) -> None:
    screen = NotificationServer(private_bus.address)
    await screen.start()
    assert await say_last_words("Heliograph cannot start", "config.toml is wrong. Mend <it>.")
    (shown,) = screen.on_screen.values()
    assert (shown.summary, shown.hints["urgency"]) == ("Heliograph cannot start", Urgency.CRITICAL)
    assert "config.toml is wrong" in shown.body
    await screen.stop()


async def test_a_notification_server_that_comes_later_is_waited_for(private_bus: PrivateBus) -> None:
    saying = asyncio.create_task(say_last_words("Heliograph cannot start", "Mend it."))
    await asyncio.sleep(0.3)
    screen = NotificationServer(private_bus.address)
    await screen.start()
    assert await saying
    assert len(screen.shown) == 1
    await screen.stop()


async def test_nobody_to_show_them_is_waited_for_in_vain_no_longer_than_that(private_bus: PrivateBus) -> None:
    assert not await asyncio.wait_for(say_last_words("Heliograph cannot start", "Mend it.", patience_s=0.5), 10)


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", ""])
async def test_without_a_bus_nothing_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert not await say_last_words("Heliograph cannot start", "Mend it.", patience_s=3600)
