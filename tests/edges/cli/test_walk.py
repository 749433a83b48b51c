"""`heliograph test --walk`: in a terminal, over a fake notification server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import click
import pytest

from conftest import Home
from edges.cli.conftest import Shell
from fakes.notification_profiles import PLASMA
from fakes.notification_server import Misbehaviour, NotificationServer
from heliograph.cli.test import walk as walk_module
from heliograph.cli.test.walk import report_file, walk
from heliograph.config.settings import Config, DesktopConfig, NotificationsConfig
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.scenes import Cue, walk_scenes
from heliograph.errors import UserError
from support.buses import PrivateBus

CONFIG = Config(desktop=DesktopConfig(backend="freedesktop"), notifications=NotificationsConfig(sound="server"))
SCENES = walk_scenes(SAFE.layout)
WALK = (sys.executable, "-m", "heliograph", "test", "--walk")


class Terminal:
    """A terminal, as the user sees it and types into it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.controller, self.inside = pty.openpty()
        os.set_blocking(self.controller, False)
        stack.callback(os.close, self.controller)
        stack.callback(os.close, self.inside)
        self.reading = stack.enter_context(os.fdopen(os.dup(self.inside)))
        self.writing = stack.enter_context(os.fdopen(os.dup(self.inside), "w"))
        self.seen = ""
        self._place = 0

    async def read_until(self, words: str) -> None:
        """Reads on until these words came, behind those that were waited for before."""
        async with asyncio.timeout(30):
            while (found := self.seen.find(words, self._place)) < 0:
                try:
                    self.seen += os.read(self.controller, 65536).decode()
                except BlockingIOError:
                    await asyncio.sleep(0.01)
        self._place = found + len(words)

    def type(self, answer: str) -> None:
        os.write(self.controller, f"{answer}\n".encode())

    async def answer(self, *answers: str) -> None:
        """Types each answer once it is asked for."""
        for answer in answers:
            await self.read_until("Is it so?")
            self.type(answer)

    def end(self) -> None:
        """Types Ctrl-D."""
        os.write(self.controller, b"\x04")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with contextlib.ExitStack() as stack:
        yield Terminal(stack)


Walk = Callable[[], Awaitable[int]]


