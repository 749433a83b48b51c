"""Limits on how much one address may ask of the relay."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

MOST_ADDRESSES = 10_000
"""Beyond it the one that was quiet longest is forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: int


class Allowance:
    """So many requests a second for each address, and a burst of so many. An IPv6 address counts as its /64."""

    def __init__(self, per_second: float, burst: int, *, most_addresses: int = MOST_ADDRESSES) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most_addresses = most_addresses
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, address: str | None, now_ms: int, cost: float = 1.0) -> float:
        """0 if the address may ask now, else the seconds until it may. `address` None: a connection without one."""
        bucket = self._refill(group_of(address or ""), now_ms)
        if bucket.tokens < cost:
            return max((cost - bucket.tokens) / self._per_second, 0.001)
        bucket.tokens -= cost
        return 0.0

    def _refill(self, key: str, now_ms: int) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(self._burst), now_ms)
            if len(self._buckets) > self._most_addresses:
                self._buckets.popitem(last=False)
            return bucket
        # A clock that was set back gives nothing.
        elapsed_s = max(now_ms - bucket.at_ms, 0) / 1000
        bucket.tokens = min(bucket.tokens + elapsed_s * self._per_second, self._burst)
        bucket.at_ms = now_ms
        self._buckets.move_to_end(key)
        return bucket


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
