"""One relay at a time has a state folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.errors import EXIT_CONFIG, StateError
from heliograph.relay.config import RelayConfig
from heliograph.relay.store.lock import LOCK_NAME, hold_folder
from heliograph.relay.wiring import open_relay

OTHER = "import sys; from pathlib import Path; from heliograph.relay.store.lock import hold_folder\n"


async def test_a_second_relay_does_not_start_and_names_the_first(tmp_path: Path) -> None:
    async with open_relay(RelayConfig(), tmp_path):
        with pytest.raises(StateError, match=f"Another relay uses .* \\(process {os.getpid()}\\)") as refused:
            async with open_relay(RelayConfig(), tmp_path):
                pass
    assert refused.value.exit_code == EXIT_CONFIG
    assert "--state" in (refused.value.hint or "")
    # Once the first has ended, the folder is free.
    async with open_relay(RelayConfig(), tmp_path):
        pass


def test_a_relay_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    script = OTHER + "with hold_folder(Path(sys.argv[1])): print('has it', flush=True); sys.stdin.read()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StateError, match=f"process {other.pid}"), hold_folder(tmp_path):
            pass
        other.kill()
        other.wait()
    with hold_folder(tmp_path):
        pass


def test_a_holder_that_has_not_written_its_number_yet_is_told_without_one(tmp_path: Path) -> None:
    with hold_folder(tmp_path):
        os.truncate(tmp_path / LOCK_NAME, 0)
        with pytest.raises(StateError, match="of an unknown process"), hold_folder(tmp_path):
            pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"), hold_folder(tmp_path / "missing"):
        pass
