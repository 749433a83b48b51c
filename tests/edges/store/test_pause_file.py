from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.core.summary.summary import UNTIL_RESUMED
from heliograph.errors import StateError
from heliograph.store.pause_file import load_pause, pause_file, save_pause


@pytest.mark.parametrize("until_ms", [0, UNTIL_RESUMED, 1_700_000_000_000])
def test_a_pause_is_kept_for_the_user_alone(until_ms: int) -> None:
    save_pause(pause_file(), until_ms)
    assert load_pause(pause_file()) == until_ms
    assert pause_file().stat().st_mode & 0o077 == 0


def test_without_a_file_there_is_no_pause() -> None:
    assert load_pause(pause_file()) == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"until_ms": "x"}', '{"until_ms": true}', "[" * 2000, "\udcff"])
@pytest.mark.expected_log("pause.json cannot be read and counts as none", times=(0, 1))
def test_a_file_that_says_nothing_is_no_pause(tmp_path: Path, text: str) -> None:
    (tmp_path / "pause.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert load_pause(tmp_path / "pause.json") == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        save_pause(tmp_path / "state" / "pause.json", 0)
