"""The file that keeps tokens: sealed, whole, and replaced by one process at a time."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from heliograph.core.oauth.token_answer import TokenGrant
from heliograph.errors import EXIT_NEEDS_LOGIN, StateError, Unreachable, UserError
from heliograph.secrets.token_file import KeptTokens, TokenFile, keep_grant
from support.builders import ALICE, ME

TOKENS = KeptTokens(access_token="mat_1", refresh_token="mar_1", life_s=300.0, born_ms=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    return folder


@pytest.fixture
def file(folder: Path) -> TokenFile:
    return TokenFile(folder, ME, "pickle")


def test_tokens_survive_being_written(file: TokenFile) -> None:
    assert file.load() is None
    for each in (TOKENS, KeptTokens(access_token="mat_2", refresh_token="", life_s=None, born_ms=2)):
        file.save(each)
        assert file.load() == each


def test_a_grant_without_a_refresh_token_keeps_the_earlier_one() -> None:
    grant = TokenGrant("mat_2", None, 60)
    kept = keep_grant(grant, 7, earlier_refresh_token="mar_1")
    assert kept == KeptTokens(access_token="mat_2", refresh_token="mar_1", life_s=60, born_ms=7)
    assert keep_grant(grant, 7).refresh_token == ""


def test_nobody_else_can_read_them_and_the_disk_does_not_show_them(folder: Path, file: TokenFile) -> None:
    file.save(TOKENS)
    assert stat.S_IMODE((folder / "tokens").stat().st_mode) == 0o600
    first = (folder / "tokens").read_bytes()
    assert b"mat_1" not in first
    assert b"mar_1" not in first
    file.save(TOKENS)
    assert (folder / "tokens").read_bytes()[:12] != first[:12]


def test_tokens_do_not_show_themselves() -> None:
    assert "mat_1" not in f"{TOKENS!r} {TOKENS}"
    assert "mar_1" not in f"{TOKENS!r} {TOKENS}"


def test_tokens_open_only_with_the_key_and_for_the_account_that_they_are_of(folder: Path, file: TokenFile) -> None:
    file.save(TOKENS)
    for user_id, pickle_key in ((ME, "another"), (ALICE, "pickle")):
        with pytest.raises(UserError, match="cannot be opened") as refusal:
            TokenFile(folder, user_id, pickle_key).load()
        assert refusal.value.exit_code == EXIT_NEEDS_LOGIN
        assert f"heliograph login {user_id}" in refusal.value.hint


@pytest.mark.parametrize("size", [0, 1, 12, 28, 29, 60])
def test_a_damaged_file_is_a_clear_error(folder: Path, file: TokenFile, size: int) -> None:
    file.save(TOKENS)
    (folder / "tokens").write_bytes((folder / "tokens").read_bytes()[:size])
    with pytest.raises(UserError, match="cannot be opened"):
        file.load()


def test_one_changed_bit_is_noticed(folder: Path, file: TokenFile) -> None:
    file.save(TOKENS)
    sealed = bytearray((folder / "tokens").read_bytes())
    sealed[-1] ^= 1
    (folder / "tokens").write_bytes(sealed)
    with pytest.raises(UserError, match="cannot be opened"):
        file.load()


def test_what_is_no_file_is_not_read(folder: Path, file: TokenFile) -> None:
    (folder / "elsewhere").write_bytes(b"x")
    (folder / "tokens").symlink_to(folder / "elsewhere")
    with pytest.raises(StateError, match="cannot be used"):
        file.load()
    (folder / "tokens").unlink()
    os.mkfifo(folder / "tokens")
    with pytest.raises(StateError, match="not a regular file"):
        file.load()


def test_a_folder_that_was_removed_does_not_come_back(folder: Path, file: TokenFile) -> None:
    folder.rmdir()
    with pytest.raises(StateError, match="cannot be used"):
        file.save(TOKENS)
    assert not folder.exists()


def test_a_write_that_fails_leaves_the_earlier_tokens(
    folder: Path, file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.save(TOKENS)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StateError, match="No space left"):
            file.save(KeptTokens(access_token="mat_2", refresh_token="mar_2", life_s=1, born_ms=2))
    assert file.load() == TOKENS
    assert [path.name for path in folder.iterdir()] == ["tokens"]


def test_what_a_killed_process_left_behind_goes_with_the_next_write(folder: Path, file: TokenFile) -> None:
    (folder / ".tokens.4711.new").write_bytes(b"half")
    file.save(TOKENS)
    assert [path.name for path in folder.iterdir()] == ["tokens"]


async def test_the_lock_is_of_one_at_a_time(folder: Path, file: TokenFile) -> None:
    other = TokenFile(folder, ME, "pickle")
    async with file.locked():
        with pytest.raises(Unreachable, match="another process"):
            async with other.locked(0):
                pass
        waiting = asyncio.create_task(self_locked(other))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting


async def self_locked(file: TokenFile) -> bool:
    async with file.locked(10):
        return True


async def test_a_lock_in_a_folder_that_is_made_anew_is_another_one(folder: Path, file: TokenFile) -> None:
    async with file.locked():
        (folder / "tokens.lock").unlink()
        async with file.locked(0):
            pass


async def test_without_a_folder_there_is_no_lock(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be opened"):
        async with TokenFile(tmp_path / "absent", ME, "pickle").locked():
            pass
