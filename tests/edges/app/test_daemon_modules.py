"""What the daemon loads at its start, which stays in memory for as long as it runs: some 22 KiB for each module."""

from __future__ import annotations

import subprocess
import sys

import pytest

MOST_MODULES = 335
"""Of our own. Whoever adds one that few need loads it where it is needed."""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The names of the modules that `heliograph run` has loaded when it opens the accounts."""
    program = "import sys, heliograph.cli.run, heliograph.app.daemon; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_daemon_loads_no_module_that_only_few_need(loaded: list[str]) -> None:
    needless = {
        "commands": ("heliograph.cli.status", "heliograph.cli.login", "heliograph.demo", "heliograph.core.explanation"),
        "a tray item": (
            "heliograph.app.tray.",
            "heliograph.control.tray",
            "heliograph.core.tray",
            "heliograph.core.summary.bar",
        ),
        "other back ends": ("heliograph.desktop.portable", "heliograph.desktop.terminal", "plyer"),
        "single desktops": ("heliograph.desktop.lxqt_config", "heliograph.desktop.swaync_config", "configparser"),
        "pictures": ("PIL", "heliograph.desktop.own_picture"),
        "the relay": ("heliograph.relay",),
        "a mistake in the settings": ("heliograph.config_mistakes", "difflib", "tomllib", "tomlkit"),
        "HTML with names of characters": ("html.entities",),
        "XML of others": ("xml.sax",),
    }
    found = {
        why: [name for name in loaded if f"{name}.".startswith(tuple(f"{prefix.rstrip('.')}." for prefix in prefixes))]
        for why, prefixes in needless.items()
    }
    assert {why: names for why, names in found.items() if names} == {}


def test_the_daemon_loads_not_many_more_modules_than_before(loaded: list[str]) -> None:
    assert len([name for name in loaded if name.startswith("heliograph.")]) <= MOST_MODULES
