"""What a click in the tray does, and the item of a whole daemon."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from edges.loops.stage import FakeOpener
from fakes.answers import FakeAnswers
from fakes.desktop import FakeDesktop
from fakes.notices import FakeNotices
from fakes.tray import FakeTray
from heliograph.accounts import Account, config_file, save_account
from heliograph.app import daemon
from heliograph.app.tray import TrayItem, make_tray, open_settings
from heliograph.config.reading import load_config
from heliograph.config.settings import Config, DesktopConfig, PrivacyConfig
from heliograph.core.ids import UserId
from heliograph.core.pushers.handoff import Signs
from heliograph.core.status import DaemonStatus
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.core.tray.menu import Command, CommandKind
from heliograph.core.tray.situation import HIDDEN_ROOM
from heliograph.errors import EXIT_OK, StorageError, UserError
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.hostile_homeserver import HostileHomeserver, message
from support.waiting import until

WITH_TRAY = Config(desktop=DesktopConfig(tray=True))
NEWS = Summary("connected", ((ME, "connected"),), unread=1, rooms=(RoomCount(ME, ROOM, "Lunch", 1, 0),))


class Clicks:
    """The item on a bus, and what was done for it."""

    def __init__(self, bus: PrivateBus, config: Config = WITH_TRAY) -> None:
        self.actions = FakeAnswers()
        self.opener = FakeOpener()
        self.notices = FakeNotices()
        self.quits = 0
        item = make_tray(
            config,
            actions=self.actions,
            opener=self.opener,
            quit_daemon=self._quit,
            troubles=self.notices,
            bus_address=bus.address,
        )
        assert item is not None
        self.item: TrayItem = item

    def _quit(self) -> None:
        self.quits += 1

    async def click(self, kind: CommandKind, *rest: str, token: str = "") -> None:
        """Returns when it is done."""
        before = asyncio.all_tasks()
        self.item.take_command(Command(kind, *rest), token)
        await asyncio.wait(asyncio.all_tasks() - before)


@pytest.fixture
def clicks(private_bus: PrivateBus) -> Clicks:
    return Clicks(private_bus)


@pytest.fixture
async def tray(private_bus: PrivateBus) -> AsyncIterator[FakeTray]:
    tray = FakeTray(private_bus.address)
    await tray.start()
    yield tray
    await tray.stop()
    assert tray.faults == []


async def test_each_entry_does_what_its_command_does(clicks: Clicks) -> None:
    await clicks.click(CommandKind.OPEN, ME, ROOM, token="token")
    await clicks.click(CommandKind.MARK_ALL_READ)
    await clicks.click(CommandKind.PAUSE, "", "", "until 08:00")
    await clicks.click(CommandKind.RESUME)
    await clicks.click(CommandKind.OPEN_CLIENT, token="token")
    await clicks.click(CommandKind.QUIT)
    assert clicks.actions.asked == [
        ("open", ME, ROOM, "token"),
        ("mark_all_read",),
        ("pause", "until 08:00"),
        ("resume",),
    ]
    assert clicks.opener.opened == [(None, None, "token")]
    assert clicks.quits == 1


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (UserError("It is not so.", "Do that."), ("It is not so.", "Do that.")),
        (StorageError("disk full"), ("It did not work: disk full", "Try again later.")),
    ],
)
async def test_what_does_not_work_is_told_as_a_notification(
    clicks: Clicks, trouble: UserError | StorageError, told: tuple[str, str]
) -> None:
    clicks.actions.trouble = trouble
    await clicks.click(CommandKind.RESUME)
    assert clicks.notices.told == [told]


async def test_without_a_client_a_click_says_so(clicks: Clicks) -> None:
    clicks.opener.works = False
    await clicks.click(CommandKind.OPEN_CLIENT)
    assert [title for title, _ in clicks.notices.told] == ["No Matrix client could be opened."]


async def test_an_impatient_user_asks_once(clicks: Clicks) -> None:
    for _ in range(5):
        clicks.item.take_command(Command(CommandKind.MARK_ALL_READ), "")
    await until(lambda: clicks.actions.asked)
    await clicks.click(CommandKind.RESUME)
    assert clicks.actions.asked == [("mark_all_read",), ("resume",)]


async def test_a_locked_session_shows_no_names_if_its_privacy_hides_them(
    private_bus: PrivateBus, tray: FakeTray
) -> None:
    config = Config(desktop=DesktopConfig(tray=True), privacy=PrivacyConfig(locked="hidden"))
    clicks = Clicks(private_bus, config)
    await clicks.item.start()
    clicks.item.take_summary(NEWS)
    await until(lambda: "Lunch: 1" in tray.lines)
    clicks.item.take_signs(Signs(is_locked=True))
    await until(lambda: f"{HIDDEN_ROOM}: 1" in tray.lines and tray.tooltip == f"1 unread\n{HIDDEN_ROOM}: 1")
    clicks.item.take_signs(Signs())
    await until(lambda: "Lunch: 1" in tray.lines)
    await clicks.item.stop()


async def test_why_it_is_quiet_is_told_with_its_end(clicks: Clicks, tray: FakeTray) -> None:
    clicks.item.take_summary(
        Summary("connected", paused_until_ms=UNTIL_RESUMED, quiet_why="paused", quiet_until_ms=UNTIL_RESUMED)
    )
    await clicks.item.start()
    await until(lambda: "[Paused until resumed]" in tray.lines and "Resume" in tray.lines)
    await clicks.item.stop()


# The settings file


async def test_the_settings_file_is_opened_and_made_if_there_is_none(home: Home) -> None:
    opened: list[tuple[Path, str | None]] = []

    async def open_it(file: Path, token: str | None) -> bool:
        opened.append((file, token))
        return True

    assert await open_settings(config_file(), open_it, "token")
    assert opened == [(config_file(), "token")]
    assert await asyncio.to_thread(load_config) == Config()
    await asyncio.to_thread(config_file().write_text, "[desktop]\ntray = true\n")
    assert await open_settings(config_file(), open_it, "")
    assert await asyncio.to_thread(load_config) == WITH_TRAY


async def test_a_settings_file_that_cannot_be_made_says_why(home: Home, clicks: Clicks) -> None:
    home.config.joinpath("heliograph").write_text("a file where the folder should be")
    await clicks.click(CommandKind.SETTINGS)
    ((title, hint),) = clicks.notices.told
    assert title.startswith(f"{config_file()} could not be made: ")
    assert "heliograph config --path" in hint


async def test_a_settings_file_that_no_program_opens_says_so(
    clicks: Clicks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    await clicks.click(CommandKind.SETTINGS)
    assert [title for title, _ in clicks.notices.told] == ["The settings file could not be opened."]


# A whole daemon


@contextlib.asynccontextmanager
async def running_daemon(
    config: Config, desktop: FakeDesktop | None = None, reload: asyncio.Event | None = None
) -> AsyncIterator[tuple[HostileHomeserver, Any, Any]]:
    """The homeserver, the daemon's task, and what tells its status."""
    server = HostileHomeserver(ME)
    await server.start()
    account = Account(user_id=UserId(ME), device_id="D", homeserver=server.url, secrets="file", pushkey="key")
    await asyncio.to_thread(save_account, account)
    await open_secrets("file").save(ME, Secret(access_token="token", pickle_key="test").encode())
    statuses: list[Any] = []
    stop = asyncio.Event()
    work = daemon.run_daemon(
        config,
        [account],
        desktop=desktop or FakeDesktop(),
        stop=stop,
        reload=reload or asyncio.Event(),
        on_ready=statuses.append,
    )
    task = asyncio.create_task(work)

    def status() -> DaemonStatus:
        told: DaemonStatus = statuses[-1]()
        return told

    try:
        await until(lambda: statuses and len(server.sinces) >= 3, "a poll")
        yield server, task, status
    finally:
        stop.set()
        await asyncio.wait([task])
        await server.stop()


