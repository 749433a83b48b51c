"""What a push gateway's answer means for the push that it answers.

Source: Push Gateway API, POST /_matrix/push/v1/notify. Synapse takes every 2xx with JSON for success, and no other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_TRANSIENT = frozenset({408, 425, 429})
TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Delivered:
    """The gateway took it. `is_rejected`: it will not take this pushkey again."""

    is_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: try again. `after_s` is what the gateway asked for."""

    why: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A definite no to this push: a few tries more, since a proxy in between may be wrong, then never again."""

    why: str
    is_too_large: bool = False


Outcome = Delivered | Deferred | Refused


def judge(status: int, headers: Mapping[str, str], body: bytes, pushkey: str) -> Outcome:
    """The outcome that an answer stands for. `pushkey` is the one that the push was for."""
    if 200 <= status < 300:
        return _judge_success(status, body, pushkey)
    if status in _TRANSIENT or status >= 500:
        return Deferred(f"HTTP {status}", retry_after(headers))
    if 300 <= status < 400:
        return Refused(f"a redirect (HTTP {status}), which is not followed")
    return Refused(f"HTTP {status}", is_too_large=status == TOO_LARGE)


def _judge_success(status: int, body: bytes, pushkey: str) -> Outcome:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Refused(f"HTTP {status} without JSON, as no push gateway answers")
    rejected = answer.get("rejected") if isinstance(answer, dict) else None
    return Delivered(is_rejected=isinstance(rejected, list) and pushkey in rejected)


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
