from __future__ import annotations

import io
import sys

import pytest

from heliograph.cli.login.qr_code import draw_qr_code, show_qr_code

URL = "https://account.example.org/link?code=ABC123"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8", columns: int = 80) -> str:
    """What a terminal gets to see."""
    written = io.BytesIO()
    terminal = Terminal(written, encoding=encoding)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("COLUMNS", str(columns))
        show_qr_code(URL)
        terminal.flush()
    return written.getvalue().decode()


def test_a_code_is_a_rectangle_with_a_light_border_that_fits_into_a_terminal() -> None:
    lines = draw_qr_code(URL)
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 50
    assert len(lines) <= 24
    assert set(lines[0]) == {"█"}
    assert {line[:2] for line in lines[:-1]} == {"██"}
    assert draw_qr_code(URL + "x") != lines


def test_a_code_keeps_its_colours_on_a_light_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch).splitlines()
    assert len(lines) == len(draw_qr_code(URL))
    assert all(line.startswith("\x1b[97m\x1b[40m") and line.endswith("\x1b[0m") for line in lines)


@pytest.mark.parametrize(("encoding", "columns"), [("ascii", 80), ("latin-1", 80), ("utf-8", 20)])
def test_a_terminal_that_cannot_show_the_code_shows_none(
    monkeypatch: pytest.MonkeyPatch, encoding: str, columns: int
) -> None:
    assert shown(monkeypatch, encoding, columns) == ""


def test_a_pipe_gets_no_code(capsys: pytest.CaptureFixture[str]) -> None:
    show_qr_code(URL)
    assert capsys.readouterr().out == ""
