"""What a check found, as lines of the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import click

from heliograph.core.finding import Finding


def print_findings(findings: Iterable[Finding]) -> bool:
    """Prints each finding with its cure below. Returns True if all are good."""
    # A list, since `all` would stop printing at the first that is not good.
    return all([print_finding(finding) for finding in findings])


def print_finding(finding: Finding) -> bool:
    """Prints the finding, and its cure on a line of its own. Returns True if the finding is good."""
    click.echo(f"{'ok ' if finding.is_good else 'BAD'} {finding.text}")
    if finding.cure:
        click.echo(f"    {finding.cure}")
    return finding.is_good
