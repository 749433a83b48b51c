"""A thousand messages: the loop, its ledger on disk, and D-Bus to a notification server."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

from fakes.notification_profiles import GNOME
from fakes.notification_server import NotificationServer
from heliograph.core.popups.bursts import BURST_MS
from heliograph.core.record import Plan
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.store.ledger import SqliteLedger
from support.builders import ME, make_content, make_delivery
from support.buses import PrivateBus
from support.waiting import until

MESSAGES = 1000
PAUSE_S = 0.004
"""Many times as fast as a thousand in a minute, for the sake of whoever waits for the test."""


class NoOpener:
    async def open(self, room_id: str | None, event_id: str | None, token: str | None) -> bool:
        return True


def count_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_thousand_messages_are_shown_in_bounded_memory_with_one_sound_for_each_burst(
    private_bus: PrivateBus, tmp_path: Path
) -> None:
    server = NotificationServer(private_bus.address, GNOME)
    await server.start()
    desktop = FreedesktopDesktop(private_bus.address)
    await desktop.start()
    ledger = await SqliteLedger.open(tmp_path / "account")
    rounds = Rounds(now_ms)
    notices = AccountNotices(desktop, ME, rounds.wake)
    settings = DeliverySettings(ME)
    loop = DeliveryLoop(ledger, desktop, NoOpener(), notices, rounds, settings, clock=now_ms, jitter=lambda: 0.5)
    running = asyncio.create_task(loop.run())
    content = make_content("x" * 500, sound="default")
    begun = now_ms()
    objects = shows = sounds = 0
    try:
        for number in range(MESSAGES):
            delivery = make_delivery(f"${number}", room_id=f"!{number % 5}:x", content=content)
            await ledger.commit(Plan(f"s{number}", deliveries=(delivery,)), now_ms())
            loop.wake()
            if number == MESSAGES // 10:
                objects = count_objects()
            await asyncio.sleep(PAUSE_S)
            shows += len(server.shown)
            sounds += sum("sound-name" in each.hints for each in server.shown)
            for kept in (server.shown, server.banners.came_up, server.banners.heard):
                kept.clear()

        async def is_all_shown() -> bool:
            return (await ledger.counts())["shown"] == MESSAGES

        await until(is_all_shown, "all of them on the screen", 30)
        assert len(server.on_screen) == 5
        assert count_objects() - objects < MESSAGES, "nothing is kept for each message"
    finally:
        loop.finish()
        await running
        await ledger.close()
        await desktop.shut()
        await server.stop()
    assert 1 <= sounds <= 1 + (now_ms() - begun) / BURST_MS
    assert shows < MESSAGES
