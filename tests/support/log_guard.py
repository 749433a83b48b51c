"""The log guard: a program that warns of what its test did not expect has failed, and so has the test. So has one whose
request Synapse refuses, which Synapse's access log tells by our `User-Agent`: while nobody read these logs, an endless
400 was green.

A test announces what it provokes, by a pattern and how often it comes:

    @pytest.mark.expected_log("the disk is full")                    exactly once
    @pytest.mark.expected_log("no connection", times=(1, None))      once or more
    async def test_...(expect_log: ExpectLog) -> None:
        expect_log("starting anew", times=2)

The pattern is a regular expression, searched for in `source level: sentence` and the traceback after it. The source is
what the program is (`daemon`, `relay`, `demo`, `command`), `homeserver`, or the logger in the test's own process. What
was announced and comes less often fails as well.

Whatever Heliograph writes to standard error is seen, whoever started it: see program_starts.py. A log that is watched
besides tells, too, how a program died. To start Heliograph where the guard does not see it is a complaint.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from support.log_findings import findings
from support.program_starts import gathering, reach_every_program

Times = int | tuple[int, int | None]
"""Exactly so often; or at least and at most, None being any number."""

Read = Callable[[str], list[str]]

ROUTINE = (
    # The one place that names a homeserver's software. Not every listener serves it, and nothing else tells.
    "homeserver 404 GET /_matrix/federation/v1/version of None",
    # How a homeserver says that it signs nobody in by OAuth 2.0, whoever asks.
    r"homeserver 404 GET /_matrix/client/\S+/auth_metadata of None",
    # What a room or an account does not have is answered so, and whether it has is what is asked.
    "homeserver 404 GET /_matrix/client/v3/rooms/[^/]+/state/m.room.encryption/ of",
    "homeserver 404 GET /_matrix/client/v3/user/[^/]+/account_data/m.direct of",
)
"""What no test has to announce, however often it comes."""

_TAIL = 8000
_guards: list[LogGuard] = []
_standing: dict[Path, tuple[str, Read]] = {}
"""Logs of programs that outlive tests."""


class ExpectLog(Protocol):
    def __call__(self, pattern: str, *, times: Times = 1) -> None: ...


@dataclass
class _Expectation:
    pattern: str
    least: int
    most: int | None
    found: int = 0

    def takes(self, finding: str) -> bool:
        """Whether that is what was announced; it counts."""
        is_room = self.most is None or self.found < self.most
        is_meant = is_room and re.search(self.pattern, finding) is not None
        self.found += is_meant
        return is_meant


@dataclass
class _Watched:
    """A source of findings: what it wrote, and what is wrong in that."""

    name: str
    written: Callable[[], str]
    read: Read = findings

    def keep(self) -> None:
        """Reads the text now, for good."""
        text = self.written()
        self.written = lambda: text


@dataclass
class LogGuard:
    """What was written since it began, by the programs that it watches."""

    copies: Path | None = None
    """The folder to which programs copy what they write."""
    logged: list[str] = field(default_factory=list)
    """Findings in the log of this very process."""
    unseen: list[str] = field(default_factory=list)
    """Programs that were started where they are not seen."""
    _expectations: list[_Expectation] = field(default_factory=list)
    _watched: dict[object, _Watched] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in ROUTINE:
            self.expect(pattern, times=(0, None))
        for log, (name, read) in _standing.items():
            self.watch(name, log, read)

    def expect(self, pattern: str, *, times: Times = 1) -> None:
        """Announces findings."""
        least, most = (times, times) if isinstance(times, int) else times
        self._expectations.append(_Expectation(pattern, least, most))

    def watch(self, name: str, log: Path, read: Read = findings) -> None:
        """From where the file ends now, if it is not watched already. `read` finds what is wrong in a text."""
        start = log.stat().st_size if log.exists() else 0
        self._watched.setdefault(log, _Watched(name, lambda: _written(log, start), read))

    def watch_text(self, name: str, text: str) -> None:
        """What a program wrote that has ended."""
        self._watched[len(self._watched)] = _Watched(name, lambda: text)

    def finish(self, log: Path) -> None:
        """The file is about to be removed."""
        if (watched := self._watched.get(log)) is not None:
            watched.keep()

    def finish_all(self) -> None:
        """Nothing more is watched. What was written until now can be read for as long as the guard lives."""
        for each in self._copied():
            self._watched[len(self._watched)] = each
        self.copies = None
        for watched in self._watched.values():
            watched.keep()

    def _copied(self) -> Iterator[_Watched]:
        """What programs wrote that nobody watches otherwise."""
        for file in sorted(self.copies.iterdir()) if self.copies else ():
            leads_to, _, text = file.read_text(errors="replace").partition("\n")
            if Path(leads_to) not in self._watched:
                yield _Watched(file.stem, partial(str, text))

    def complaints(self) -> list[str]:
        """What was not expected, and what was expected and did not come. Empty: all is well."""
        sources = [*self._watched.values(), *self._copied()]
        found = [*self.logged, *self.unseen]
        found += [f"{each.name} {finding}" for each in sources for finding in each.read(each.written())]
        bad = [finding for finding in found if not any(each.takes(finding) for each in self._expectations)]
        bad += [
            f"announced and did not come, or {each.found} times instead of {each.least}: {each.pattern}"
            for each in self._expectations
            if each.found < each.least
        ]
        return bad

    def last_words(self) -> list[tuple[str, str]]:
        """Names and the ends of what they wrote."""
        sources = [*self._watched.values(), *self._copied()]
        return [(each.name, text[-_TAIL:]) for each in sources if (text := each.written())]


def _written(log: Path, start: int) -> str:
    with log.open("rb") as stream:
        stream.seek(start)
        return stream.read().decode(errors="replace")


def current_guard() -> LogGuard:
    """Of the test, or of the run, that is under way."""
    assert _guards, "programs run under a log guard only: log_guard.guarded()"
    return _guards[-1]


def watch(name: str, log: Path) -> None:
    """For whoever starts a program that writes this log. One that is started before any test outlives tests."""
    if _guards:
        current_guard().watch(name, log)
    else:
        keep_watching(name, log)


def keep_watching(name: str, log: Path, read: Read = findings) -> None:
    """Of a program that outlives tests: the guard of the moment watches its log, and each one after it."""
    _standing[log] = name, read
    for guard in _guards:
        guard.watch(name, log, read)


def watch_no_longer(log: Path) -> None:
    """The program has ended, and its log is about to be removed."""
    del _standing[log]
    for guard in _guards:
        guard.finish(log)


class _Here(logging.Handler):
    """Hands on what this very process logs: loops, servers and clients that run in the test itself."""

    def __init__(self, guard: LogGuard) -> None:
        super().__init__(logging.WARNING)
        self._guard = guard
        self._form = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        trace = [self._form.formatException(record.exc_info)] if record.exc_info else []
        text = "\n".join([record.getMessage(), *trace])
        self._guard.logged.append(f"{record.name} {record.levelname.lower()}: {text}")


def see_every_program() -> None:
    """Also those that are started before the first guard."""
    reach_every_program(_note_unseen)


def _note_unseen(command: str) -> None:
    if _guards:
        current_guard().unseen.append(f"started where the guard does not see it: {command}")


@contextmanager
def watching() -> Iterator[LogGuard]:
    """Programs started in this block are watched; whoever runs it asks for the complaints."""
    see_every_program()
    with gathering() as folder:
        guard = LogGuard(folder)
        here = _Here(guard)
        _guards.append(guard)
        logging.getLogger().addHandler(here)
        try:
            yield guard
        finally:
            logging.getLogger().removeHandler(here)
            _guards.remove(guard)
            # The folders of programs that outlive tests may be gone when the last test is reported.
            guard.finish_all()


@contextmanager
def guarded() -> Iterator[LogGuard]:
    """The same. AssertionError at the block's end if there are complaints."""
    with watching() as guard:
        yield guard
    bad = guard.complaints()
    assert not bad, "\n".join(["The logs hold what was not expected:", *bad])
