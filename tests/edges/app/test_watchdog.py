"""The watchdog is fed only while every loop turns."""

from __future__ import annotations

import asyncio

import pytest

from heliograph.app.watchdog import FED_S, LONGEST_TURN_S, Watchdog
from support.waiting import until

pytestmark = pytest.mark.virtual_time

ME, ALICE = "@me:example.org", "@alice:example.org"


class Stage:
    def __init__(self) -> None:
        self.now = 1000.0
        self.fed = 0
        self.stuck: set[str] = set()
        self.watchdog = Watchdog(lambda: self.now, self._feed)

    def watch(self, name: str) -> None:
        self.watchdog.watch(name, lambda: name in self.stuck)

    def is_fed_by(self, name: str) -> bool:
        before = self.fed
        self.now += FED_S
        self.watchdog.beat(name)
        return self.fed > before

    def _feed(self) -> None:
        self.fed += 1


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.watch(ME)
    stage.watch(ALICE)
    return stage


def test_it_is_fed_while_all_turn(stage: Stage) -> None:
    assert stage.is_fed_by(ME)
    assert stage.is_fed_by(ALICE)


def test_turns_that_take_no_time_feed_it_once(stage: Stage) -> None:
    assert stage.is_fed_by(ME)
    for _ in range(5):
        stage.watchdog.beat(ALICE)
    assert stage.fed == 1


def test_one_that_hangs_does_not_hide_behind_another(stage: Stage) -> None:
    stage.now += LONGEST_TURN_S
    assert not stage.is_fed_by(ME)
    assert stage.is_fed_by(ALICE)


def test_it_is_not_fed_while_a_delivery_hangs(stage: Stage) -> None:
    stage.stuck.add(ALICE)
    assert not stage.is_fed_by(ME)
    stage.stuck.clear()
    assert stage.is_fed_by(ME)


def test_one_that_ended_as_it_should_is_not_waited_for(stage: Stage) -> None:
    stage.watchdog.release(ALICE)
    stage.now += LONGEST_TURN_S
    assert stage.is_fed_by(ME)


def test_one_that_ended_in_the_middle_of_a_delivery_is_not_waited_for(stage: Stage) -> None:
    stage.stuck.add(ALICE)
    stage.watchdog.release(ALICE)
    assert stage.is_fed_by(ME)


def test_one_that_waits_unwatched_feeds_it_too(stage: Stage) -> None:
    stage.watchdog.release(ME)
    assert stage.is_fed_by(ME)
    stage.now += LONGEST_TURN_S
    assert not stage.is_fed_by(ME)


async def test_for_a_short_patience_it_is_fed_between_turns_and_only_while_all_is_well(stage: Stage) -> None:
    looking = asyncio.create_task(stage.watchdog.keep_looking(0.03))
    await until(lambda: stage.fed >= 3, "food without a turn")
    stage.now += LONGEST_TURN_S
    fed = stage.fed
    stage.watchdog.beat(ME)
    await asyncio.sleep(0.05)
    assert stage.fed == fed
    stage.watchdog.beat(ALICE)
    await until(lambda: stage.fed > fed + 1, "food after the late one turned")
    looking.cancel()
