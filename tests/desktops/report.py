"""What came of each situation on each desktop, and the table of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a person would find it."""

    GOOD = "good"
    ODD = "odd"
    WRONG = "WRONG"
    LEFT_OUT = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`why` is empty where all is good."""

    verdict: Verdict
    why: str = ""
    passed: tuple[str, ...] = ()
    """What went over the bus, where it was wrong."""


@dataclass(frozen=True, slots=True)
class Played:
    """One desktop, by name and version, and what came of its situations."""

    title: str
    outcomes: Mapping[str, Outcome]

    @property
    def is_good(self) -> bool:
        return all(outcome.verdict is not Verdict.WRONG for outcome in self.outcomes.values())


def tabulate(played: Sequence[Played]) -> str:
    """Situation by desktop, in Markdown; then the reasons."""
    situations = list(dict.fromkeys(name for each in played for name in each.outcomes))
    rows = [["situation", *(each.title for each in played)]]
    for name in situations:
        found = (each.outcomes.get(name) for each in played)
        rows.append([name, *(outcome.verdict.value if outcome else "" for outcome in found)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([lines[0], rule, *lines[1:], "", *_reasons(played)])


def _reasons(played: Sequence[Played]) -> list[str]:
    lines = []
    for each in played:
        for name, outcome in each.outcomes.items():
            if outcome.why:
                lines.append(f"{each.title}, {name}: {outcome.verdict.value}: {outcome.why}")
                lines.extend(f"    {line}" for line in outcome.passed)
    return lines
