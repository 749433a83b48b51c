"""What a push gateway's answer means for the push."""

from __future__ import annotations

import pytest

from heliograph.relay.model.outcome import Deferred, Delivered, Outcome, PushRefused, outcome_of, retry_after


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"rejected": null}', b'{"rejected": "k"}', b'{"rejected": ["x"]}'])
def test_success_with_json_is_success(body: bytes) -> None:
    assert outcome_of(200, {}, body, "k") == Delivered()
    assert outcome_of(202, {}, body, "k") == Delivered()


def test_the_own_pushkey_among_the_rejected_ends_the_pusher() -> None:
    assert outcome_of(200, {}, b'{"rejected": ["x", "k"]}', "k") == Delivered(is_rejected=True)


@pytest.mark.parametrize("body", [b"ok", b"", b"<html>", b"\xff", b"[" * 100_000])
def test_success_without_json_is_no_push_gateways(body: bytes) -> None:
    assert isinstance(outcome_of(200, {}, body, "k"), PushRefused)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, PushRefused),
        (502, PushRefused),
        (507, PushRefused),
        (429, Deferred),
        (408, Deferred),
        (425, Deferred),
        (400, PushRefused),
        (401, PushRefused),
        (404, PushRefused),
        (413, PushRefused),
        (422, PushRefused),
        (301, PushRefused),
        (308, PushRefused),
    ],
)
def test_every_other_status_is_put_off_or_refused(status: int, kind: type[Outcome]) -> None:
    assert isinstance(outcome_of(status, {}, b"{}", "k"), kind)


def test_a_gateway_that_says_when_it_is_back_is_waited_for() -> None:
    assert outcome_of(503, {"Retry-After": "30"}, b"", "k") == Deferred("HTTP 503", 30)
    assert outcome_of(500, {"Retry-After": "30"}, b"", "k") == PushRefused("HTTP 500", after_s=30)


@pytest.mark.parametrize("body", [b'{"rejected": ["k", 5]}', b'{"rejected": {"k": 1}}', b'["k"]'])
def test_only_a_well_formed_rejection_drops_a_pusher(body: bytes) -> None:
    assert outcome_of(200, {}, body, "k") == Delivered()
    assert isinstance(outcome_of(404, {}, b'{"rejected": ["k"]}', "k"), PushRefused)


def test_only_413_finds_a_push_too_large() -> None:
    assert outcome_of(413, {}, b"", "k") == PushRefused("HTTP 413", is_too_large=True)
    assert outcome_of(400, {}, b"", "k") == PushRefused("HTTP 400")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("-3", 0),
        ("1e300", 86400),
        ("nan", None),
        ("inf", 86400),
        ("soon", None),
        ("", None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
    ],
)
def test_retry_after_is_a_number_or_a_date_or_nothing(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value, "Date": "Sat, 21 Nov 2026 12:00:00 GMT"}) == seconds


def test_retry_after_as_a_date_needs_the_gateways_own() -> None:
    assert retry_after({"Retry-After": "Sat, 21 Nov 2026 12:00:30 GMT"}) is None
