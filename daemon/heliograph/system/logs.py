"""Writes log lines: one for each record, without line breaks of strangers and without secrets.

Under systemd a line carries its priority (`<4>...`) and no time, which the journal adds. As JSON, it carries also the
values that the sentence is about, by name.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import re
import sys
import unicodedata
from datetime import UTC, datetime
from typing import Literal, TextIO

LogLevel = Literal["debug", "info", "warning", "error"]
LogForm = Literal["text", "json"]

_MAX_LINE = 4000
# At debug level some of these log contents: SQL statements with their values, messages of the bus, whole answers.
_CHATTY = ("aiohttp", "aiosqlite", "asyncio", "dbus_fast", "nio", "peewee", "plyer")

_SECRETS = re.compile(
    r"""
      (?P<before> (?: access_token | loginToken | refresh_token | password | pickle_key | "token" )
                  ["']? \s* [=:] \s* ["']?
                | \b Bearer \s+ )
      [^\s"'&,;}\]]+
    | \b (?: sy[tlr] _ | m[acru]t_ | mcr_ | mcl_ ) [A-Za-z0-9_.+/=-]{8,}
    """,
    re.VERBOSE | re.IGNORECASE,
)


def set_up_log(
    level: LogLevel, stream: TextIO | None = None, form: LogForm = "text", *, flood: logging.Filter | None = None
) -> None:
    """Sends the log of the whole process to `stream` (None: to standard error). `flood` leaves lines out."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    as_text = JournalFormatter() if is_journal(stream) else TerminalFormatter()
    handler.setFormatter(JsonFormatter() if form == "json" else as_text)
    if flood is not None:
        handler.addFilter(flood)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        chatty = logging.getLogger(name)
        chatty.setLevel(max(chatty.level, logging.WARNING))


def is_journal(stream: TextIO) -> bool:
    """True if the stream leads straight to systemd's journal ($JOURNAL_STREAM, systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))


def scrub(text: str) -> str:
    """Replaces all that looks like an access token by `[secret]`. Nothing should log one; this is the second line of
    defence."""
    return _SECRETS.sub(lambda match: (match["before"] or "") + "[secret]", text)


class TerminalFormatter(logging.Formatter):
    """Writes `2024-05-01 12:00:00 warning: sentence`."""

    default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        first, *others = _lines(self, record)
        start = f"{self.formatTime(record)} {record.levelname.lower()}: "
        return "\n".join([start + first, *(f"    {line}" for line in others)])


class JournalFormatter(logging.Formatter):
    """Writes `<4>sentence`, each line with its priority (syslog(3)), by which journalctl sorts and colours."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _priority(record.levelno)
        return "\n".join(f"<{priority}>{line}" for line in _lines(self, record))


class JsonFormatter(logging.Formatter):
    """Writes `{"time": "...", "level": "info", "module": "...", "message": "sentence", ...}`, one object a line.

    The values that a call gave as `extra` become properties of that object.
    """

    def format(self, record: logging.LogRecord) -> str:
        first, *others = _lines(self, record)
        told: dict[str, str | int | float] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "module": record.name,
            "message": first,
        }
        if others:
            told["traceback"] = "\n".join(others)
        extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        for name, value in extra.items():
            told.setdefault(name, value if isinstance(value, int | float) else _one_line(scrub(str(value))))
        return json.dumps(told, ensure_ascii=False)


_OF_EVERY_RECORD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


def _priority(level: int) -> int:
    for least, priority in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if level >= least:
            return priority
    return 7


def _lines(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The message as one line, and the traceback's lines after it if there is one."""
    lines = [record.getMessage()]
    if record.exc_info:
        lines += formatter.formatException(record.exc_info).splitlines()
    if record.stack_info:
        lines += record.stack_info.splitlines()
    # Scrubbed before it is cut for good: half a token would no longer look like one. The first cut bounds the work.
    return [_one_line(scrub(line[: 2 * _MAX_LINE])) for line in lines]


def _one_line(text: str) -> str:
    """Escapes control characters, which a terminal or the journal would obey: strangers' words may be in the line."""
    if not text.isprintable():
        text = "".join(c if unicodedata.category(c)[0] != "C" else _escaped(c) for c in text)
    return text if len(text) <= _MAX_LINE else text[:_MAX_LINE] + " [...]"


# Python loads a codec at its first use, which fails once there are no descriptors left, just when it is wanted.
codecs.lookup("unicode_escape")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
