"""`heliograph test`, over a fake notification server, and without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edges.cli.conftest import Shell
from fakes.notification_profiles import BARE, DUNST, PLASMA
from fakes.notification_server import Misbehaviour, NotificationServer
from heliograph.cli.test.trial import try_notifications
from heliograph.config.settings import Config, DesktopConfig, NotificationsConfig
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.samples import sample_notifications
from support.buses import PrivateBus
from support.waiting import until

CONFIG = Config(desktop=DesktopConfig(backend="freedesktop"), notifications=NotificationsConfig(sound="server"))


@pytest.fixture
async def server(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    server = NotificationServer(private_bus.address, PLASMA)
    await server.start()
    yield server
    await server.stop()


async def test_one_of_each_kind_is_shown_and_what_the_user_does_is_told(
    server: NotificationServer, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = asyncio.create_task(try_notifications(CONFIG, 60, only_ask=False))
    await until(lambda: len(server.on_screen) == len(sample_notifications(SAFE.layout)))
    first, second, third, *rest = list(server.on_screen)
    server.act(first, "default")
    server.reply(third, "typed")
    server.dismiss(second)
    for popup in rest:
        server.dismiss(popup)
    assert await asyncio.wait_for(trial, 20) == 0
    told = capsys.readouterr().out
    assert "Shown: an invite" in told
    assert "profile: known as Plasma, by its name; looked at: 6.3" in told
    assert "yes  lets you answer in the notification" in told
    assert "a message to you alone, with a picture: you clicked it" in told
    assert "a message in a thread, with emphasis: you closed it" in told
    assert "several messages in a room: you answered 'typed', which goes nowhere" in told
    assert "a call: you closed it" in told


async def test_what_goes_by_itself_is_told(server: NotificationServer, capsys: pytest.CaptureFixture[str]) -> None:
    await server.restart(DUNST)
    trial = asyncio.create_task(try_notifications(CONFIG, 60, only_ask=False))
    await until(lambda: len(server.on_screen) == len(sample_notifications(SAFE.layout)))
    for popup in tuple(server.on_screen):
        server.expire(popup)
    assert await asyncio.wait_for(trial, 20) == 0
    assert "a call: went by itself" in capsys.readouterr().out


async def test_what_is_left_is_taken_away_at_the_end(server: NotificationServer) -> None:
    assert await try_notifications(CONFIG, 0, only_ask=False) == 0
    await until(lambda: not server.on_screen)
    assert server.calls.count("CloseNotification") == len(sample_notifications(SAFE.layout))


async def test_asking_only_shows_nothing(server: NotificationServer, capsys: pytest.CaptureFixture[str]) -> None:
    await server.restart(BARE)
    server.inhibit(True)
    assert await try_notifications(CONFIG, 60, only_ask=True) == 0
    told = capsys.readouterr().out
    assert "no   takes no clicks" in told
    assert "it says: nothing" in told
    assert "profile: not known here, by its name\n" in told
    assert "nothing is known of this server" in told
    assert server.shown == []


async def test_a_server_that_refuses_fails_the_test(
    server: NotificationServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.misbehaviour = Misbehaviour.REFUSE
    assert await try_notifications(CONFIG, 60, only_ask=False) == 1
    assert "Not shown: a mention (" in capsys.readouterr().err


def test_without_a_notification_server_it_fails(shell: Shell, private_bus: PrivateBus) -> None:
    result = shell.run("test", "--only-ask")
    assert result.exit_code == 1
    assert "No notification server answers." in result.stderr


def test_a_terminal_shows_text(shell: Shell) -> None:
    result = shell.run("test", "--seconds", "0")
    assert result.exit_code == 0
    assert "12:30 then." in result.stdout
    assert "text only" in result.stdout
