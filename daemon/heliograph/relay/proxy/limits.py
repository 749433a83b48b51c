"""Limits on how often the same wrong thing may be asked of the relay, and by which name addresses are counted."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

MOST_KEYS = 10_000
"""Beyond it the one that was quiet longest is forgotten."""
AT_ONCE = 3
FIRST_WAIT_MS = 1_000
LAST_WAIT_MS = 60_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: int


class Allowance:
    """So many requests a second with each wrong key, and a burst of so many. A key is a token or a pushkey."""

    def __init__(self, per_second: float, burst: int, *, most_keys: int = MOST_KEYS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most_keys = most_keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, now_ms: int) -> float:
        """0 if the key may be asked for now, else the seconds until it may."""
        bucket = self._refill(key, now_ms)
        if bucket.tokens < 1:
            return max((1 - bucket.tokens) / self._per_second, 0.001)
        bucket.tokens -= 1
        return 0.0

    def _refill(self, key: str, now_ms: int) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(self._burst), now_ms)
            if len(self._buckets) > self._most_keys:
                self._buckets.popitem(last=False)
            return bucket
        # A clock that was set back gives nothing.
        elapsed_s = max(now_ms - bucket.at_ms, 0) / 1000
        bucket.tokens = min(bucket.tokens + elapsed_s * self._per_second, self._burst)
        bucket.at_ms = now_ms
        self._buckets.move_to_end(key)
        return bucket


@dataclass(slots=True)
class _Refusal:
    times: int
    until_ms: int


class Refusals:
    """Tokens that the homeserver refused. Each is asked about AT_ONCE times, then after 1, 2, 4 .. 60 s again."""

    def __init__(self, *, most_keys: int = MOST_KEYS) -> None:
        self._most_keys = most_keys
        self._refused: OrderedDict[bytes, _Refusal] = OrderedDict()

    def is_waiting(self, key: bytes, now_ms: int) -> bool:
        """Whether it is too early to ask again. A clock that was set back delays nothing beyond the longest wait."""
        refusal = self._refused.get(key)
        return refusal is not None and now_ms < refusal.until_ms <= now_ms + LAST_WAIT_MS

    def note(self, key: bytes, now_ms: int) -> None:
        """The homeserver refused this token once more."""
        refusal = self._refused.setdefault(key, _Refusal(0, now_ms))
        refusal.times += 1
        doublings = refusal.times - AT_ONCE
        if doublings >= 0:
            refusal.until_ms = now_ms + min(FIRST_WAIT_MS << min(doublings, 16), LAST_WAIT_MS)
        self._refused.move_to_end(key)
        if len(self._refused) > self._most_keys:
            self._refused.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """The token is good."""
        self._refused.pop(key, None)


def group_of(address: str) -> str:
    """The name by which addresses are counted: of IPv6 the /64 network, which one customer has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
