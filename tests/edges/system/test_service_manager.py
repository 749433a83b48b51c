"""What a user is told to type, with systemd and without."""

from __future__ import annotations

import os

import pytest

from conftest import Home
from heliograph.system.service_manager import (
    UNIT,
    has_started_us,
    to_reload,
    to_restart,
    to_start,
    to_stop,
    unit_folder,
)


def have_systemd(home: Home, *, has_unit: bool) -> None:
    (home.runtime / "systemd").mkdir()
    if has_unit:
        unit_folder().mkdir(parents=True)
        (unit_folder() / UNIT).touch()


def test_without_systemd_nobody_is_sent_to_it(home: Home) -> None:
    unit_folder().mkdir(parents=True)
    (unit_folder() / UNIT).touch()
    assert to_start() == "heliograph run"
    assert "systemctl" not in to_restart() + to_stop(None) + to_stop(os.getpid()) + to_restart(os.getpid())


def test_with_systemd_and_without_a_unit_it_is_to_be_installed(home: Home) -> None:
    have_systemd(home, has_unit=False)
    assert to_start() == "heliograph service install"
    assert to_restart() == to_reload() == "end it where it runs, then: heliograph run"


def test_with_a_unit_it_is_systemd_that_starts_and_stops(home: Home) -> None:
    have_systemd(home, has_unit=True)
    assert to_start() == "systemctl --user start heliograph"
    assert to_restart() == "systemctl --user restart heliograph"
    assert to_reload() == "systemctl --user reload heliograph"
    assert to_stop(None) == "systemctl --user stop heliograph"


def test_a_process_beside_the_unit_is_ended_by_its_number(home: Home) -> None:
    have_systemd(home, has_unit=True)
    assert to_stop(os.getpid()) == f"Ctrl-C where it runs, or: kill {os.getpid()}"
    assert to_restart(os.getpid()) == f"kill {os.getpid()}, then: heliograph run"


def test_only_the_process_that_systemd_started_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    assert not has_started_us()
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert has_started_us()
