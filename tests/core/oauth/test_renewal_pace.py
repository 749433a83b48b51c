"""When a token endpoint is asked again."""

from __future__ import annotations

from heliograph.core.oauth.renewal_pace import RenewalPace


def test_nobody_waits_before_anything_went_wrong() -> None:
    assert RenewalPace().wait_s(0) == 0


def test_an_endpoint_that_fails_is_asked_less_and_less_and_as_it_wants() -> None:
    pace = RenewalPace()
    pace.note_failure(100, 0.5, None)
    assert pace.wait_s(100) == 1
    assert pace.wait_s(101) == pace.wait_s(1000) == 0
    pace.note_failure(101, 0.5, None)
    assert pace.wait_s(101) == 2
    pace.note_failure(103, 0.5, 30)
    assert pace.wait_s(103) == 30
    pace.note_token()
    assert pace.wait_s(103) == 0
    pace.note_failure(200, 0.5, None)
    assert pace.wait_s(200) == 1


def test_a_fresh_token_that_is_refused_puts_off_the_next_until_one_is_taken() -> None:
    pace = RenewalPace()
    assert not pace.is_refused
    pace.note_refusal(100)
    assert pace.is_refused
    assert pace.wait_s(100) == 61
    # The next one is not known to be any better.
    pace.note_token()
    assert pace.wait_s(100) == 61
    pace.note_accepted()
    assert not pace.is_refused
    assert pace.wait_s(100) == 0
