"""What stands in a program's log that should not: warnings, errors, tracebacks, and what Python itself complains of."""

from __future__ import annotations

import json
import re

_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (debug|info|warning|error|critical): (.*)")
_BAD = frozenset(("warning", "error", "critical"))
_TRACEBACK = "Traceback (most recent call last)"
_COMPLAINT = re.compile(
    rf"{re.escape(_TRACEBACK)}|Exception ignored in|--- Logging error ---|Fatal Python error|Segmentation fault"
    r"|\b(?:Resource|Runtime|Deprecation|PendingDeprecation|Future|User|Syntax|Bytes|Encoding)?Warning: "
)


def findings(log: str) -> list[str]:
    """Each as `level: sentence`, with the lines that belong to it after it; `output` is the level of what was written
    past the log. `log` is text or JSON, as heliograph.system.logs writes them.
    """
    return [found for level, lines in _records(log) if (found := _finding(level, lines))]


def _records(log: str) -> list[tuple[str, list[str]]]:
    """The level of each record, its sentence, and what follows until the next: its traceback, or output of others."""
    records: list[tuple[str, list[str]]] = [("output", [])]
    for line in log.splitlines():
        head = _head(line)
        if head is None:
            records[-1][1].append(line)
        else:
            level, *lines = head
            records.append((level, lines))
    return records


def _head(line: str) -> list[str] | None:
    """Level, sentence and traceback, if the line begins a record."""
    if (match := _LINE.match(line)) is not None:
        return [match[1], match[2]]
    if line.startswith('{"time": ') and line.endswith("}"):
        record = json.loads(line)
        return [record["level"], record["message"], *record.get("traceback", "").splitlines()]
    return None


def _finding(level: str, lines: list[str]) -> str:
    """Empty if nothing is wrong with the record."""
    if level in _BAD:
        return "\n".join([f"{level}: {lines[0]}", *lines[1:]])
    for number, line in enumerate(lines):
        if _COMPLAINT.search(line):
            return "\n".join([f"output: {line}", *lines[number + 1 :]])
    return ""
