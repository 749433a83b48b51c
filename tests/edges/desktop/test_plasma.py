"""Plasma: what is read, edited, deleted or locked leaves its history, too, and what is new comes up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from edges.loops.stage import DeliveryStage, WallClock, running
from fakes.notification_profiles import PLAIN, PLASMA
from fakes.notification_server import NotificationServer
from heliograph.core.delivery import Done
from heliograph.core.ids import EventId
from heliograph.core.notification import Activated, Closed, Closing, DesktopSignal, Picture
from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.record import Edit, Withdrawal
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.own_picture import own_picture
from support.builders import make_content, make_delivery, make_notification
from support.buses import PrivateBus
from support.waiting import until

ALICE = Picture(1, 1, b"abcd")


@pytest.fixture
async def plasma(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    server = NotificationServer(private_bus.address, PLASMA)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def desktop(plasma: NotificationServer) -> AsyncIterator[FreedesktopDesktop]:
    desktop = FreedesktopDesktop(plasma.address)
    await desktop.start()
    yield desktop
    await desktop.shut()


@pytest.fixture
def stage(desktop: FreedesktopDesktop) -> DeliveryStage:
    return DeliveryStage(WallClock(), screen=desktop, privacy=Privacy(locked=Level.HIDDEN))


def say(text: str, event_id: str, **content: Any) -> Any:
    return make_delivery(event_id, content=make_content(text, is_direct=True, sound="default", **content))


async def expire(plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop) -> None:
    """The time of the only popup is over, of which the ledger knows; returns when we have been told so."""
    await until(lambda: len(plasma.on_screen) == 1)
    (popup_id,) = plasma.on_screen
    await until(lambda: [each.popup.id for each in stage.ledger.popup_records.values()] == [popup_id])
    plasma.expire(popup_id)
    await plasma.all_sent()
    # What the bus answers now comes after what it has passed on.
    await desktop._watch.bus.call_driver("GetId")
    await until(lambda: not stage.loop._signals)


def history(plasma: NotificationServer) -> list[str]:
    return [each.body for each in plasma.listed.values()]


async def test_what_expired_is_closed_and_changed_in_the_history(
    plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop
) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"), say("two", "$2"))
        await expire(plasma, stage, desktop)
        assert history(plasma) == ["one\ntwo"]
        await stage.commit(changes=[Edit(EventId("$2"), "two, corrected")])
        await until(lambda: history(plasma) == ["one\ntwo, corrected"])
        await stage.commit(changes=[Withdrawal(EventId("$2"), "redacted")])
        await until(lambda: history(plasma) == ["one"])
        await stage.commit(changes=[Withdrawal(EventId("$1"), "read elsewhere")])
        await until(lambda: not plasma.listed)
    assert len(plasma.banners.came_up) == 1
    assert plasma.on_screen == {}


async def test_what_is_new_comes_up_and_is_the_only_entry_of_its_room(
    plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop
) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"))
        await expire(plasma, stage, desktop)
        await stage.commit(say("two", "$2"))
        await until(lambda: [each.body for each in plasma.on_screen.values()] == ["one\ntwo"])
        assert history(plasma) == []
        await expire(plasma, stage, desktop)
    assert len(plasma.banners.came_up) == 2
    assert history(plasma) == ["one\ntwo"]


async def test_the_history_says_after_the_lock_what_it_hid_in_it(
    plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop
) -> None:
    async with running(stage.loop):
        stage.loop.set_locked(True)
        await stage.commit(say("secret", "$1"))
        await expire(plasma, stage, desktop)
        assert [each.summary for each in plasma.listed.values()] == ["New message"]
        stage.loop.set_locked(False)
        await until(lambda: history(plasma) == ["secret"])
        stage.loop.set_locked(True)
        await until(lambda: history(plasma) == [""])
    assert len(plasma.banners.came_up) == 1


async def test_the_buttons_in_the_history_work(
    plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop
) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"))
        await expire(plasma, stage, desktop)
        plasma.act(next(iter(plasma.listed)), "mark-read")
        await until(lambda: len(stage.requests) == 1)
        await until(lambda: not plasma.listed)


async def test_what_the_user_clears_from_the_history_is_gone(
    plasma: NotificationServer, stage: DeliveryStage, desktop: FreedesktopDesktop
) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"))
        await expire(plasma, stage, desktop)
        plasma.dismiss(next(iter(plasma.listed)))
        await until(lambda: not stage.ledger.popup_records)


async def test_nobodys_picture_stands_beside_the_words_of_another(
    plasma: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    outcome = await desktop.show(make_notification(picture=ALICE), None)
    assert isinstance(outcome, Done)
    await desktop.show(make_notification(body="hidden", is_update=True), outcome.value)
    assert list(plasma.pictures) == [outcome.value.id]
    assert bytes(plasma.pictures[outcome.value.id][-1]) == own_picture().pixels


def test_our_own_picture_is_our_icon_with_clear_corners() -> None:
    picture = own_picture()
    assert len(picture.pixels) == 4 * picture.width * picture.height
    assert picture.pixels[3] == 0
    middle = 4 * (picture.width * (36 * picture.height // 64) + 26 * picture.width // 64)
    red, green, blue, opacity = picture.pixels[middle : middle + 4]
    assert red > green > blue
    assert opacity == 255


async def test_a_server_that_is_seen_to_keep_a_list_is_taken_to_have_one(private_bus: PrivateBus) -> None:
    server = NotificationServer(private_bus.address, PLAIN)
    await server.start()
    desktop = FreedesktopDesktop(private_bus.address)
    await desktop.start()
    signals: list[DesktopSignal] = []
    desktop.listen(signals.append)
    popups = []
    for body in ("one", "two", "three"):
        outcome = await desktop.show(make_notification(body=body), None)
        assert isinstance(outcome, Done)
        popups.append(outcome.value)
    first, second, third = popups
    server.expire(first.id)
    server.signal("ActionInvoked", "us", [first.id, "default"])
    server.expire(second.id)
    server.dismiss(third.id)
    await until(lambda: Closed(third, Closing.DISMISSED) in signals)
    expired = Closed(first, Closing.EXPIRED)
    assert signals[1:] == [expired, Activated(first, "default"), Closed(third, Closing.DISMISSED)]
    await desktop.shut()
    await server.stop()
