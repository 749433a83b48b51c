from __future__ import annotations

import io
import re
import sys

import pytest
import segno

from heliograph.cli.login.qr_code import lay_out_qr_code, show_qr_code

URL = "https://account.example.org/link?code=ABC123"
WHITE_ON_BLACK, WHITE, BLACK = "\x1b[97m\x1b[40m", "\x1b[107m", "\x1b[40m"

CELLS = {
    (WHITE_ON_BLACK, "▀"): (0, 1),
    (WHITE_ON_BLACK, "▄"): (1, 0),
    (WHITE, " "): (0, 0),
    (BLACK, " "): (1, 1),
}


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


def read_back(line: str) -> tuple[list[int], list[int]]:
    """The two rows of modules that a line shows, by its colours alone."""
    upper, lower = list[int](), list[int]()
    for colours, text in re.findall(r"((?:\x1b\[\d+m)+)([^\x1b]+)\x1b\[0m", line):
        for letter in text:
            above, below = CELLS[colours, letter]
            upper.append(above)
            lower.append(below)
    return upper, lower


def test_the_code_on_screen_is_that_of_the_url_within_a_light_border(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for line in shown(monkeypatch).splitlines() for row in read_back(line)]
    code = [list(row) for row in segno.make_qr(URL).matrix_iter(border=2)]
    assert rows[: len(code)] == code
    assert {module for row in [*rows[:2], *rows[len(code) - 2 :]] for module in row} == {0}
    assert {module for row in rows for module in (*row[:2], *row[-2:])} == {0}


def test_a_code_fits_into_a_small_terminal() -> None:
    lines = lay_out_qr_code(URL)
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 50
    assert len(lines) <= 20


@pytest.mark.parametrize(("encoding", "columns"), [("ascii", 80), ("latin-1", 80), ("utf-8", 20)])
def test_a_terminal_that_cannot_show_the_code_shows_none(
    monkeypatch: pytest.MonkeyPatch, encoding: str, columns: int
) -> None:
    assert shown(monkeypatch, encoding, columns) == ""


def test_a_pipe_gets_no_code(capsys: pytest.CaptureFixture[str]) -> None:
    show_qr_code(URL)
    assert capsys.readouterr().out == ""
