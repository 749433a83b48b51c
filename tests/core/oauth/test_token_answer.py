"""What an answer of a token endpoint means."""

from __future__ import annotations

import json

import pytest

from heliograph.core.oauth.token_answer import (
    Ended,
    Granted,
    TokenAnswer,
    TokenGrant,
    TryAgain,
    judge_token_answer,
)

GRANTED = {"access_token": "mat_1", "refresh_token": "mar_1", "token_type": "Bearer", "expires_in": 300}


def judge(answer: object, status: int = 200, content_type: str = "application/json") -> TokenAnswer:
    return judge_token_answer(status, content_type, json.dumps(answer).encode(), None)


def judge_grant(**changes: object) -> TokenAnswer:
    return judge({**GRANTED, **changes})


def test_tokens_are_granted() -> None:
    assert judge(GRANTED) == Granted(TokenGrant("mat_1", "mar_1", 300))


def test_a_grant_without_a_refresh_token_leaves_the_earlier_one() -> None:
    for none in (None, "", 7, "two words"):
        assert judge_grant(refresh_token=none) == Granted(TokenGrant("mat_1", None, 300))


@pytest.mark.parametrize("life", [None, 0, -1, True, "300", float("nan"), float("inf"), 10**400])
def test_a_life_that_is_none_is_unknown(life: object) -> None:
    assert judge_grant(expires_in=life) == Granted(TokenGrant("mat_1", "mar_1", None))


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": ["mat_1"]},
        {"access_token": "a\r\nHost: elsewhere"},
        {"access_token": "x" * 20_000},
        {"token_type": "mac"},
        {"token_type": None},
    ],
)
def test_what_cannot_be_sent_as_a_bearer_token_is_no_grant(changes: dict[str, object]) -> None:
    assert judge_grant(**changes) == TryAgain(None, "HTTP 200, without tokens")


def test_the_kind_of_token_may_be_written_in_any_way_or_left_out() -> None:
    without = {key: value for key, value in GRANTED.items() if key != "token_type"}
    assert judge_grant(token_type="bearer") == judge(without) == judge(GRANTED)


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "unauthorized_client"])
@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON;charset=UTF-8", "application/x+json"])
def test_three_errors_end_a_session(code: str, status: int, content_type: str) -> None:
    assert judge({"error": code}, status, content_type) == Ended(code)


@pytest.mark.parametrize(
    ("answer", "status", "content_type"),
    [
        ({"error": "invalid_grant"}, 200, "application/json"),
        ({"error": "invalid_grant"}, 403, "application/json"),
        ({"error": "invalid_grant"}, 408, "application/json"),
        ({"error": "invalid_grant"}, 429, "application/json"),
        ({"error": "invalid_grant"}, 500, "application/json"),
        ({"error": "invalid_grant"}, 502, "application/json"),
        ({"error": "invalid_grant"}, 503, "application/json"),
        ({"error": "invalid_grant"}, 400, "text/html"),
        ({"error": "invalid_grant"}, 400, ""),
        ({"error": "invalid_grant"}, 400, "text/x+json"),
        ({"error": "server_error"}, 400, "application/json"),
        ({"error": "temporarily_unavailable"}, 400, "application/json"),
        ({"error": "invalid_request"}, 400, "application/json"),
        ({"error": ""}, 400, "application/json"),
        ({"error": ["invalid_grant"]}, 400, "application/json"),
        ({"errcode": "M_UNKNOWN_TOKEN"}, 401, "application/json"),
        (["invalid_grant"], 400, "application/json"),
        ("invalid_grant", 400, "application/json"),
        ({}, 302, "application/json"),
    ],
)
def test_nothing_but_three_errors_in_json_ends_a_session(answer: object, status: int, content_type: str) -> None:
    assert isinstance(judge(answer, status, content_type), TryAgain)


@pytest.mark.parametrize("body", [b"", b"<html>invalid_grant</html>", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000])
@pytest.mark.parametrize("status", [200, 400, 401, 502])
def test_what_is_no_json_is_tried_again(body: bytes, status: int) -> None:
    answer = judge_token_answer(status, "application/json", body, 7)
    assert answer == TryAgain(7, f"HTTP {status}, without JSON")


def test_what_a_server_says_is_told_in_one_clean_line() -> None:
    said = {"error": "slow\u001b[31m_down", "error_description": "not\nso  fast" + "!" * 1000}
    answer = judge_token_answer(400, "application/json", json.dumps(said).encode(), 3)
    assert isinstance(answer, TryAgain)
    assert (answer.after_s, answer.code) == (3, "slow[31m_down")
    assert answer.why.startswith("HTTP 400 slow[31m_down: not so fast!!!")
    assert len(answer.why) < 250
    assert judge({"error": "slow_down"}, 403) == TryAgain(None, "HTTP 403 slow_down", "slow_down")
    assert judge({}, 503) == TryAgain(None, "HTTP 503")


def test_no_token_stands_in_what_a_log_may_show() -> None:
    assert "mat_1" not in repr(judge(GRANTED))
    assert "mar_1" not in repr(judge(GRANTED))
