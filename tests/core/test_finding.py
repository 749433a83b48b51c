"""Findings of checks."""

from __future__ import annotations

from heliograph.core.finding import Grade, bad, doubtful, good


def test_only_what_is_as_it_should_be_is_good() -> None:
    assert good("it works", subject="clock").is_good
    assert not doubtful("it works slowly", "mend it").is_good
    assert not bad("it is broken").is_good


def test_reports_show_the_words_that_scripts_look_for() -> None:
    assert [grade.value for grade in Grade] == ["ok", "hmm", "bad"]
