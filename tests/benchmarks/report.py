"""The report in Markdown: the same order and form each time, so that two of them can be compared line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.rows import SECTIONS, US, Row, Section

_HEAD = """# Benchmarks

`tests/benchmarks/run` wrote this page; do not edit it. It measures everything in one run on one machine, each figure
beside a floor or another program, and no figure fails a build. Figures from different machines cannot be compared;
ratios nearly can. What the figures come to: [performance](performance.md).
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A section as it was measured: when (UTC), how, and what came of it."""

    when: str
    size: str
    load: float
    took_s: float
    figures: dict[str, dict[str, float]]
    notes: dict[str, str] = field(default_factory=dict)
    """Why something was not measured, by what."""

    @property
    def sentence(self) -> str:
        rounded = f"{self.took_s / 60:.1f} min" if self.took_s >= 100 else f"{self.took_s:.0f} s"
        return f"Measured {self.when}, {self.size} size, in {rounded}; the machine's load before was {self.load:.1f}."


def write_report(machine: Mapping[str, str], measured: Mapping[str, Measurement]) -> str:
    """What was not measured is left out, and named."""
    blocks = [_HEAD, "\n".join(["| | |", "|---|---|", *(f"| {name} | {_cell(machine[name])} |" for name in machine)])]
    blocks.append(_verdict(measured))
    for section in SECTIONS:
        if section.name in measured:
            blocks.append(write_section(section, measured[section.name]))
    blocks.append("## What the figures are\n\n" + "\n".join(_definitions(measured)))
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def write_section(section: Section, measurement: Measurement) -> str:
    table = measurement.figures
    columns = [*section.peers, "Heliograph"]
    lines = [
        f"## {section.title}",
        "",
        f"{section.text} {measurement.sentence}",
        "",
        "| | " + " | ".join(columns) + " | ratio | aim | |",
        "|---|" + "---:|" * (len(columns) + 1) + "---|---|",
    ]
    for row in section.rows:
        if row.figure in table.get(US, {}):
            cells = [_number(table.get(name, {}).get(row.figure)) for name in (*section.peers, US)]
            ratio = _number(row.ratio(table, section.peers))
            lines.append(
                f"| {_name(row)} | {' | '.join(cells)} | {ratio} | {_aim(row)} | {_word(row, table, section)} |"
            )
    lines += ["", *(f"Not measured: {what}, since {_cell(why)}." for what, why in measurement.notes.items())]
    return "\n".join(lines).rstrip()


def _verdict(measured: Mapping[str, Measurement]) -> str:
    reached, missed = 0, []
    for section in SECTIONS:
        for row in section.rows if section.name in measured else ():
            match row.is_reached(measured[section.name].figures, section.peers):
                case True:
                    reached += 1
                case False:
                    missed.append(row.what)
    absent = [section.name for section in SECTIONS if section.name not in measured]
    sentences = [f"{reached} of {reached + len(missed)} aims are reached."]
    if missed:
        sentences.append(f"Missed: {'; '.join(missed)}.")
    if absent:
        sentences.append(f"Not measured: {', '.join(absent)}.")
    return " ".join(sentences)


def _definitions(measured: Mapping[str, Measurement]) -> Iterator[str]:
    for section in SECTIONS:
        for row in section.rows:
            if section.name in measured and row.figure in measured[section.name].figures.get(US, {}):
                yield f"- *{row.what}* ({section.name}): {row.meaning}"


def _name(row: Row) -> str:
    return f"{row.what} ({row.unit})" if row.unit else row.what


def _aim(row: Row) -> str:
    if row.times is not None:
        return f"{row.times:g}x"
    return "" if row.at_most is None else f"{row.at_most:g} {row.unit}".rstrip()


def _word(row: Row, table: Mapping[str, Mapping[str, float]], section: Section) -> str:
    return {True: "reached", False: "**missed**", None: ""}[row.is_reached(table, section.peers)]


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:400]


def read_measurement(kept: Any) -> Measurement:
    """As `dataclasses.asdict` left it. Raises TypeError or KeyError for what is none."""
    return Measurement(**kept)
