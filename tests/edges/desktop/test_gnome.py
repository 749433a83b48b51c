"""GNOME Shell: what is new comes up and is heard, whatever happened to its room before; the rest goes to the tray.

Each of these came to nobody's notice on GNOME Shell 48 while notifications were replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from edges.loops.stage import DeliveryStage, WallClock, running
from fakes.ledger import FakeLedger
from fakes.notification_profiles import GNOME
from fakes.notification_server import Misbehaviour, NotificationServer
from heliograph.core.delivery import Done
from heliograph.core.ids import EventId
from heliograph.core.notification import Category, Notification, Popup, ServerChanged, Urgency
from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.record import Edit, Withdrawal
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import make_content, make_delivery, make_notification
from support.buses import PrivateBus
from support.waiting import until

CHATTER = make_notification(body="chatter")
MENTION = make_notification(body="mention", sound="default")
CALL = make_notification(body="call", sound="ring", category=Category.CALL, urgency=Urgency.CRITICAL)
EDIT = make_notification(body="edited", is_update=True)


@pytest.fixture
async def shell(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    server = NotificationServer(private_bus.address, GNOME)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def desktop(shell: NotificationServer) -> AsyncIterator[FreedesktopDesktop]:
    desktop = FreedesktopDesktop(shell.address)
    await desktop.start()
    yield desktop
    await desktop.shut()


async def show(desktop: FreedesktopDesktop, *notifications: Notification) -> Popup:
    """One after the other, each in the place of the one before."""
    popup = None
    for notification in notifications:
        outcome = await desktop.show(notification, popup)
        assert isinstance(outcome, Done)
        popup = outcome.value
    assert popup is not None
    return popup


def came_up(shell: NotificationServer) -> list[str]:
    return [each.body for each in shell.banners.came_up]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([CHATTER], id="chatter"),
        pytest.param([CHATTER, EDIT], id="an edit"),
        pytest.param([MENTION, EDIT, EDIT], id="two edits"),
    ],
)
@pytest.mark.parametrize("news", [MENTION, CALL], ids=["a mention", "a call"])
async def test_what_is_new_comes_up_and_is_heard_after(
    shell: NotificationServer, desktop: FreedesktopDesktop, before: list[Notification], news: Notification
) -> None:
    await show(desktop, *before, news)
    assert came_up(shell)[-1] == news.body
    assert shell.banners.heard[-1].body == news.body
    assert len(shell.on_screen) == 1


async def test_what_nobody_needs_to_see_goes_to_the_tray_alone(
    shell: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await show(desktop, CHATTER, EDIT, EDIT)
    assert came_up(shell) == ["chatter"]
    assert [each.body for each in shell.on_screen.values()] == ["edited"]


async def test_what_is_new_comes_up_after_do_not_disturb_and_a_call_in_it(
    shell: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    shell.is_inhibited = True
    held = await show(desktop, MENTION)
    assert came_up(shell) == []
    called = await desktop.show(CALL, held)
    assert isinstance(called, Done)
    assert came_up(shell) == ["call"]
    shell.is_inhibited = False
    await desktop.show(make_notification(body="after", sound="default"), called.value)
    assert came_up(shell) == ["call", "after"]


async def test_a_ringing_call_goes_on_insisting_when_its_popup_is_changed(
    shell: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await show(desktop, CALL, make_notification(body="call, edited", is_update=True, urgency=Urgency.CRITICAL))
    assert came_up(shell) == ["call", "call, edited"]
    assert len(shell.banners.heard) == 1


# With the loop


def say(text: str, event_id: str, **content: Any) -> Any:
    return make_delivery(event_id, content=make_content(text, is_direct=True, sound="default", **content))


@pytest.fixture
def stage(desktop: FreedesktopDesktop) -> DeliveryStage:
    return DeliveryStage(WallClock(), screen=desktop, privacy=Privacy(locked=Level.HIDDEN))


async def test_the_first_message_after_the_lock_comes_up(shell: NotificationServer, stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(say("before", "$1"))
        await until(lambda: came_up(shell) == ["before"])
        stage.loop.set_locked(True)
        await until(lambda: len(shell.shown) == 2)
        stage.loop.set_locked(False)
        await until(lambda: [each.body for each in shell.on_screen.values()] == ["before"])
        assert came_up(shell) == ["before"]
        stage.clock.jump(5)
        await stage.commit(say("after", "$2"))
        await until(lambda: len(shell.banners.heard) == 2)
    assert came_up(shell) == ["before", "after · before"]


async def test_edits_and_what_was_read_elsewhere_come_up_nowhere(
    shell: NotificationServer, stage: DeliveryStage
) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"), say("two", "$2"))
        await until(lambda: len(shell.on_screen) == 1)
        await stage.commit(changes=[Edit(EventId("$2"), "two, corrected")])
        await until(lambda: [each.body for each in shell.on_screen.values()] == ["two, corrected · one"])
        await stage.commit(changes=[Withdrawal(EventId("$1"), "read elsewhere")])
        await until(lambda: [each.body for each in shell.on_screen.values()] == ["two, corrected"])
        assert len(shell.banners.came_up) == 1
        await stage.commit(changes=[Withdrawal(EventId("$2"), "read elsewhere")])
        await until(lambda: not shell.on_screen)
    assert stage.ledger.popup_records == {}


async def test_after_a_restart_the_list_is_filled_again_quietly(shell: NotificationServer) -> None:
    ledger = FakeLedger()
    for life in range(3):
        desktop = FreedesktopDesktop(shell.address)
        await desktop.start()
        stage = DeliveryStage(WallClock(), ledger=ledger, screen=desktop)
        async with running(stage.loop):
            if not life:
                await stage.commit(
                    say("one", "$1"), make_delivery("$2", room_id="!other:x", content=make_content("two"))
                )
            await until(lambda: len(shell.on_screen) == 2)
            # The server has a popup before the ledger has its id.
            await until(lambda: {each.popup.id for each in ledger.popup_records.values()} == set(shell.on_screen))
        await desktop.shut()
        await until(lambda: not shell.on_screen, "the shell to notice that we are gone")
    assert len(shell.banners.came_up) == 2
    assert stage.rang == []


async def test_a_restarted_shell_gets_its_list_back(shell: NotificationServer, stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(say("one", "$1"))
        await until(lambda: len(shell.on_screen) == 1)
        await shell.restart()
        await until(lambda: [each.urgency for each in shell.on_screen.values()] == [0])
    assert len(shell.banners.came_up) == 1


async def test_a_shell_that_answers_only_after_its_name_is_known_keeps_one_notification_of_a_room(
    shell: NotificationServer, private_bus: PrivateBus
) -> None:
    shell.misbehaviour = Misbehaviour.STARTING
    desktop = FreedesktopDesktop(private_bus.address)
    lives = []
    desktop.listen(lambda signal: lives.append(signal.server) if isinstance(signal, ServerChanged) else None)
    await desktop.start()
    await until(lambda: lives[-1] is not None, "the shell's name")
    shell.misbehaviour = Misbehaviour.NONE
    popup = await show(desktop, CHATTER)
    # By the life that is told, the delivery loop knows which of its popups are still there.
    await until(lambda: lives[-1] == popup.server, "the life of what shows it")
    await desktop.shut()
