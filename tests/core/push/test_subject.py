"""Reading an event costs work, and without work nothing is read."""

from __future__ import annotations

from heliograph.core.push.context import Context
from heliograph.core.push.flatten import MISSING
from heliograph.core.push.patterns import Work
from heliograph.core.push.subject import BODY, Subject
from support.builders import ME
from support.rule_builders import with_body

_PATH = ("content", "body")


def _subject(body: str, work: int) -> Subject:
    return Subject(with_body(body), Context(ME), Work(work))


def test_a_property_is_read_lowered_folded_and_split() -> None:
    subject = _subject("Hello ΣΑΣ 7", 10_000)

    assert subject.value(BODY, _PATH) == "Hello ΣΑΣ 7"
    assert subject.lowered(BODY, _PATH) == "hello σας 7"
    assert subject.folded(BODY, _PATH) == "hello σασ 7"
    assert subject.words == {b"hello", b"7"}


def test_without_work_nothing_is_looked_up() -> None:
    assert _subject("hello", 10).value(BODY, _PATH) is MISSING


def test_an_overdrawn_subject_is_read_no_more() -> None:
    subject = _subject("hello", -1)

    assert subject.lowered(BODY, _PATH) is None
    assert subject.words == frozenset()


def test_a_text_too_long_for_the_work_that_is_left_is_not_lowered() -> None:
    assert _subject("Σ" * 1_000, 5_000).lowered(BODY, _PATH) is None
    assert _subject("s" * 1_000, 5_000).lowered(BODY, _PATH) == "s" * 1_000


def test_a_text_too_long_for_the_work_that_is_left_is_not_folded_or_split() -> None:
    subject = _subject("σ" * 1_000, 5_500)

    assert subject.lowered(BODY, _PATH) == "σ" * 1_000
    assert subject.words == frozenset()
    assert subject.folded(BODY, _PATH) is None
