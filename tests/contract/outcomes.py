"""What comes of a request to a homeserver, as contract tests write it down."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

import pytest

from heliograph.errors import LoggedOut, Refused

Outcome = tuple[int, str] | None
"""Status and errcode of a refusal; None if the request was taken."""


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
