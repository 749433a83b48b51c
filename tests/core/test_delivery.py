"""The table of deliveries: every move that can happen, and none that cannot."""

from __future__ import annotations

import pytest

from heliograph.core.delivery import FIRST_RETRY_S, LAST_RETRY_S, OPEN_STATES, Move, State, after, retry_delay

LEGAL = [
    (State.PENDING, Move.SHOWN, State.SHOWN),
    (State.PENDING, Move.FAILED, State.PENDING),
    (State.PENDING, Move.OPENED, State.OPENED),
    (State.PENDING, Move.WITHDRAWN, State.CANCELLED),
    (State.PENDING, Move.GAVE_UP, State.LOST),
    (State.SHOWN, Move.OPENED, State.OPENED),
    (State.SHOWN, Move.DISMISSED, State.DISMISSED),
    (State.SHOWN, Move.WITHDRAWN, State.WITHDRAWN),
    (State.SHOWN, Move.REPLACED, State.SHOWN),
    (State.SHOWN, Move.SERVER_RESTARTED, State.SHOWN),
    (State.DISMISSED, Move.OPENED, State.OPENED),
    (State.DISMISSED, Move.WITHDRAWN, State.WITHDRAWN),
    (State.LOST, Move.OPENED, State.OPENED),
    (State.LOST, Move.WITHDRAWN, State.CANCELLED),
]
ILLEGAL = [(state, move) for state in State for move in Move if (state, move) not in [row[:2] for row in LEGAL]]


@pytest.mark.parametrize(("state", "move", "then"), LEGAL)
def test_a_legal_move_leads_where_the_design_says(state: State, move: Move, then: State) -> None:
    assert after(state, move) is then


@pytest.mark.parametrize(("state", "move"), ILLEGAL)
def test_any_other_move_is_passed_over(state: State, move: Move) -> None:
    assert after(state, move) is None


def test_what_is_on_no_screen_and_not_read_is_open_all_the_same() -> None:
    assert frozenset({State.PENDING, State.SHOWN, State.DISMISSED, State.LOST}) == OPEN_STATES


def test_every_state_can_be_reached() -> None:
    assert {then for _, _, then in LEGAL} == set(State)


def test_retries_double_up_to_their_limit_give_or_take_a_quarter() -> None:
    assert retry_delay(0, 0.5) == 0
    assert [retry_delay(attempts, 0.5) for attempts in (1, 2, 3)] == [FIRST_RETRY_S, 4.0, 8.0]
    assert retry_delay(1000, 0.5) == LAST_RETRY_S
    assert retry_delay(1, 0.0) == 0.75 * FIRST_RETRY_S
    assert retry_delay(1, 0.999) < 1.25 * FIRST_RETRY_S
