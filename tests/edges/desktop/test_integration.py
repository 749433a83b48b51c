"""The desktop entry and icon, as desktops find and read them."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Home
from heliograph.desktop.integration import install_integration, remove_integration
from heliograph.errors import UserError


def command_of(entry: Path) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(entry)
    return parser["Desktop Entry"]["Exec"]


def test_the_entry_is_valid_and_names_the_icon_beside_it(home: Home) -> None:
    entry, icon, *notifyrc = install_integration(Path("/opt/heliograph/bin/heliograph"))
    subprocess.run(["desktop-file-validate", str(entry)], check=True, timeout=20)
    text = entry.read_text()
    assert entry == home.data / "applications/io.github.heliograph.desktop"
    assert icon == home.data / "icons/hicolor/scalable/apps/io.github.heliograph.svg"
    assert "\nIcon=io.github.heliograph\n" in text
    assert "\nX-GNOME-UsesNotifications=true\n" in text
    assert ElementTree.parse(icon).getroot().tag.endswith("svg")
    assert {path.stat().st_mode & 0o777 for path in (entry, icon, *notifyrc)} == {0o644}


GROUNDS = ("#ffffff", "#fafafa", "#222226", "#36363a", "#2a2e32", "#31363b")
"""What icons stand on: windows and notifications of Adwaita and Breeze, light and dark."""
ENOUGH = 3.0
"""Web Content Accessibility Guidelines 2.2, 1.4.11: the least contrast of what has to be told apart."""


def luminance(colour: str) -> float:
    """By the same guidelines: from 0 for black to 1 for white."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_icon_can_be_told_from_light_and_dark_grounds_and_its_parts_from_one_another(home: Home) -> None:
    _, icon, *_ = install_integration(Path("/opt/heliograph/bin/heliograph"))
    _, plate, ray, stand, ring, glass, glint = ElementTree.parse(icon).getroot()
    ground = plate.attrib["fill"]
    assert min(contrast(ground, each) for each in GROUNDS) >= ENOUGH
    assert contrast(ground, ray.attrib["fill"]) >= ENOUGH
    assert contrast(ground, stand.attrib["stroke"]) >= ENOUGH
    assert contrast(ground, ring.attrib["fill"]) >= ENOUGH
    assert contrast(glass.attrib["fill"], ring.attrib["fill"]) >= ENOUGH
    assert contrast(glass.attrib["fill"], glint.attrib["fill"]) >= ENOUGH


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/opt/bin/heliograph", "/opt/bin/heliograph status"),
        ("/home/a b/heliograph", '"/home/a b/heliograph" status'),
        ("/home/50%/heliograph", "/home/50%%/heliograph status"),
        ('/home/"$x`/heliograph', '"/home/\\\\"\\\\$x\\\\`/heliograph" status'),
        ("/home/\\/heliograph", '"/home/\\\\\\\\/heliograph" status'),
    ],
)
def test_the_command_is_quoted_as_the_specification_says(program: str, command: str) -> None:
    entry, *_ = install_integration(Path(program))
    assert command_of(entry) == command
    subprocess.run(["desktop-file-validate", str(entry)], check=True, timeout=20)


def test_plasma_5_and_6_list_us_by_our_desktop_entry(home: Home) -> None:
    notifyrc = install_integration(Path("/opt/heliograph"))[2:]
    assert notifyrc == [home.data / f"knotifications{version}/heliograph.notifyrc" for version in (5, 6)]
    for path in notifyrc:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        assert parser["Global"]["DesktopEntry"] == "io.github.heliograph"
        assert any(section.startswith("Event/") for section in parser), "without an event there is nothing to configure"


def test_it_can_be_installed_again_and_removed_again(home: Home) -> None:
    written = install_integration(Path("/opt/one"))
    assert install_integration(Path("/opt/two")) == written
    assert command_of(written[0]) == "/opt/two status"
    assert {path for path in home.data.rglob("*") if path.is_file()} == set(written)
    assert remove_integration() == written
    assert remove_integration() == []
    assert not any(path.is_file() for path in home.data.rglob("*"))


def test_a_folder_that_takes_nothing_is_the_users_matter(tmp_path: Path) -> None:
    (tmp_path / "applications").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="could not be written"):
        install_integration(Path("/opt/heliograph"), tmp_path)
    assert remove_integration(tmp_path) == []


def test_a_relative_data_folder_is_ignored(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    entry, *_ = install_integration(Path("/opt/heliograph"))
    assert entry == home.path / ".local/share/applications/io.github.heliograph.desktop"
