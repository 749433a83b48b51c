"""What a check found, as lines of the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import click

from heliograph.core.finding import Finding, Grade

_WORDS = {Grade.GOOD: "ok ", Grade.DOUBTFUL: "hmm", Grade.BAD: "BAD"}


def print_findings(findings: Iterable[Finding]) -> bool:
    """Prints each finding with its cure below. Returns True if none is bad."""
    # A list, since `all` would stop printing at the first that is bad.
    return all([print_finding(finding) for finding in findings])


def print_finding(finding: Finding) -> bool:
    """Prints the finding, and its cure on a line of its own. Returns True unless the finding is bad."""
    click.echo(f"{_WORDS[finding.grade]} {finding.text}")
    if finding.cure:
        click.echo(f"    {finding.cure}")
    return finding.grade is not Grade.BAD