async def test_a_message_is_in_the_tray_and_quit_ends_the_daemon_and_its_item(tray: FakeTray) -> None:
    async with running_daemon(WITH_TRAY) as (server, task, status):
        await until(lambda: status().tray == "in the tray" and tray.properties)
        assert not tray.is_visible
        server.give(server.sync(message("hello")))
        await until(lambda: tray.is_visible and "[1 unread]" in tray.lines)
        assert status().as_json()["desktop"]["tray"] == "in the tray"
        await tray.choose("Quit Heliograph")
        assert await asyncio.wait_for(task, 20) == EXIT_OK
        await until(lambda: not tray.service)


async def test_the_item_comes_and_goes_when_the_settings_are_read_again(
    tray: FakeTray, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    reload = asyncio.Event()
    async with running_daemon(Config(), reload=reload) as (server, _, status):
        server.give(server.sync(message("hello")))
        await asyncio.to_thread(config_file().parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(config_file().write_text, "[desktop]\ntray = true\n")
        reload.set()
        await until(lambda: tray.is_visible and "[1 unread]" in tray.lines)
        assert status().tray == "in the tray"
        await asyncio.to_thread(config_file().write_text, '[desktop]\ntray = true\nopen_with = "element"\n')
        reload.set()
        await until(lambda: "taken over: [desktop] open_with" in caplog.text)
        assert len(tray.registered) == 1, "nothing about the item is new"
        await asyncio.to_thread(config_file().write_text, "")
        reload.set()
        await until(lambda: not tray.service and status().tray == "off")


@pytest.mark.expected_log("Unexpected fault in showing the tray item", times=(1, 9))
async def test_a_fault_in_the_tray_keeps_no_message_from_the_screen(
    tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[object] = []

    def break_down(*told: object) -> None:
        faults.append(told)
        raise RuntimeError("a fault")

    desktop = FakeDesktop()
    async with running_daemon(WITH_TRAY, desktop) as (server, _, _status):
        monkeypatch.setattr(TrayItem, "take_summary", break_down)
        server.give(server.sync(message("hello")))
        await until(lambda: faults and desktop.bodies)
    assert "hello" in desktop.bodies[0]


async def test_without_the_setting_nothing_of_it_is_loaded_or_shown(
    tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("heliograph.app.tray", "heliograph.control.tray"))]:
        monkeypatch.delitem(sys.modules, name)
    async with running_daemon(Config()) as (_, _, status):
        assert status().tray == "off"
        assert not [name for name in sys.modules if name.startswith(("heliograph.app.tray", "heliograph.control.tray"))]
        assert tray.registered == []


@pytest.mark.expected_log("There is no session bus, so there is no tray")
async def test_without_a_session_bus_there_is_no_item(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    made = make_tray(
        WITH_TRAY, actions=FakeAnswers(), opener=FakeOpener(), quit_daemon=lambda: None, troubles=FakeNotices()
    )
    assert made is None
