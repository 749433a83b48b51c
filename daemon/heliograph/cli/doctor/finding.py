"""One line of the doctor: what was looked at, how it is, and what would cure it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How it is."""

    GOOD = "ok"
    DOUBTFUL = "hmm"
    """It works, and not as well as it could."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """`cure` is what to do, unless it is good."""

    subject: str
    verdict: Verdict
    text: str
    cure: str = ""

    def as_json(self) -> dict[str, Any]:
        """As `heliograph doctor --json` tells it."""
        return {"subject": self.subject, "verdict": self.verdict.value, "text": self.text, "cure": self.cure}


def good(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Verdict.GOOD, text)


def doubtful(subject: str, text: str, cure: str) -> Finding:
    """It works, and not as well as it could."""
    return Finding(subject, Verdict.DOUBTFUL, text, cure)


def bad(subject: str, text: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(subject, Verdict.BAD, text, cure)
