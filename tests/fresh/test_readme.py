"""What `tests/fresh/run` types is found in the README."""

from __future__ import annotations

from fresh.readme import RELAY, SEE, USE, Readme, read_readme

TEXT = """\
# A program

## Try it

Needs a module (`sudo apt install python3-venv`).

    make it            # quickly
    run it '#1'

and then

    look   # sudo apt install libc6 g++

## Else

    nothing
"""


def test_commands_are_the_lines_of_a_block_without_their_comments() -> None:
    readme = Readme(TEXT)
    assert readme.commands("Try it", 0) == ["make it", "run it '#1'"]
    assert readme.commands("Try it", 1) == ["look"]
    assert readme.block("Else", 0) == ["nothing"]


def test_packages_are_those_that_the_chapter_has_installed() -> None:
    assert Readme(TEXT).packages("Try it") == ["g++", "libc6", "python3-venv"]
    assert Readme(TEXT).packages("Else") == []


def test_the_readme_has_the_lines_that_are_typed_on_fresh_machines() -> None:
    readme = read_readme()
    (demo,) = readme.commands(SEE, 0)
    assert demo.endswith("heliograph demo")
    assert readme.commands(SEE, 1) == ["tests/run"]
    assert readme.packages(SEE) == ["python3-venv"]
    assert readme.packages(USE) == ["pipx"]
    assert [line.split()[:2] for line in readme.commands(USE, 0)[:2]] == [["pipx", "install"], ["pipx", "ensurepath"]]
    assert any("relay unit" in line for line in readme.commands(RELAY, 0))
    assert 'homeserver = "http://127.0.0.1:8008"' in readme.commands(RELAY, 1)
