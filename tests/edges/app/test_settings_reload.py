"""The settings are read again while the daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from conftest import Home
from fakes.notices import FakeNotices
from heliograph.app.settings_reload import ABOUT, SettingsReload
from heliograph.config.changes import changed_settings
from heliograph.config.settings import Config, DesktopConfig, PrivacyConfig
from heliograph.errors import UserError
from heliograph.ports.notices import Cure
from heliograph.system.tasks import cancel, start
from support.waiting import until


class CountingNotices(FakeNotices):
    """Each reading ends with one of its calls."""

    calls = 0

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None:
        super().tell(title, hint, about=about, cure=cure)
        self.calls += 1

    def withdraw(self, key: str) -> None:
        super().withdraw(key)
        self.calls += 1


class Reloading:
    """A daemon that was started with all defaults, and what it took over since."""

    def __init__(self, home: Home) -> None:
        self._file = home.config / "heliograph/config.toml"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self.notices = CountingNotices()
        self.asked = asyncio.Event()
        self.taken: list[DesktopConfig] = []
        self.reads = SettingsReload(Config(), self._take, self.notices)

    async def _take(self, desktop: DesktopConfig) -> None:
        if desktop.open_with == "nothing":
            raise UserError("Rooms cannot be opened with 'nothing'", "Use another.")
        self.taken.append(desktop)

    async def read(self, text: str) -> None:
        """Returns once that text was read and taken over as far as it could be."""
        await asyncio.to_thread(self._file.write_text, text)
        calls = self.notices.calls
        self.asked.set()
        await until(lambda: self.notices.calls > calls, "the end of reading")


@pytest.fixture
async def reloading(home: Home) -> AsyncIterator[Reloading]:
    reloading = Reloading(home)
    task = start(reloading.reads.run(reloading.asked), name="reload")
    yield reloading
    with contextlib.suppress(asyncio.CancelledError):
        await cancel(task)


async def test_settings_of_the_desktop_are_taken_over_and_told_in_a_line(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await reloading.read("[desktop]\ntray = true\n")
    await reloading.read('[desktop]\ntray = true\nopen_with = "element"\n')
    assert reloading.taken == [DesktopConfig(tray=True), DesktopConfig(tray=True, open_with="element")]
    assert "taken over: [desktop] tray; waiting for a restart: none" in caplog.messages[0]
    assert "taken over: [desktop] open_with; waiting for a restart: none" in caplog.messages[1]
    assert reloading.notices.told == []


async def test_what_needs_a_restart_is_told_on_screen_for_as_long_as_it_does(reloading: Reloading) -> None:
    await reloading.read('[desktop]\nbackend = "terminal"\ntray = true\n[privacy]\nshow = "hidden"\n')
    assert reloading.taken == [DesktopConfig(tray=True)]
    (told,) = reloading.notices.told
    assert told[0] == "A restart is needed for [desktop] backend, [privacy] show."
    assert "heliograph" in told[1]
    await reloading.read("[desktop]\ntray = true\n")
    assert reloading.taken == [DesktopConfig(tray=True)]
    assert reloading.notices.standing == {}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("[desktop]\ntrey = true\n", "trey"),
        ('[desktop]\nopen_with = "nothing"\n', "Rooms cannot be opened with 'nothing'"),
    ],
)
async def test_what_is_wrong_is_told_and_the_settings_from_before_go_on(
    reloading: Reloading, text: str, title: str
) -> None:
    await reloading.read(text)
    told, hint = reloading.notices.standing[ABOUT]
    assert title in told
    assert hint.endswith("The settings from before go on.")
    assert reloading.taken == []
    await reloading.read("[desktop]\ntray = true\n")
    assert reloading.taken == [DesktopConfig(tray=True)]
    assert reloading.notices.standing == {}


def test_changed_settings_are_named_in_the_order_of_the_file() -> None:
    changed = Config(privacy=PrivacyConfig(show="hidden"), desktop=DesktopConfig(tray=True, badge=""))
    assert changed_settings(Config(), changed) == ["[desktop] badge", "[desktop] tray", "[privacy] show"]
    assert changed_settings(changed, changed) == []
