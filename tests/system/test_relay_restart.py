"""The relay restarts under load. `tests/system/relay_restart.py` measures the same with as many clients as wanted."""

from __future__ import annotations

import signal
from pathlib import Path

from system.relay_restart import Restart


async def test_a_restart_costs_no_client_an_error_and_loses_nothing(tmp_path: Path) -> None:
    outcome = await Restart(tmp_path, polls=10).measure(signal.SIGTERM, rate=5, seconds=2)
    assert (outcome.sent, outcome.lost, outcome.twice, dict(outcome.errors)) == (20, 0, 0, {})


async def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    outcome = await Restart(tmp_path, polls=5).measure(signal.SIGKILL, rate=5, seconds=2)
    assert (outcome.sent, outcome.lost, outcome.twice) == (20, 0, 0)
    # Only requests that were open when it died: those that come later wait in the socket.
    assert sum(outcome.errors.values()) <= 5
