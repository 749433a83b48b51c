"""Devices that ask for news by sliding sync (MSC3575, MSC4186), in which nothing tells them what rings.

A direct pusher of such a device holds back nobody's phone: no acknowledgement can come.
Test: test_a_phone_rings_at_once_beside_a_device_that_asks_by_sliding_sync_alone.
"""

from __future__ import annotations

from collections import OrderedDict

from aiohttp import web

from heliograph.relay.proxy.callers import authorization_of, fingerprint

KINDS = ("org.matrix.msc3575", "org.matrix.simplified_msc3575")
MOST = 20_000
"""Devices that are remembered. Beyond it those that asked longest ago are forgotten."""


class SlidingDevices:
    """By hashes of their access tokens: those whose last request for news was one for sliding sync."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, None] = OrderedDict()

    def note(self, request: web.Request) -> None:
        """A request for sliding sync."""
        authorization = authorization_of(request)
        if authorization is None:
            return
        token = fingerprint(authorization)
        self._tokens[token] = None
        self._tokens.move_to_end(token)
        if len(self._tokens) > MOST:
            self._tokens.popitem(last=False)

    def forget(self, request: web.Request) -> None:
        """A request for /sync, by which the device can be told."""
        authorization = authorization_of(request) if self._tokens else None
        if authorization is not None:
            self._tokens.pop(fingerprint(authorization), None)

    def __contains__(self, token: object) -> bool:
        return token in self._tokens
