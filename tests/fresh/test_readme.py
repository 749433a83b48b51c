"""What `tests/fresh/run` types is found in the documentation."""

from __future__ import annotations

import pytest

from documentation.pages import Page
from fresh import readme
from fresh.readme import CHANGE, RELAY, RELAY_RELOAD, RELAY_UPDATE, SEE, USE, Chapter

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


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(readme, "read_page", lambda name: {"docs/page.md": Page(TEXT)}[name])
    return "docs/page.md"


def test_commands_are_the_lines_of_a_block_without_their_comments(page: str) -> None:
    assert Chapter(page, "Try it").commands(0) == ["make it", "run it '#1'"]
    assert Chapter(page, "Try it").commands(1) == ["look"]
    assert Chapter(page, "Else").block(0) == ["nothing"]


def test_packages_are_those_that_the_chapter_has_installed(page: str) -> None:
    assert Chapter(page, "Try it").packages() == ["g++", "libc6", "python3-venv"]
    assert Chapter(page, "Else").packages() == []


def test_the_documentation_has_the_lines_that_are_typed_on_fresh_machines() -> None:
    (demo,) = SEE.commands(0)
    assert demo.endswith("heliograph demo")
    assert CHANGE.commands(0) == ["tests/run"]
    assert SEE.packages() == RELAY.packages() == ["python3-venv"]
    assert USE.packages() == ["pipx"]
    assert [line.split()[:2] for line in USE.commands(0)[:2]] == [["pipx", "install"], ["pipx", "ensurepath"]]
    assert any("relay unit" in line for line in RELAY.commands(0))
    assert RELAY_RELOAD.commands(0) == ["sudo systemctl reload heliograph-relay"]
    assert "sudo systemctl restart heliograph-relay" in RELAY_UPDATE.commands(0)
    assert 'homeserver = "http://127.0.0.1:8008"' in RELAY.commands(1)
