"""Whatever happens to a delivery in whatever order, the table says what somebody would say who only remembers facts."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heliograph.core.delivery import OPEN_STATES, Move, State, after


class DeliveryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = State.PENDING
        self.was_shown = False
        self.is_on_screen = False
        self.was_refused = False
        self.end: Move | None = None

    @property
    def is_waiting(self) -> bool:
        return self.end is None and not self.was_shown and not self.was_refused

    @rule(move=st.sampled_from(Move))
    def happens(self, move: Move) -> None:
        then = after(self.state, move)
        assert (then is not None) == self._can_happen(move), f"{move} in {self.state}"
        if then is None:
            return
        self._remember(move)
        self.state = then

    def _can_happen(self, move: Move) -> bool:
        match move:
            case Move.SHOWN | Move.FAILED | Move.GAVE_UP:
                return self.is_waiting
            case Move.REPLACED | Move.SERVER_RESTARTED | Move.DISMISSED:
                return self.is_on_screen
            case Move.OPENED | Move.WITHDRAWN:
                return self.end is None

    def _remember(self, move: Move) -> None:
        if move is Move.SHOWN:
            self.was_shown = self.is_on_screen = True
        elif move is Move.GAVE_UP:
            self.was_refused = True
        elif move is Move.DISMISSED:
            self.is_on_screen = False
        elif move in (Move.OPENED, Move.WITHDRAWN):
            self.end, self.is_on_screen = move, False

    @invariant()
    def the_state_is_what_the_facts_say(self) -> None:
        assert self.state is self._expected()
        assert (self.state in OPEN_STATES) == (self.end is None)

    def _expected(self) -> State:
        if self.end is Move.OPENED:
            return State.OPENED
        if self.end is Move.WITHDRAWN:
            return State.WITHDRAWN if self.was_shown else State.CANCELLED
        if self.was_refused:
            return State.LOST
        if self.was_shown:
            return State.SHOWN if self.is_on_screen else State.DISMISSED
        return State.PENDING


DeliveryMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=20, deadline=None)
TestDelivery = DeliveryMachine.TestCase
