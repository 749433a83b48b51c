"""Notifications as text: readable, and nothing in them reaches the terminal but text."""

from __future__ import annotations

import io
import os

import pytest

from heliograph.core.delivery import Done, NeedsUser, RetryLater
from heliograph.core.notification import Category, Urgency
from heliograph.desktop.terminal import TerminalDesktop, write_block
from support.builders import make_notification


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


async def printed(stream: io.StringIO, **notification: object) -> str:
    await TerminalDesktop(stream).show(make_notification(**notification), None)  # type: ignore[arg-type]
    return stream.getvalue()


def test_each_line_of_the_body_has_its_own() -> None:
    assert write_block(make_notification("Alice in Lunch", "one\ntwo")) == "* Alice in Lunch\n  one\n  two\n"


def test_a_category_has_its_mark() -> None:
    blocks = [write_block(make_notification("Bob", "", category=category)) for category in Category]
    assert blocks == ["* Bob\n", "+ Bob\n", "! Bob\n", "# Bob\n"]


async def test_control_characters_do_not_reach_the_stream() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e\x00\x9b31m\r"
    text = await printed(io.StringIO(), summary=hostile, body=f"{hostile}\nmore")
    assert set(text) & set("\x1b\x07\u202e\x00\x9b\r") == set()
    assert text.endswith("  more\n")


async def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in await printed(io.StringIO())
    assert "\x1b[1mAlice\x1b[0m" in await printed(Terminal())
    assert "\x1b[31m" in await printed(Terminal(), urgency=Urgency.CRITICAL)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in await printed(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in await printed(Terminal())


async def test_a_replacement_says_that_it_is_one() -> None:
    stream = io.StringIO()
    desktop = TerminalDesktop(stream)
    first = await desktop.show(make_notification(body="one"), None)
    assert isinstance(first, Done)
    assert await desktop.show(make_notification(body="two"), first.value) == first
    assert await desktop.close(first.value) == Done(None)
    assert stream.getvalue() == "* Alice\n  one\n* Alice (updated)\n  two\n"


async def test_letters_that_the_terminal_has_not_are_spelled_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    await TerminalDesktop(stream).show(make_notification(body="naïve ☀"), None)
    assert stream.buffer.getvalue() == b"* Alice\n  na\\xefve \\u2600\n"


async def test_a_closed_output_needs_the_user() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        TerminalDesktop(stream)
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True) as pipe:
        outcome = await TerminalDesktop(pipe).show(make_notification(), None)
    assert isinstance(outcome, NeedsUser)


async def test_a_pipe_that_nobody_reads_delays() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    pipe = io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True)
    assert isinstance(await TerminalDesktop(pipe, timeout_s=0.05).show(make_notification(), None), RetryLater)
    os.close(reader)
    pipe.close()
