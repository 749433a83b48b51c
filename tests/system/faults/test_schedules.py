"""Seeded random faults over a stream of events: whatever fails in whatever order, the guarantees hold in the end.

pytest tests/system/faults                       20 seeds, some seconds each
pytest tests/system/faults --seeds 500           as many
pytest tests/system/faults --seed 17             this one
pytest tests/system/faults --long                100 seeds, up to a minute each, with longer faults
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Home
from heliograph.demo.homeserver import ThrowawaySynapse
from support.buses import PrivateBus
from system.faults.oracle import violations
from system.faults.run import play, summarize
from system.faults.schedule import draw

CONFIG = """\
[notifications]
max_rooms = 50
[sync]
poll_seconds = 10
"""


NO_ANSWER = (
    "closed without an answer",
    "the connection was dropped",
    "the answer ended before its end",
    "no answer in time",
    "nothing answers at",
    "no whole answer",
    r"answered HTTP 5\d\d",
    r"answered HTTP 200: <html>",
    "rate limited",
    "cannot be reached",
    "does not answer",
)
"""What the wire does to requests, in the words of whoever made them."""
NO_DISK = ("disk is full", "Read-only file system", "readonly database", "disk I/O error", "No space left")


# Whole lines: a traceback is no trouble of the network or the disk.
@pytest.mark.expected_log(rf"^(daemon|relay) (warning|error): [^\n]*({'|'.join(NO_ANSWER)})[^\n]*$", times=(0, None))
@pytest.mark.expected_log(rf"^(daemon|relay) (warning|error): [^\n]*({'|'.join(NO_DISK)})[^\n]*$", times=(0, None))
@pytest.mark.timeout(300)
async def test_whatever_fails_each_event_rings_once_or_is_rightly_silent(
    fault_seed: int,
    is_long: bool,
    sturdy_synapse: ThrowawaySynapse,
    private_bus: PrivateBus,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text(CONFIG)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private_bus.address)
    schedule = draw(fault_seed, is_long=is_long)
    print(schedule)
    verdicts = await play(sturdy_synapse, schedule, tmp_path / "run", private_bus.address)
    print(summarize(verdicts))
    found = violations(verdicts)
    again = f"pytest tests/system/faults --seed {fault_seed}" + (" --long" if is_long else "")
    assert not found, "\n".join([f"Run it again: {again}", *map(str, found)])
