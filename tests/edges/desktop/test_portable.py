"""plyer gets nothing that could be taken for anything but text. A stand-in for notify-send notes what it is given."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.core.delivery import Declined, Done, RetryLater
from heliograph.desktop.portable import PortableDesktop, harmless, why_not_portable
from heliograph.desktop.threads import SideThread
from support.builders import make_notification

_NOTE = f"""#!{sys.executable}
import json, sys
with open({{notes!r}}, "a") as notes:
    notes.write(json.dumps(sys.argv[1:]) + "\\n")
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in for notify-send writes its arguments, a line for each call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    notes = tmp_path / "notes"
    script = folder / "notify-send"
    script.write_text(_NOTE.format(notes=str(notes)))
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return notes


def read(notes: Path) -> list[list[str]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


@pytest.mark.parametrize("text", ["--wait", "-u", "--hint=string:image-path:/etc/hostname", "-"])
async def test_texts_are_never_options(notes: Path, text: str) -> None:
    await PortableDesktop().show(make_notification(summary=text, body=text), None)
    (arguments,) = read(notes)
    assert arguments[:2] == [f"\u200b{text}"] * 2
    assert arguments[arguments.index("-a") + 1] == "Heliograph"


async def test_an_empty_title_is_not_missing(notes: Path) -> None:
    await PortableDesktop().show(make_notification(summary="", body=""), None)
    assert read(notes)[0][:2] == ["\u200b", "\u200b"]


async def test_a_body_is_never_markup(notes: Path) -> None:
    await PortableDesktop().show(make_notification(body="<img src='/etc/passwd'> & co"), None)
    assert read(notes)[0][1] == "‹img src='/etc/passwd'› ＆ co"


def test_what_goes_through_the_portal_closes_no_quote() -> None:
    assert harmless("x'>, 'priority': <'urgent\\", is_portal=True) == "x’>, ’priority’: <’urgent∖"


async def test_it_can_take_nothing_back(notes: Path) -> None:
    desktop = PortableDesktop()
    shown = await desktop.show(make_notification(), None)
    assert isinstance(shown, Done)
    assert isinstance(await desktop.close(shown.value), Declined)
    assert len(read(notes)) == 1


async def test_a_notify_send_that_hangs_delays(tmp_path: Path, notes: Path) -> None:
    (tmp_path / "bin" / "notify-send").write_text("#!/bin/sh\nexec sleep 3\n")
    desktop = PortableDesktop(timeout_s=0.2)
    for _ in range(2):
        outcome = await desktop.show(make_notification(), None)
        assert isinstance(outcome, RetryLater)
        assert outcome.after


def test_without_a_bus_or_a_display_it_does_not_pretend(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_portable(is_bus_there=False) == "there is no session bus and no display"
    assert why_not_portable(is_bus_there=True) is None
    monkeypatch.setenv("DISPLAY", ":1")
    assert why_not_portable(is_bus_there=False) is None


def test_without_notify_send_it_does_not_pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not_portable(is_bus_there=True) == "neither notify-send nor dbus-python is installed"


class TestSideThread:
    async def test_what_the_work_raises_is_raised(self) -> None:
        def work() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await SideThread().run(work, 5)

    async def test_work_that_hangs_keeps_the_next_one_out_until_it_ends(self) -> None:
        thread, gate, ran = SideThread(), threading.Event(), []

        def hang() -> None:
            gate.wait()

        works: list[Callable[[], None]] = [hang, lambda: ran.append("too early")]
        for work in works:
            with pytest.raises(TimeoutError):
                await thread.run(work, 0.05)
        gate.set()
        await thread.run(lambda: ran.append("now"), 5)
        assert ran == ["now"]
