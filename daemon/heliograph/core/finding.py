"""A finding: how well one thing stands that a check looked at, and what would cure it.

The doctor, the checks of the fallback and the relay's own check all report in findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How well a thing stands, in the words that reports show."""

    GOOD = "ok"
    DOUBTFUL = "hmm"
    """It works, and not as well as it could."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about one thing, and the cure unless all is well."""

    grade: Grade
    text: str
    cure: str = ""
    subject: str = ""
    """The thing that was looked at, where the report names it before the sentence."""

    @property
    def is_good(self) -> bool:
        return self.grade is Grade.GOOD


def good(text: str, *, subject: str = "") -> Finding:
    """The thing is as it should be."""
    return Finding(Grade.GOOD, text, subject=subject)


def doubtful(text: str, cure: str, *, subject: str = "") -> Finding:
    """The thing works, and not as well as it could."""
    return Finding(Grade.DOUBTFUL, text, cure, subject)


def bad(text: str, cure: str = "", *, subject: str = "") -> Finding:
    """The thing does not work."""
    return Finding(Grade.BAD, text, cure, subject)
