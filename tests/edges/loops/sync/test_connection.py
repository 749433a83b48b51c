"""What the log says about the connection of an account."""

from __future__ import annotations

import logging

import pytest

from heliograph.core.connection import Connection
from heliograph.loops.sync.connection import ConnectionReport

CHECKING, BELIEVED = "checking whether you were signed out", "took you for signed out"


@pytest.mark.expected_log(f"@me:example.org: ({CHECKING}|{BELIEVED})$", times=4)
def test_reasons_that_take_turns_for_days_are_logged_once_each_until_a_turn_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    report = ConnectionReport("@me:example.org", lambda: 1)
    for _ in range(100):
        report.offline(CHECKING)
        report.offline(BELIEVED)
    assert report.state.why == BELIEVED
    report.connected("local", "no direct push")
    report.offline(CHECKING)
    report.offline(BELIEVED)
    assert report.state.state is Connection.OFFLINE
    said = [record.getMessage().removeprefix("@me:example.org: ") for record in caplog.records]
    assert said[:2] == said[3:] == [CHECKING, BELIEVED]
