"""A question in the terminal, which may be answered elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click
import pytest

from heliograph.cli.verify import question
from heliograph.cli.verify.question import ask_yes_or_no


class Terminal:
    """What is typed, through a pipe."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.input: TextIO = os.fdopen(reading)

    def type(self, text: str) -> None:
        os.write(self._writing, text.encode())

    def end(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdin", terminal.input)
    monkeypatch.setattr(question, "_LOOK_S", 0.01)
    yield terminal
    terminal.input.close()
    terminal.end()


async def never() -> bool:
    return False


@pytest.mark.parametrize(("typed", "answer"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)])
async def test_only_yes_means_yes(terminal: Terminal, typed: str, answer: bool) -> None:
    terminal.type(typed)
    assert await ask_yes_or_no("Is it so?", never) is answer


async def test_what_is_neither_is_asked_again(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.type("perhaps\n")

    async def type_more() -> bool:
        await asyncio.to_thread(terminal.type, "y\n")
        return False

    assert await ask_yes_or_no("Is it so?", type_more) is True
    assert capsys.readouterr().out.count("Is it so?") == 2


async def test_an_answer_elsewhere_ends_the_waiting(terminal: Terminal) -> None:
    async def is_answered() -> bool:
        return True

    assert await ask_yes_or_no("Is it so?", is_answered) is None


async def test_the_end_of_the_input_is_no_answer(terminal: Terminal) -> None:
    terminal.end()
    with pytest.raises(click.Abort):
        await ask_yes_or_no("Is it so?", never)


@pytest.fixture
def answer_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "answer").write_text("y\n")
    with (tmp_path / "answer").open() as answer:
        monkeypatch.setattr("sys.stdin", answer)
        yield


@pytest.mark.usefixtures("answer_file")
async def test_a_file_may_answer() -> None:
    assert await ask_yes_or_no("Is it so?", never) is True
