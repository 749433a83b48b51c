"""`heliograph man`, read by a formatter of manual pages."""

from __future__ import annotations

import re
import subprocess

import pytest

from edges.cli.conftest import Shell
from edges.cli.test_help import walk
from heliograph.cli import commands


@pytest.fixture
def page(shell: Shell) -> str:
    result = shell.run("man")
    assert result.exit_code == 0
    return result.stdout


def mandoc(page: str, *words: str) -> str:
    # It reports by its exit status, too.
    done = subprocess.run(["mandoc", *words], input=page, text=True, capture_output=True, check=False, timeout=30)
    return done.stdout + done.stderr


def test_a_formatter_finds_nothing_to_complain_about_but_that_it_has_no_date(page: str) -> None:
    complaints = mandoc(page, "-T", "lint", "-W", "warning").splitlines()
    assert [line for line in complaints if "missing date" not in line] == []


def test_it_has_every_command_with_its_options_and_examples(shell: Shell, page: str) -> None:
    text = re.sub(r"\s+", " ", mandoc(page, "-T", "ascii", "-O", "width=200"))
    text = re.sub(r".\x08", "", text)  # struck over, for printers
    for command in walk(commands):
        words = " ".join(["heliograph", *command])
        assert words in text
        said = shell.run(*command, "--help").stdout
        for option in set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", said, re.MULTILINE)) - {"--help", "--version"}:
            assert option in text, (words, option)
        for example in re.findall(r"^ +(heliograph .*)$", said.partition("Example")[2], re.MULTILINE):
            assert re.sub(r"\s+", " ", example).strip() in text, example


def test_it_has_the_exit_codes(page: str) -> None:
    text = mandoc(page, "-T", "ascii")
    for code in ("0", "1", "2", "77", "78", "130"):
        assert re.search(rf"^\s+{code}\s+\w", re.sub(r".\x08", "", text), re.MULTILINE)


def test_no_line_of_text_is_taken_for_a_request(page: str) -> None:
    known = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".nf", ".fi"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} <= known
