"""What SIGHUP asks for."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import signal

import pytest

from heliograph.system.hangup import note_hangups


async def hang_up(stop: asyncio.Event) -> asyncio.Event:
    """Returns the event that a service has set, once this or `stop` is set."""
    asked = note_hangups(stop)
    os.kill(os.getpid(), signal.SIGHUP)
    done, waiting = await asyncio.wait(
        [asyncio.ensure_future(each.wait()) for each in (stop, asked)], return_when=asyncio.FIRST_COMPLETED, timeout=10
    )
    for each in waiting:
        each.cancel()
    assert len(done) == 1
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    return asked


async def test_a_service_is_asked_to_read_its_settings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    stop = asyncio.Event()
    assert (await hang_up(stop)).is_set()
    assert not stop.is_set()


async def test_who_was_started_in_a_terminal_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        stop = asyncio.Event()
        assert not (await hang_up(stop)).is_set()
    assert stop.is_set()
