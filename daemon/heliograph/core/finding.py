"""The findings in which `heliograph doctor`, the checks of the fallback and the relay's own check report."""

from __future__ import annotations

from enum import Enum

from heliograph.core.value_type import value_type


class Grade(Enum):
    """How well the checked thing works, in the words that reports show."""

    GOOD = "ok"
    DOUBTFUL = "hmm"
    """The thing works, but not as well as it could."""
    BAD = "bad"


@value_type
class Finding:
    """A sentence about one checked thing, and unless that is good, a cure."""

    grade: Grade
    text: str
    cure: str = ""
    subject: str = ""
    """The name of the checked thing, if the report puts it before the sentence."""

    @property
    def is_good(self) -> bool:
        return self.grade is Grade.GOOD


def good(text: str, *, subject: str = "") -> Finding:
    """The thing is as it should be."""
    return Finding(Grade.GOOD, text, subject=subject)


def doubtful(text: str, cure: str, *, subject: str = "") -> Finding:
    """The thing works, but not as well as it could."""
    return Finding(Grade.DOUBTFUL, text, cure, subject)


def bad(text: str, cure: str = "", *, subject: str = "") -> Finding:
    """The thing does not work."""
    return Finding(Grade.BAD, text, cure, subject)
