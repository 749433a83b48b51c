"""What the loops may rely on from every desktop back end: fakes with the habits of real servers, dunst, and others."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from fakes.desktop import FakeDesktop
from fakes.notification_profiles import BARE, PROFILES
from fakes.notification_server import NotificationServer
from heliograph.core.delivery import Declined, Done
from heliograph.core.notification import Activated, Closed, Closing, DesktopSignal, Popup, ServerChanged
from heliograph.core.popups.profile import Update
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.portable import PortableDesktop
from heliograph.desktop.terminal import TerminalDesktop
from heliograph.ports.desktop import Desktop
from support.builders import make_notification
from support.buses import PrivateBus
from support.dunst import DunstSession
from support.waiting import until


@dataclass
class Stage:
    """A desktop, what its user sees, and what its user can do."""

    desktop: Desktop
    count: Callable[[], int]
    """Notifications seen so far, or on screen where they can be closed."""
    click: Callable[[int], object] = lambda popup_id: None
    dismiss: Callable[[int], object] = lambda popup_id: None
    signals: list[DesktopSignal] = field(default_factory=list)


async def show(stage: Stage, replaces: Popup | None = None, **notification: str) -> Popup:
    outcome = await stage.desktop.show(make_notification(**notification), replaces)
    assert isinstance(outcome, Done), outcome
    return outcome.value


INTERACTIVE = [*(pytest.param(profile, id=profile.name) for profile in PROFILES)]
INTERACTIVE.append(pytest.param("fake", id="fake"))
INTERACTIVE.append(pytest.param("dunst", id="real-dunst", marks=pytest.mark.real))
CLICKABLE = [each for each in INTERACTIVE if each.id != BARE.name]
"""All that show buttons, and so take clicks."""
SILENT = [pytest.param("plyer", id="plyer", marks=pytest.mark.real), "terminal"]


@pytest.fixture
async def stage(request: pytest.FixtureRequest, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    if request.param == "terminal":
        stream = io.StringIO()
        yield Stage(TerminalDesktop(stream), lambda: stream.getvalue().count("* "))
        return
    if request.param == "fake":
        fake = FakeDesktop()
        stage = Stage(fake, lambda: len(fake.on_screen), fake.click, fake.dismiss)
        fake.listen(stage.signals.append)
        yield stage
        return
    if request.param == "dunst":
        dunst: DunstSession = request.getfixturevalue("dunst")
        desktop = FreedesktopDesktop(private_bus.address)
        yield await listened_to(
            Stage(
                desktop,
                dunst.count,
                click=lambda _: dunst.choose("Open"),
                dismiss=lambda _: dunst.ctl("close"),
            )
        )
        await desktop.shut()
        return
    is_portable = request.param == "plyer"
    server = (
        NotificationServer(private_bus.address)
        if is_portable
        else NotificationServer(private_bus.address, request.param)
    )
    await server.start()
    if is_portable:
        yield Stage(PortableDesktop(), lambda: len(server.shown))
    else:
        desktop = FreedesktopDesktop(private_bus.address)
        yield await listened_to(Stage(desktop, lambda: len(server.on_screen), server.act, server.dismiss))
        await desktop.shut()
    await server.stop()


async def listened_to(stage: Stage) -> Stage:
    assert isinstance(stage.desktop, FreedesktopDesktop)
    await stage.desktop.start()
    stage.desktop.listen(stage.signals.append)
    return stage


class TestEveryDesktop:
    pytestmark = pytest.mark.parametrize("stage", [*INTERACTIVE, *SILENT], indirect=True)

    async def test_a_listener_hears_of_the_present_server_first(self, stage: Stage) -> None:
        heard: list[DesktopSignal] = []
        stage.desktop.listen(heard.append)
        assert len(heard) == 1
        assert isinstance(heard[0], ServerChanged)
        assert heard[0].server

    async def test_what_shows_notifications_has_a_name_for_people(self, stage: Stage) -> None:
        await show(stage)
        assert stage.desktop.server_name
        assert ":" not in stage.desktop.server_name

    async def test_a_popup_belongs_to_the_server_that_listeners_know(self, stage: Stage) -> None:
        heard: list[DesktopSignal] = []
        stage.desktop.listen(heard.append)
        popup = await show(stage)
        assert heard == [ServerChanged(popup.server)]

    async def test_each_notification_has_an_id_of_its_own(self, stage: Stage) -> None:
        popups = {await show(stage, body=f"number {number}") for number in range(3)}
        assert len(popups) == 3
        assert stage.count() == 3

    @pytest.mark.parametrize(
        "text",
        [
            "--wait",
            "-h",
            "--hint=string:image-path:/etc/hostname",
            "",
            " ",
            "\0",
            "\ud800 half a pair",
            "\x1b[31mred\x1b]0;title\x07",
            "\u202egnp.exe",
            "<b>bold</b> & <img src='/etc/hostname'/> <a href='file:///etc/passwd'>link</a>",
            "<b>never closed",
            "%s %n '%d' \\",
            "'>, 'priority': <'urgent",
            pytest.param("x" * 1_000_000, id="a megabyte"),
            pytest.param("line\n" * 100_000, id="100,000 lines"),
        ],
    )
    async def test_whatever_a_stranger_writes_is_shown(self, stage: Stage, text: str) -> None:
        await show(stage, summary=text, body=text)
        assert stage.count() == 1

    async def test_closing_what_was_never_shown_is_harmless(self, stage: Stage) -> None:
        popup = await show(stage)
        for stranger in (Popup(popup.server, 4_000_000), Popup("another server", popup.id)):
            assert isinstance(await stage.desktop.close(stranger), Done | Declined)
        assert stage.count() == 1

    async def test_it_can_be_shut_twice(self, stage: Stage) -> None:
        await show(stage)
        await stage.desktop.shut()
        await stage.desktop.shut()


class TestDesktopsThatTalkBack:
    pytestmark = pytest.mark.parametrize("stage", INTERACTIVE, indirect=True)

    async def test_a_replacement_takes_the_place_of_what_it_replaces(self, stage: Stage) -> None:
        popup = await show(stage, body="one")
        again = await show(stage, replaces=popup, body="one, two")
        # Where it is a new one, since a replacement may come to nobody's notice there, nobody is told of the old one.
        assert again == popup or stage.desktop.profile.news is Update.RENEW
        assert stage.count() == 1
        stage.dismiss(again.id)
        await until(lambda: stage.signals[1:] == [Closed(again, Closing.DISMISSED)])

    async def test_a_popup_of_another_server_life_is_never_replaced(self, stage: Stage) -> None:
        popup = await show(stage, body="somebody else's")
        again = await show(stage, replaces=Popup("an earlier server", popup.id), body="ours")
        assert again.id != popup.id
        assert stage.count() == 2

    async def test_a_closed_popup_is_gone_and_told_of_once(self, stage: Stage) -> None:
        popup = await show(stage)
        assert await stage.desktop.close(popup) == Done(None)
        await until(lambda: stage.signals[1:] == [Closed(popup, Closing.CALLED)])
        assert await stage.desktop.close(popup) == Done(None)
        other = await show(stage, body="another")
        assert await stage.desktop.close(other) == Done(None)
        await until(lambda: stage.signals[2:] == [Closed(other, Closing.CALLED)])

    async def test_a_popup_that_the_user_closes_is_told_of_once(self, stage: Stage) -> None:
        popup = await show(stage)
        stage.dismiss(popup.id)
        other = await show(stage, body="another")
        stage.dismiss(other.id)
        wanted = [Closed(popup, Closing.DISMISSED), Closed(other, Closing.DISMISSED)]
        await until(lambda: stage.signals[1:] == wanted)

    async def test_every_listener_hears_everything(self, stage: Stage) -> None:
        others: list[DesktopSignal] = []
        stage.desktop.listen(others.append)
        popup = await show(stage)
        stage.dismiss(popup.id)
        await until(lambda: len(others) == 2 and others == stage.signals)


@pytest.mark.parametrize("stage", CLICKABLE, indirect=True)
async def test_a_click_is_told_of_once(stage: Stage) -> None:
    popup = await show(stage)
    stage.click(popup.id)
    await until(lambda: Activated(popup, "default") in stage.signals)
    await stage.desktop.close(popup)
    await until(lambda: any(isinstance(signal, Closed) for signal in stage.signals))
    assert sum(isinstance(signal, Activated) for signal in stage.signals) == 1
