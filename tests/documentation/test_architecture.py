"""The page on the architecture speaks of the tree as it is."""

from __future__ import annotations

import re
import tomllib

import pytest

from documentation.pages import ROOT, read_page

PAGE = "ARCHITECTURE.md"
PACKAGE = ROOT / "daemon/heliograph"
MOST_LINES = 110
_PATH = re.compile(r"^(?:[\w.-]+/)+[\w.-]*$")


def rooms(cell: str) -> list[str]:
    """The names of the rooms in the first cell of a row, as import-linter calls them."""
    return [path.rstrip("/").removesuffix(".py").replace("/", ".") for path in re.findall(r"`([^`]+)`", cell)]


def floors(container: str) -> list[set[str]]:
    """The layers that import-linter holds the modules of a package to, the top one first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == [container]]
    return [{name.strip() for name in re.split("[|:]", layer)} for layer in layers]


def tops(names: list[str], container: str) -> list[int]:
    """On which floor each of these rooms stands, the top one being 0."""
    return [next(number for number, floor in enumerate(floors(container)) if name in floor) for name in names]


def paths_named(page: str) -> list[str]:
    """The paths of the package or of the repository that stand in a page's code."""
    return [span for span in read_page(page).code if _PATH.match(span)]


@pytest.mark.parametrize(("page", "least"), [(PAGE, 50), ("CONTRIBUTING.md", 15)])
def test_every_path_that_is_named_exists(page: str, least: int) -> None:
    paths = paths_named(page)
    assert len(paths) > least
    assert [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []


def test_every_folder_of_tests_has_its_line() -> None:
    folders = {f"tests/{file.name}/" for file in (ROOT / "tests").iterdir() if any(file.glob("*.py"))}
    assert folders - {*paths_named("CONTRIBUTING.md")} == set()


def test_every_room_of_the_package_has_its_line_in_the_order_of_the_imports() -> None:
    named = [name for row in read_page(PAGE).rows("The tree") for name in rooms(row[0])]
    package = [name for name in named if not name.startswith("core.")]
    floor_numbers = tops(package, "heliograph")
    assert {*package} == set().union(*floors("heliograph"))
    assert floor_numbers == sorted(floor_numbers)


def test_the_rooms_of_the_core_stand_in_the_order_of_their_imports() -> None:
    named = [name for row in read_page(PAGE).rows("The tree") for name in rooms(row[0])]
    core = [name.removeprefix("core.") for name in named if name.startswith("core.")]
    floor_numbers = tops(core, "heliograph.core")
    assert floor_numbers == sorted(floor_numbers)
    assert {*floor_numbers} == {*range(len(floors("heliograph.core")))}


def test_the_page_is_short_enough_to_be_read() -> None:
    assert len((ROOT / PAGE).read_text("utf-8").splitlines()) <= MOST_LINES
