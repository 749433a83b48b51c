"""A life is drawn from its seed alone, and holds what chance seldom makes."""

from __future__ import annotations

import ast

import pytest

from system.lives.draw import draw
from system.lives.play import ACTS
from system.lives.step import Kind, Mode


def test_the_same_seed_draws_the_same_life() -> None:
    assert draw(7, Mode.LOCAL_PLAIN) == draw(7, Mode.LOCAL_PLAIN)
    assert draw(7, Mode.LOCAL_PLAIN).steps == draw(7, Mode.DIRECT_ENCRYPTED).steps
    assert draw(7, Mode.LOCAL_PLAIN).steps != draw(8, Mode.LOCAL_PLAIN).steps


def test_every_kind_of_step_can_be_done_and_comes_in_some_life() -> None:
    assert set(ACTS) == set(Kind)
    drawn = {step.kind for seed in range(300) for step in draw(seed, Mode.LOCAL_PLAIN).steps}
    assert drawn == set(Kind)


def test_every_life_starts_the_daemon_and_takes_about_thirty_steps() -> None:
    lives = [draw(seed, Mode.LOCAL_PLAIN).steps for seed in range(300)]
    assert all(any(step.kind is Kind.START for step in steps) for steps in lives)
    assert 25 < sum(map(len, lives)) / len(lives) < 36


def test_some_lives_have_an_absence_with_more_in_one_room_than_a_sync_brings() -> None:
    def has_one(steps: list[Kind]) -> bool:
        away = False
        for kind in steps:
            if away and kind in (Kind.FLOOD, Kind.CHATTER):
                return True
            away = kind in (Kind.STOP, Kind.KILL) or (away and kind is not Kind.START)
        return False

    lives = [[step.kind for step in draw(seed, Mode.LOCAL_PLAIN).steps] for seed in range(100)]
    assert sum(map(has_one, lives)) > 20


@pytest.mark.parametrize(
    "kind", [Kind.RENAME_ALIKE, Kind.RING, Kind.BAN_SENDER, Kind.READ_REACTION_IN_THREAD, Kind.SAY_IN_FUTURE]
)
def test_what_was_learnt_from_faults_comes_in_many_lives(kind: Kind) -> None:
    lives = [{step.kind for step in draw(seed, Mode.LOCAL_PLAIN).steps} for seed in range(200)]
    assert sum(kind in kinds for kinds in lives) > 10


def test_a_part_of_a_life_keeps_the_places_of_its_steps_and_says_how_to_live_it_again() -> None:
    life = draw(3, Mode.DIRECT_PLAIN)
    part = life.keep((0, 4, 5)).keep((0, 5))
    assert part.steps == (life.steps[0], life.steps[5])
    assert part.command == "tests/system/lives/run --mode direct-plain --seed 3 --keep 0,5"
    assert ast.literal_eval("[" + part.command.rpartition(" ")[2] + "]") == [0, 5]
