from __future__ import annotations

import asyncio

import pytest

from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.core.summary.summary import UNTIL_RESUMED, Summary
from heliograph.errors import UserError
from support.buses import PrivateBus


@pytest.mark.parametrize(
    ("words", "asked"), [([], ""), (["1h"], "1h"), (["1h", "30m"], "1h 30m"), (["until", "08:00"], "until 08:00")]
)
def test_the_daemon_pauses_as_the_words_say(
    shell: Shell, private_bus: PrivateBus, words: list[str], asked: str
) -> None:
    with FakeDaemon(private_bus, FakeAnswers()) as daemon:
        result = shell.run("pause", *words)
    assert result.exit_code == 0
    assert result.stdout == TOLD
    assert daemon.answers.asked == [("pause", asked)]


TOLD = "Nothing pops up until resumed, and your other devices ring instead. To end it: heliograph resume\n"
RELAY = {"user_id": "@here:example.org", "handoff": {"set_up": "relay", "quiet": []}}
SWITCHED = {"user_id": "@there:example.org", "handoff": {"set_up": "switch", "quiet": ["Element Android"]}}
ALWAYS = {"user_id": "@me:example.org", "handoff": {"set_up": "always", "quiet": []}}


@pytest.mark.parametrize(("accounts", "named"), [((RELAY, SWITCHED), []), ((RELAY, ALWAYS), ["@me:example.org"])])
def test_a_pause_everywhere_names_the_accounts_whose_other_devices_ring_all_the_same(
    shell: Shell, private_bus: PrivateBus, accounts: tuple[dict[str, object], ...], named: list[str]
) -> None:
    with FakeDaemon(private_bus, FakeAnswers({"accounts": list(accounts)})) as daemon:
        result = shell.run("pause", "--everywhere", "1h")
    assert result.exit_code == 0
    first, *others = result.stdout.splitlines()
    assert first == "Nothing pops up until resumed. To end it: heliograph resume"
    assert [line.split()[3] for line in others] == named
    assert daemon.answers.asked[0] == ("pause everywhere", "1h")


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
        result = shell.run("pause", "1h")
    assert result.exit_code == 1
    assert result.stderr == "Error: 'soon' is not written like 1h.\nTry: heliograph pause 1h\n"


def test_words_that_are_none_are_told_before_anything_else_is_missing(shell: Shell) -> None:
    result = shell.run("pause", "banana")
    assert result.exit_code == 2
    problem, hint = result.stderr.splitlines()
    assert "banana" in problem
    assert hint == "Try: heliograph pause 1h, or heliograph pause until 08:00"


def test_where_there_was_no_pause_none_has_ended(shell: Shell, private_bus: PrivateBus) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), Summary(quiet_why="quiet hours")):
        assert shell.run("resume").stdout == "There was no pause, and it is quiet still: quiet hours.\n"
    with FakeDaemon(private_bus, FakeAnswers()):
        assert shell.run("resume").stdout == "There was no pause.\n"


class SilentAnswers(FakeAnswers):
    """Of a daemon that has the name, and hangs."""

    async def pause(self, words: str, *, is_everywhere: bool) -> int:
        await asyncio.Event().wait()
        raise AssertionError(words)


@pytest.mark.expected_log("Service interface raised an exception")
def test_a_daemon_that_hangs_is_waited_for_no_longer_than_some_seconds(
    shell: Shell, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.control.client.OWN_TIMEOUT_S", 0.2)
    with FakeDaemon(private_bus, SilentAnswers()):
        result = shell.run("pause", "1h")
    assert result.exit_code == 1
    problem, hint = result.stderr.splitlines()
    assert problem == "Error: Heliograph runs, but did not answer within 0.2 s."
    assert hint.startswith("Try: It may still do it, once it answers again. If it hangs: ")


@pytest.mark.parametrize(
    ("why", "told"), [("", "The pause has ended."), ("quiet hours", "it is quiet still: quiet hours.")]
)
def test_resuming_says_what_is_left(shell: Shell, private_bus: PrivateBus, why: str, told: str) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), Summary(quiet_why=why, paused_until_ms=UNTIL_RESUMED)) as daemon:
        result = shell.run("resume")
    assert told in result.stdout
    assert result.stdout.startswith("The pause has ended")
    assert daemon.answers.asked == [("resume",)]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_a_daemon_it_says_so(shell: Shell, private_bus: PrivateBus, command: str) -> None:
    result = shell.run(command)
    assert result.exit_code == 1
    assert "not running" in result.stderr
