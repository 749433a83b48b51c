"""`heliograph tray`."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from fakes.tray_beside import TrayBeside
from support.buses import PrivateBus


def switch_on(home: Home) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text("[desktop]\ntray = true\n")


def status(tray: Any) -> FakeAnswers:
    return FakeAnswers({"desktop": tray})


def test_it_says_what_is_missing_and_what_each_desktop_needs(shell: Shell, home: Home) -> None:
    done = shell.run("tray")
    assert done.exit_code == 0
    assert done.stdout.startswith(
        "BAD [desktop] tray is off.\n"
        "    Write tray = true below [desktop] in the configuration, then: end it where it runs, then: heliograph run\n"
        "BAD There is no tray in this session.\n"
    )
    for desktop in ("KDE Plasma", "GNOME", "Cinnamon", "Xfce", "waybar"):
        assert desktop in done.stdout


def test_an_item_in_the_tray_is_told(shell: Shell, home: Home, private_bus: PrivateBus) -> None:
    switch_on(home)
    with TrayBeside(private_bus), FakeDaemon(private_bus, status({"tray": "in the tray"})):
        lines = shell.run("tray").stdout.splitlines()
    assert lines[0] == "ok  [desktop] tray is on."
    assert lines[1].startswith("ok  There is a tray, by ")
    assert lines[2] == "ok  The item is in the tray. It hides while there is nothing to tell."


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"tray": "off"}, "BAD The running Heliograph has not read that yet."),
        ({"server": None}, "BAD The running Heliograph has not read that yet."),
        ("nonsense", "BAD The running Heliograph has not read that yet."),
        ({"tray": "refused by the tray: \u202efull\n"}, "BAD The item is not there: refused by the tray: full."),
    ],
)
def test_why_there_is_no_item_is_told(shell: Shell, home: Home, private_bus: PrivateBus, told: Any, said: str) -> None:
    switch_on(home)
    with TrayBeside(private_bus), FakeDaemon(private_bus, status(told)):
        assert said in shell.run("tray").stdout.splitlines()


def test_without_a_daemon_there_is_no_item(shell: Shell, home: Home, private_bus: PrivateBus) -> None:
    switch_on(home)
    with TrayBeside(private_bus):
        assert "BAD Heliograph is not running, and has no item.\n" in shell.run("tray").stdout


def test_a_watcher_without_a_panel_is_no_tray(shell: Shell, home: Home, private_bus: PrivateBus) -> None:
    with TrayBeside(private_bus, has_host=False):
        assert "and nothing shows them." in shell.run("tray").stdout
