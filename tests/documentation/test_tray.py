"""What is in the tray's menu is to be had without a tray, and the page on the tray says how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from documentation.pages import read_page
from heliograph.cli.tray.panels import PANELS
from heliograph.core.summary.summary import UNTIL_RESUMED, Summary
from heliograph.core.tray.menu import MenuEntry, make_menu
from heliograph.core.tray.situation import TraySituation

_NEWS = Summary("connected", unread=1)
_PAUSED = replace(_NEWS, paused_until_ms=UNTIL_RESUMED)
_ENTRIES = [each for each in make_menu(TraySituation(_PAUSED)) if each.command is not None]


@pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: str(entry.key))
def test_each_entry_of_the_menu_has_a_command_of_its_own(entry: MenuEntry) -> None:
    rows = read_page("docs/tray.md").rows("What can be clicked")
    (command,) = [row[1] for row in rows if row[0].startswith(entry.label)]
    assert command.startswith(("`heliograph ", "`systemctl --user stop heliograph`"))


def test_the_page_and_the_command_know_the_same_desktops() -> None:
    rows = read_page("docs/tray.md").rows("What does your desktop need?")
    assert [row[0] for row in rows] == [desktop for desktop, _ in PANELS]
