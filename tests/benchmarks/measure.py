"""Measures section after section, and writes the report anew after each. Asserts nothing and fails nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, load
from benchmarks.report import Measurement, read_measurement, write_report, write_section
from benchmarks.rows import SECTIONS
from benchmarks.sections import QUICK, WHOLE, Size, measure_section, say

_ROOT = Path(__file__).resolve().parents[2]
REPORT = _ROOT / "docs/benchmarks.md"


class Kept:
    """What was measured so far on this machine with these versions, in a file of JSON."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.machine = describe_machine()
        self.measured: dict[str, Measurement] = {}
        try:
            kept: Any = json.loads(file.read_text())
            if kept["machine"] == self.machine:
                self.measured = {name: read_measurement(each) for name, each in kept["sections"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return

    def add(self, name: str, measurement: Measurement) -> None:
        self.measured[name] = measurement
        sections = {name: asdict(each) for name, each in self.measured.items()}
        _write(self._file, json.dumps({"machine": self.machine, "sections": sections}, indent=2) + "\n")

    def report(self) -> str:
        return write_report(self.machine, self.measured)


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(text)
    os.replace(temporary, file)


def _measure(name: str, size: Size) -> tuple[Measurement, list[str]]:
    """And what the programs that were measured warned of."""
    before, began = load(), time.monotonic()
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    found = asyncio.run(measure_section(name, size))
    took_s = time.monotonic() - began
    return Measurement(when, size.name, before, took_s, found.figures, found.notes), found.complaints


def main() -> None:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(
        prog="tests/benchmarks/run",
        description="Measure Heliograph beside a floor, matrix-commander, the homeserver and its push rules.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, for a first look; no report")
    parser.add_argument("--only", default=",".join(names), help="some of: %(default)s; the others stay as measured")
    parser.add_argument("--resume", action="store_true", help="leave out what was measured already")
    parser.add_argument("--json", type=Path, help="where figures are kept (benchmarks.json, benchmarks-quick.json)")
    parser.add_argument("--report", type=Path, help=f"where the report goes ({REPORT.relative_to(_ROOT)})")
    words = parser.parse_args()
    chosen = words.only.split(",")
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"there is no {unknown[0]!r}; --only takes some of: {', '.join(names)}")
    size = QUICK if words.quick else WHOLE
    kept = Kept(words.json or _ROOT / ("benchmarks-quick.json" if words.quick else "benchmarks.json"))
    report = words.report or (None if words.quick else REPORT)
    complaints: list[str] = []
    for section in SECTIONS:
        if section.name not in chosen or (words.resume and section.name in kept.measured):
            continue
        print(f"{section.name}:", flush=True)
        measurement, said = _measure(section.name, size)
        kept.add(section.name, measurement)
        complaints += said
        print("\n" + write_section(section, kept.measured[section.name]) + "\n", flush=True)
        if report is not None:
            _write(report, kept.report())
    if report is None:
        say("No report of a quick run; --report FILE writes one")
    else:
        _write(report, kept.report())
        say(f"Written to {report}")
    if complaints:
        raise SystemExit("\n".join(["The logs hold what was not expected:", *complaints]))


if __name__ == "__main__":
    main()
