"""Each test exists that code names beside a decision."""

from __future__ import annotations

import re

import pytest

from documentation.pages import ROOT

NAMED = re.compile(r"\btest_[a-z0-9_]+\b(\.py\b)?")
DEFINED = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def named_in(text: str) -> set[str]:
    """Names of tests, and of files of tests, in the docstrings and comments of a module."""
    return {match.group() for match in NAMED.finditer(text)}


@pytest.fixture(scope="module")
def known() -> set[str]:
    """All tests and their files."""
    paths = [*ROOT.glob("tests/**/test_*.py")]
    tests = {name for path in paths for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    return tests.union(path.name for path in paths)


def test_each_test_that_code_names_exists(known: set[str]) -> None:
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in ROOT.glob("daemon/**/*.py")
        for name in named_in(path.read_text(encoding="utf-8")) - known
    }
    assert not unknown
