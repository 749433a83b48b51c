from __future__ import annotations

from heliograph.store.kept_answers import KeptAnswers


def test_an_answer_is_read_once_until_something_may_have_changed_it() -> None:
    answers: KeptAnswers[str, int] = KeptAnswers(2)
    assert answers.get("a") is None
    assert answers.read("a", lambda: 1) == 1
    assert answers.get("a") == 1
    answers.forget()
    assert answers.get("a") is None


def test_an_empty_answer_is_an_answer() -> None:
    answers: KeptAnswers[str, tuple[int, ...]] = KeptAnswers(2)
    answers.read("a", tuple)
    assert answers.get("a") == ()


def test_only_the_newest_answers_are_kept() -> None:
    answers: KeptAnswers[int, int] = KeptAnswers(2)
    for number in range(4):
        answers.read(number, lambda: 0)
    assert [number for number in range(4) if answers.get(number) is not None] == [2, 3]


def test_an_answer_that_is_read_again_takes_no_others_place() -> None:
    answers: KeptAnswers[str, int] = KeptAnswers(2)
    for asked in ("a", "b", "b"):
        answers.read(asked, lambda: 0)
    assert answers.get("a") == 0
