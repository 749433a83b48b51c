"""Every test is under the log guard, and shows the logs of its programs when it fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from support.log_guard import ExpectLog, LogGuard, guarded, see_every_program

_GUARD = pytest.StashKey[LogGuard]()


def pytest_configure(config: pytest.Config) -> None:
    # Programs that outlive tests start before the first test's guard.
    see_every_program()
    config.addinivalue_line("markers", "expected_log(pattern, times=1): what programs under test will warn of")


@pytest.fixture(autouse=True)
def log_guard(request: pytest.FixtureRequest) -> Iterator[LogGuard]:
    """Fails the test if programs warn of what it did not announce."""
    with guarded() as guard:
        request.node.stash[_GUARD] = guard
        for mark in request.node.iter_markers("expected_log"):
            guard.expect(*mark.args, **mark.kwargs)
        yield guard


@pytest.fixture
def expect_log(log_guard: LogGuard) -> ExpectLog:
    """Announces, in the course of the test, what programs will warn of."""
    return log_guard.expect


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _GUARD in item.stash:
        report.sections += [(f"log of the {name}", text) for name, text in item.stash[_GUARD].last_words()]
    return report
