"""Every link of the documentation leads somewhere, and every page is found from the README."""

from __future__ import annotations

import posixpath

import pytest

from documentation.pages import ROOT, documentation, read_page

MOST_LINES = 200
OTHERS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")


def targets(name: str) -> list[tuple[str, str]]:
    """Path in the repository and anchor of each link of a page that leads to no other host."""
    links = [link for link in read_page(name).links if not link.startswith(("https://", "mailto:"))]
    parts = [link.partition("#") for link in links]
    folder = posixpath.dirname(name)
    return [(posixpath.normpath(posixpath.join(folder, path)) if path else name, anchor) for path, _, anchor in parts]


@pytest.mark.parametrize("name", [*documentation(), *OTHERS])
def test_every_link_leads_to_a_file_and_heading_of_the_repository(name: str) -> None:
    broken = []
    for path, anchor in targets(name):
        is_inside = not path.startswith(("..", "/"))
        if not is_inside or not (ROOT / path).is_file() or (anchor and anchor not in read_page(path).anchors):
            broken.append(f"{path}#{anchor}" if anchor else path)
    assert broken == []


@pytest.mark.parametrize("name", [*documentation(), *OTHERS])
def test_no_word_is_lost_as_an_unknown_html_tag(name: str) -> None:
    assert read_page(name).tags == []


def test_every_page_is_found_from_the_readme_and_every_picture_is_shown() -> None:
    found, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [path for path, _ in targets(name)] if name.endswith(".md") else []
    pictures = {f"docs/images/{file.name}" for file in (ROOT / "docs/images").iterdir()}
    assert {*documentation(), *OTHERS, "LICENSE", *pictures} <= found


def test_the_index_of_the_documentation_names_every_page() -> None:
    named = {path for path, _ in targets("docs/README.md")}
    assert {*documentation()} - {"docs/README.md"} <= named


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES
