"""Says which error an answer means that is no success. Its text comes from strangers, and is kept short and plain."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from heliograph.core.text.clean import clean_line
from heliograph.errors import AccountLocked, BadAnswer, LoggedOut, RateLimited, Refused, ServerError

MAX_RETRY_AFTER_S = 600.0
"""A server that wants us to wait for longer is asked again after ten minutes."""


def failure(status: int, headers: Mapping[str, str], body: bytes) -> ServerError:
    """The error for an answer with a status other than 2xx. Only an error in Matrix's form is a definite no; a 4xx
    without one is a proxy's, and is tried again."""
    if 300 <= status < 400:
        return BadAnswer(status, f"redirected to {plain_line(headers.get('Location', 'nowhere'))} (HTTP {status})")
    answer = _object(body)
    # Also without JSON: proxies limit rates, too.
    if status == 429:
        return RateLimited(f"rate limited{_said(answer)}", _retry_after(headers, answer))
    # Without JSON it is a proxy's answer and worth trying again: only a Matrix error is a definite no.
    # Test: test_a_sync_that_a_proxy_does_not_find_is_no_definite_no.
    if answer is None or status >= 500 or status < 400 or status == 408:
        return bad_answer(status, body)
    errcode = plain_line(answer["errcode"], 100) if isinstance(answer.get("errcode"), str) else ""
    # Comes with 401, too, but is no logout: the token stays good.
    # Test: test_a_locked_account_is_no_logout_though_it_looks_like_a_soft_one.
    if errcode == "M_USER_LOCKED":
        return AccountLocked()
    if status == 401 and errcode == "M_UNKNOWN_TOKEN":
        return LoggedOut(soft=answer.get("soft_logout") is True)
    if status == 401 and errcode in ("", "M_MISSING_TOKEN"):
        # We always send the token: something on the way to the homeserver removed it, or answered in its place.
        # Test: test_a_401_that_does_not_name_the_token_is_the_answer_of_something_between.
        return bad_answer(status, body)
    return Refused(status, errcode, f"refused with HTTP {status}{_said(answer)}")


def bad_answer(status: int, body: bytes) -> BadAnswer:
    """The error for an answer that no homeserver gives, with the first words of it."""
    answer = _object(body)
    said = (
        _said(answer) if answer is not None else f": {plain_line(body[:4000].decode(errors='replace'))}" if body else ""
    )
    return BadAnswer(status, f"answered HTTP {status}{said or ' without a word'}")


def plain_line(text: str, limit: int = 200) -> str:
    """A stranger's text made fit for one line of a log."""
    return clean_line(text, limit)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _said(answer: Mapping[str, Any] | None) -> str:
    words = [plain_line(word) for key in ("errcode", "error") if isinstance(word := (answer or {}).get(key), str)]
    return f": {' '.join(words)}" if any(words) else ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long to wait, by the header Retry-After, ten minutes at most; None: the server names no time."""
    return _bounded(_seconds(headers))


def _retry_after(headers: Mapping[str, str], answer: Mapping[str, Any] | None) -> float | None:
    after = _seconds(headers)
    if after is None and answer is not None:
        ms = answer.get("retry_after_ms")
        if isinstance(ms, int | float) and not isinstance(ms, bool):
            after = min(ms, 1000 * MAX_RETRY_AFTER_S) / 1000
    return _bounded(after)


def _bounded(after: float | None) -> float | None:
    if after is None or after != after:  # NaN
        return None
    return min(max(after, 0.0), MAX_RETRY_AFTER_S)


def _seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "").strip()[:64]
    with contextlib.suppress(ValueError):
        return float(value)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        # Retry-After as a date is by the server's clock, which may differ from ours, so it is compared with Date.
        # Test: test_a_limit_says_when_to_come_back.
        return (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    return None
