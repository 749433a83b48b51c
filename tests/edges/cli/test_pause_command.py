from __future__ import annotations

import pytest

from buses import PrivateBus
from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.core.summary import UNTIL_RESUMED, Summary
from heliograph.errors import UserError


@pytest.mark.parametrize(
    ("words", "asked"), [([], ""), (["1h"], "1h"), (["1h", "30m"], "1h 30m"), (["until", "08:00"], "until 08:00")]
)
def test_the_daemon_pauses_as_the_words_say(
    shell: Shell, private_bus: PrivateBus, words: list[str], asked: str
) -> None:
    with FakeDaemon(private_bus, FakeAnswers()) as daemon:
        result = shell.run("pause", *words)
    assert result.exit_code == 0
    assert result.stdout == "Nothing pops up until resumed. To end it: heliograph resume\n"
    assert daemon.answers.asked == [("pause", asked)]


@pytest.mark.parametrize(("until_ms", "asked"), [(0, ("pause", "")), (UNTIL_RESUMED, ("resume",))])
def test_a_toggle_does_what_there_is_to_do(
    shell: Shell, private_bus: PrivateBus, until_ms: int, asked: tuple[str, ...]
) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), Summary(paused_until_ms=until_ms)) as daemon:
        assert shell.run("pause", "--toggle").exit_code == 0
    assert daemon.answers.asked == [asked]


def test_words_that_are_none_are_explained(shell: Shell, private_bus: PrivateBus) -> None:
    answers = FakeAnswers()
    answers.trouble = UserError("'soon' is not written like 1h.", "heliograph pause 1h")
    with FakeDaemon(private_bus, answers):
        result = shell.run("pause", "soon")
    assert result.exit_code == 1
    assert result.stderr == "Error: 'soon' is not written like 1h.\nTry: heliograph pause 1h\n"


@pytest.mark.parametrize(
    ("why", "told"), [("", "The pause has ended."), ("quiet hours", "it is quiet still: quiet hours.")]
)
def test_resuming_says_what_is_left(shell: Shell, private_bus: PrivateBus, why: str, told: str) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), Summary(quiet_why=why)) as daemon:
        result = shell.run("resume")
    assert told in result.stdout
    assert daemon.answers.asked == [("resume",)]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_a_daemon_it_says_so(shell: Shell, private_bus: PrivateBus, command: str) -> None:
    result = shell.run(command)
    assert result.exit_code == 1
    assert "not running" in result.stderr
