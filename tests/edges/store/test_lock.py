"""One process for each account."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.errors import EXIT_CONFIG, StateError
from heliograph.store import ledger as store_ledger
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import UNKNOWN_PID, AccountLock, is_held

HOLD = """
import sys, pathlib
from heliograph.store.lock import AccountLock
lock = AccountLock.take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the account in `tmp_path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_free_account_is_held_by_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "account"
    assert is_held(folder) is None

    folder.mkdir()

    assert is_held(folder) is None
    assert list(folder.iterdir()) == [], "asking leaves nothing behind"


def test_another_process_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StateError, match=f"process {holder.pid}") as caught:
        AccountLock.take(tmp_path)

    assert f"kill {holder.pid}" in caught.value.hint
    assert caught.value.exit_code == EXIT_CONFIG
    assert is_held(tmp_path) == holder.pid


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert is_held(tmp_path) is None
    AccountLock.take(tmp_path).release()


def test_a_second_taker_in_the_same_process_is_refused(tmp_path: Path) -> None:
    lock = AccountLock.take(tmp_path)

    with pytest.raises(StateError, match=f"process {os.getpid()}"):
        AccountLock.take(tmp_path)

    lock.release()
    lock.release()
    AccountLock.take(tmp_path).release()


def test_a_longer_pid_of_before_leaves_no_digits(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012345\n")
    lock = AccountLock.take(tmp_path)

    assert is_held(tmp_path) == os.getpid()
    lock.release()


def test_a_holder_that_has_not_said_who_it_is_still_holds(tmp_path: Path) -> None:
    lock = AccountLock.take(tmp_path)
    (tmp_path / "lock").write_text("")

    assert is_held(tmp_path) == UNKNOWN_PID
    with pytest.raises(StateError, match="another process") as caught:
        AccountLock.take(tmp_path)

    assert "kill" not in caught.value.hint
    lock.release()


async def test_a_ledger_has_one_opener(tmp_path: Path) -> None:
    first = await SqliteLedger.open(tmp_path)
    with pytest.raises(StateError, match="already runs"):
        await SqliteLedger.open(tmp_path)

    await first.close()
    second = await SqliteLedger.open(tmp_path)
    await second.close()


async def test_a_ledger_that_did_not_open_lets_go_of_the_account(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"nonsense" * 100)
    with pytest.raises(StateError, match="damaged"):
        await SqliteLedger.open(tmp_path)

    assert is_held(tmp_path) is None


async def test_whoever_is_leaving_is_waited_for(tmp_path: Path) -> None:
    first = await SqliteLedger.open(tmp_path)
    first.say(is_leaving=True)
    opening = asyncio.create_task(SqliteLedger.open(tmp_path))
    await asyncio.sleep(0.5)
    assert not opening.done()
    await first.close()
    await (await opening).close()


async def test_whoever_stays_after_all_is_not_waited_for(tmp_path: Path) -> None:
    first = await SqliteLedger.open(tmp_path, is_leaving=True)
    opening = asyncio.create_task(SqliteLedger.open(tmp_path))
    await asyncio.sleep(0.3)
    first.say(is_leaving=False)
    with pytest.raises(StateError, match="already runs"):
        await opening
    await first.close()


async def test_nobody_is_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_ledger, "LEAVING_S", 0.2)
    first = await SqliteLedger.open(tmp_path, is_leaving=True)
    with pytest.raises(StateError, match="already runs"):
        await SqliteLedger.open(tmp_path)
    await first.close()
