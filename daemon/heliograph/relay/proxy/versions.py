"""GET /versions: the homeserver's features, and those that the relay adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from heliograph.relay.departure import Departure
from heliograph.relay.proxy.proxy import Proxy, answer_headers, not_answered, target_of
from heliograph.relay.proxy.upstream import FAILURES, NotAnswered, Upstream, read_bounded

DIRECT_PUSH = "org.matrix.msc3361"
TOGGLE = "org.matrix.msc3881"
_MAX = 1024 * 1024
_UNCHANGED = ("accept-encoding", "if-none-match", "if-modified-since", "range")
"""Headers left out, so that the whole answer comes as text that flags can be added to."""


class Versions:
    """`handle` answers the request."""

    def __init__(self, upstream: Upstream, proxy: Proxy, departure: Departure) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._departure = departure

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self._departure.is_leaving:
            return await self._proxy.handle(request)
        try:
            answer = await self._proxy.open(request, target_of(request), _UNCHANGED)
            try:
                with self._proxy.memory.share() as share:
                    body = await read_bounded(answer.content, _MAX, share)
            finally:
                answer.release()
        except (*FAILURES, NotAnswered) as error:
            return not_answered(error)
        changed = with_ours(body) if answer.status == 200 else None
        return web.Response(
            status=answer.status,
            body=body if changed is None else changed,
            headers=answer_headers(answer.headers),
        )

    async def has_toggle(self, authorization: Mapping[str, str]) -> bool:
        """Whether the homeserver itself has MSC3881 for this user. Raises NotAnswered."""
        answer = await self._upstream.ask("GET", "/_matrix/client/versions", authorization, limit=_MAX)
        flags = answer.json().get("unstable_features")
        return isinstance(flags, dict) and (flags.get(TOGGLE) is True or flags.get(f"{TOGGLE}.stable") is True)


def with_ours(body: bytes) -> bytes | None:
    """The body of GET /versions with the relay's features added; None if it is no such body."""
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    flags = told.get("unstable_features")
    told["unstable_features"] = {**(flags if isinstance(flags, dict) else {}), DIRECT_PUSH: True, TOGGLE: True}
    return msgspec.json.encode(told)
