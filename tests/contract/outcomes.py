"""What comes of a request to a homeserver, as contract tests write it down."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

import pytest

from heliograph.errors import LoggedOut, Refused

Outcome = tuple[int, str] | None
"""Status and errcode of a refusal; None if the request was taken."""


class ExpectRefusals(Protocol):
    """Announces requests that the homeserver refuses, each like `404 GET rooms/*/event/*`, where a star is any part of
    a path. They come exactly so often, and no others do."""

    def __call__(self, *requests: str, times: int = 1) -> None: ...


def access_log_pattern(request: str) -> str:
    """A regular expression for the request's line, as the log guard has it."""
    status, method, path = request.split(" ")
    whole = path if path.startswith("/") else f"/_matrix/client/v3/{path}"
    return rf"^homeserver {status} {method} {'[^/? ]*'.join(map(re.escape, whole.split('*')))}(\?\S*)? of "


async def outcome_of(request: Awaitable[Any]) -> Outcome:
    try:
        await request
    except Refused as refusal:
        return refusal.status, refusal.errcode
    return None


async def assert_each_is_signed_out(requests: Iterable[Awaitable[Any]]) -> None:
    """Each request tells that the device has ended, and not only its token."""
    for request in requests:
        with pytest.raises(LoggedOut) as caught:
            await request
        assert caught.value.soft is False
