"""Which delivery of several is given up, where one of them cannot be shown for a fault of ours."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.delivery import State
from heliograph.core.record import Agenda, Delivery
from heliograph.core.suspects import MOST, TRIES, Suspects
from support.builders import ROOM, make_delivery


def deliveries(count: int) -> list[Delivery]:
    return [make_delivery(f"${number}") for number in range(count)]


def test_without_a_fault_all_are_chosen() -> None:
    suspects, all_of_them = Suspects(), deliveries(3)
    assert suspects.choose([]) == []
    assert suspects.choose(all_of_them) == all_of_them


def test_what_is_under_no_suspicion_goes_first() -> None:
    suspects, (poison, good) = Suspects(), deliveries(2)
    assert not suspects.note_fault([poison])
    assert suspects.choose([poison, good]) == [good]
    assert suspects.choose([poison]) == [poison]


def test_one_that_fails_alone_is_given_up_after_a_few_tries() -> None:
    suspects, (poison,) = Suspects(), deliveries(1)
    assert [suspects.note_fault([poison]) for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]


def agenda(*due: Delivery) -> Agenda:
    return Agenda(due, (), None)


def test_one_that_failed_alone_is_shown_without_what_its_popup_quotes() -> None:
    suspects, (poison, good) = Suspects(), deliveries(2)
    quoted = make_delivery("$quoted", state=State.SHOWN)
    suspects.note_fault([poison, good])
    assert suspects.narrow(agenda(quoted, poison, good)) == (agenda(quoted, poison), True)
    suspects.note_fault([poison])
    assert suspects.narrow(agenda(quoted, poison)) == (agenda(poison), False)
    assert suspects.narrow(agenda(quoted, good)) == (agenda(quoted, good), False)


def test_one_that_was_shown_is_suspected_no_more() -> None:
    suspects, (once, other) = Suspects(), deliveries(2)
    suspects.note_fault([once])
    suspects.clear(ROOM, [once, other])
    assert suspects.choose([once, other]) == [once, other]


def test_a_popup_that_cannot_be_changed_is_left_after_a_few_tries_in_a_row() -> None:
    suspects = Suspects()
    assert [suspects.note_popup_fault(ROOM) for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]
    suspects.note_popup_fault(ROOM)
    suspects.clear(ROOM, [])
    assert not suspects.note_popup_fault(ROOM)


def test_a_few_are_remembered() -> None:
    suspects, many = Suspects(), deliveries(MOST + 1)
    suspects.note_fault(many)
    assert suspects.choose(many) == [many[0]]


@given(st.lists(st.booleans(), min_size=1, max_size=13))
def test_of_any_number_those_that_fail_are_given_up_and_no_other(faulty: list[bool]) -> None:
    waiting = deliveries(len(faulty))
    poison = {each.event_id for each, is_faulty in zip(waiting, faulty, strict=True) if is_faulty}
    suspects, given_up, rounds = Suspects(), set(), itertools.count()
    while waiting:
        assert next(rounds) < 20 * len(faulty)
        chosen = list(suspects.choose(waiting))
        assert chosen
        if not poison & {each.event_id for each in chosen}:
            suspects.clear(ROOM, chosen)
            waiting = [each for each in waiting if each not in chosen]
        elif suspects.note_fault(chosen):
            given_up.add(chosen[0].event_id)
            waiting.remove(chosen[0])
        else:
            # It is put off, so the others are before it.
            waiting = [each for each in waiting if each not in chosen] + chosen
    assert given_up == poison
