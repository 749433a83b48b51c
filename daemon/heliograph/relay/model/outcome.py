"""A push gateway's answer, judged: the push is delivered, deferred or refused.

Source: Push Gateway API, POST /_matrix/push/v1/notify. Synapse takes every 2xx with JSON for success, and no other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from heliograph.core.value_type import value_type

_TRANSIENT = frozenset({408, 425, 429})
_UNAVAILABLE = 503
TOO_LARGE = 413


@value_type
class Delivered:
    """The gateway took the push. `is_rejected`: it will not take this pushkey again."""

    is_rejected: bool = False


@value_type
class Deferred:
    """The gateway takes no push now, or is not reached: the push is tried again for a day. `after_s`: the delay that it
    asks for."""

    why: str
    after_s: float | None = None


@value_type
class PushRefused:
    """The gateway did not take this very push: an error, a redirect, success without JSON, no answer. A proxy in
    between may restart, so it is tried for a day as well. But the push may be at fault, so others go first after some
    tries.
    Tests: test_a_push_that_its_gateway_refuses_holds_up_the_others_for_three_seconds,
    test_a_gateway_that_was_wrong_for_hours_gets_everything."""

    why: str
    is_too_large: bool = False
    """After HTTP 413 the event id alone is sent: ringing without text is better than silence.
    Test: test_a_push_too_large_for_its_gateway_is_sent_as_its_event_id."""
    after_s: float | None = None
    """The delay that the gateway asks for."""


Outcome = Delivered | Deferred | PushRefused


def outcome_of(status: int, headers: Mapping[str, str], body: bytes, pushkey: str) -> Outcome:
    """The outcome of an answer to a push for `pushkey`."""
    if 200 <= status < 300:
        return _judge_success(status, body, pushkey)
    after_s = retry_after(headers)
    # Not the push's fault: the gateway says when it takes pushes again.
    if status in _TRANSIENT or (status == _UNAVAILABLE and after_s is not None):
        return Deferred(f"HTTP {status}", after_s)
    if 300 <= status < 400:
        return PushRefused(f"a redirect (HTTP {status}), which is not followed")
    return PushRefused(f"HTTP {status}", is_too_large=status == TOO_LARGE, after_s=after_s)


def _judge_success(status: int, body: bytes, pushkey: str) -> Outcome:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return PushRefused(f"HTTP {status} without JSON, as no push gateway answers")
    rejected = answer.get("rejected") if isinstance(answer, dict) else None
    if not isinstance(rejected, list) or not all(isinstance(each, str) for each in rejected):
        return Delivered()
    return Delivered(is_rejected=pushkey in rejected)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, 0 or more; None where the header is missing or makes no sense."""
    value = headers.get("Retry-After", "").strip()[:64]
    seconds: float | None = None
    with contextlib.suppress(ValueError):
        seconds = float(value)
    if seconds is None:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            # By the gateway's own clock, which is the one that its date was written by.
            until = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
            seconds = until.total_seconds()
    if seconds is None or seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), 86_400.0)