@pytest.fixture
def walk_there(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Walks in this terminal."""

    async def walk_in_terminal() -> int:
        # Not before the test runs: pytest itself puts its own file there.
        monkeypatch.setattr("sys.stdin", terminal.reading)
        monkeypatch.setattr("sys.stdout", terminal.writing)
        return await walk(CONFIG)

    return walk_in_terminal


@pytest.fixture
async def server(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NotificationServer]:
    monkeypatch.setattr(walk_module, "_LOOK_UP_S", 0.0)
    # The scenes follow upon one another at once here, as no user plays them.
    server = NotificationServer(private_bus.address, replace(PLASMA, refuses_alike=False))
    await server.start()
    yield server
    await server.stop()


def lines_of(report: str, scene: str) -> Sequence[str]:
    """The lines of the report on this scene, without indentation."""
    lines = report.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"  {scene}:"))
    end = next((number for number in range(start + 1, len(lines)) if not lines[number].startswith("    ")), len(lines))
    return [line.strip() for line in lines[start:end]]


async def test_each_scene_is_shown_and_its_answer_stands_in_the_report(
    server: NotificationServer, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    walking = asyncio.ensure_future(walk_there())
    await terminal.answer("y", "n", "a \x1b[31mgrey box", "")
    await terminal.answer(*["yes"] * (len(SCENES) - 4))
    await terminal.read_until("icon: a [31mgrey box")
    await terminal.read_until("so that they may?")
    terminal.type("y")
    assert await asyncio.wait_for(walking, 30) == 0
    await terminal.read_until(str(report_file()))
    report = report_file().read_text()
    assert lines_of(report, "direct message") == ["direct message: yes"]
    assert lines_of(report, "sound") == ["sound: NO"]
    assert lines_of(report, "icon") == ["icon: INSTEAD (a [31mgrey box)"]
    assert lines_of(report, "edit") == ["edit: left out"]
    assert lines_of(report, SCENES[-1].name) == [f"{SCENES[-1].name}: yes"]
    assert "Plasma 6.3.6" in report
    assert server.on_screen == {}
    asked = [scene for scene in SCENES if scene.cue in (Cue.SHOW, Cue.CHANGE)]
    assert [shown.summary for shown in server.shown] == [
        each.notification.summary for each in asked if each.notification
    ]


async def test_the_users_own_words_are_left_out_unless_they_are_looked_at_and_let_through(
    server: NotificationServer, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    walking = asyncio.ensure_future(walk_there())
    await terminal.answer("y", "it says what my boss wrote", *["y"] * (len(SCENES) - 2))
    await terminal.read_until("so that they may?")
    assert not report_file().exists()
    terminal.type("")
    assert await asyncio.wait_for(walking, 30) == 0
    assert lines_of(report_file().read_text(), "sound") == ["sound: INSTEAD (in words that were left out)"]


async def test_the_report_names_nobody_and_no_machine(
    server: NotificationServer, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    walking = asyncio.ensure_future(walk_there())
    await terminal.read_until("Is it so?")
    server.reply(next(iter(server.on_screen)), "the secret")
    await server.all_sent()
    terminal.type("y")
    await terminal.answer(*["y"] * (len(SCENES) - 1))
    await asyncio.wait_for(walking, 30)
    report = report_file().read_text()
    assert "a reply was typed" in report
    for private in ("the secret", "@you", os.uname().nodename, str(home.path)):
        assert private not in report


async def test_what_happens_to_a_popup_that_is_gone_happens_after_it_came_again(
    server: NotificationServer, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    walking = asyncio.ensure_future(walk_there())
    await terminal.answer("y", "y")
    await terminal.read_until("Is it so?")
    server.dismiss(next(iter(server.on_screen)))
    await server.all_sent()
    terminal.type("y")
    await terminal.read_until("Is it so?")
    assert "it comes again first" in terminal.seen
    assert [shown.body for shown in server.shown] == ["Are you coming to lunch?"] * 2 + ["Are you coming to dinner?"]
    terminal.end()
    with pytest.raises(click.Abort):
        await asyncio.wait_for(walking, 30)
    report = report_file().read_text()
    assert lines_of(report, "icon") == ["icon: yes", "it was closed by hand"]
    assert lines_of(report, "edit") == ["edit: not reached"]
    assert server.on_screen == {}


async def test_what_the_server_refuses_stands_in_the_report_and_is_not_asked_for(
    server: NotificationServer, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    server.misbehaviour = Misbehaviour.REFUSE
    walking = asyncio.ensure_future(walk_there())
    await terminal.answer("y", "y", "y")
    assert await asyncio.wait_for(walking, 30) == 0
    assert lines_of(report_file().read_text(), "invite")[0].startswith("invite: NOT SHOWN (")


async def test_ctrl_c_leaves_nothing_on_screen_and_writes_what_was_answered(
    server: NotificationServer, terminal: Terminal, home: Home
) -> None:
    inside = terminal.inside
    process = await asyncio.create_subprocess_exec(
        *WALK, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
    )
    try:
        await terminal.answer("y")
        await terminal.read_until("Is it so?")
        assert len(server.on_screen) == 1
        process.send_signal(signal.SIGINT)
        await terminal.read_until("ended early")
        assert await asyncio.wait_for(process.wait(), 30) == 130
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert "Traceback" not in terminal.seen
    assert server.on_screen == {}
    report = report_file().read_text()
    assert lines_of(report, "direct message") == ["direct message: yes"]
    assert lines_of(report, "sound") == ["sound: not reached"]


def test_without_a_terminal_nothing_is_shown(shell: Shell, home: Home) -> None:
    result = shell.run("test", "--walk")
    assert result.exit_code == 2
    assert "There is no terminal" in result.stderr
    assert not report_file().exists()


async def test_without_a_notification_server_there_is_nothing_to_walk_through(
    private_bus: PrivateBus, terminal: Terminal, walk_there: Walk, home: Home
) -> None:
    with pytest.raises(UserError, match="No notification server answers"):
        await walk_there()
