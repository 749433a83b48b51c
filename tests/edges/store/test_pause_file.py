from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.core.popups.quiet import Pause
from heliograph.core.summary.summary import UNTIL_RESUMED
from heliograph.errors import StateError
from heliograph.store.pause_file import load_pause, pause_file, save_pause


@pytest.mark.parametrize("pause", [Pause(), Pause(UNTIL_RESUMED), Pause(1_700_000_000_000, is_everywhere=True)])
def test_a_pause_is_kept_for_the_user_alone(pause: Pause) -> None:
    save_pause(pause_file(), pause)
    assert load_pause(pause_file()) == pause
    assert pause_file().stat().st_mode & 0o077 == 0


def test_without_a_file_there_is_no_pause() -> None:
    assert load_pause(pause_file()) == Pause()


def test_a_pause_that_an_earlier_version_kept_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pause.json").write_text('{"until_ms": -1}')
    assert load_pause(tmp_path / "pause.json") == Pause(UNTIL_RESUMED)


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"until_ms": "x"}', '{"until_ms": true}', "[" * 2000, "\udcff"])
@pytest.mark.expected_log("pause.json cannot be read and counts as none", times=(0, 1))
def test_a_file_that_says_nothing_is_no_pause(tmp_path: Path, text: str) -> None:
    (tmp_path / "pause.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert load_pause(tmp_path / "pause.json") == Pause()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        save_pause(tmp_path / "state" / "pause.json", Pause())
