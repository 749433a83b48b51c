"""The user and device that send a request, by GET /account/whoami, remembered by a hash of the access token.

No token is kept. Test: test_tokens_are_neither_logged_nor_on_disk.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from heliograph.relay.proxy.limits import group_of
from heliograph.relay.proxy.upstream import Answer, Upstream

log = logging.getLogger(__name__)

KNOWN_MS = 5 * 60_000
"""How long an answer is believed. The homeserver checks the token of every request that passes on, anyway."""
MAX_KNOWN = 20_000
BURST = 20
REFILL_MS = 1_000
"""An address may be wrong about its token BURST times, and once more after each REFILL_MS."""
MAX_ADDRESSES = 10_000
_WHOAMI = "/_matrix/client/v3/account/whoami"


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in device."""

    user_id: str
    device_id: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A sender whom the homeserver does not know. `answer` is the homeserver's, None if it was not asked."""

    answer: Answer | None = None
    is_limited: bool = False


class Callers:
    """Knows callers by their access tokens, bounded in memory and in the questions that one address can have asked.

    `client_of` names the address that a request came from; `now_ms` is the wall clock, in ms since 1970.
    """

    def __init__(self, upstream: Upstream, client_of: Callable[[web.Request], str], now_ms: Callable[[], int]) -> None:
        self._upstream = upstream
        self._client_of = client_of
        self._now_ms = now_ms
        self._known: OrderedDict[bytes, tuple[Caller, int]] = OrderedDict()
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def identify(self, request: web.Request, *, afresh: bool = False) -> Caller | Unknown:
        """The device that the request's access token belongs to. `afresh` asks the homeserver in any case.

        Raises NotAnswered.
        """
        authorization = authorization_of(request)
        # Application services speak for many users with one token; those have no direct pushers.
        if authorization is None or "user_id" in request.query:
            return Unknown()
        key = fingerprint(authorization)
        now, address = self._now_ms(), group_of(self._client_of(request))
        known = self._known.get(key)
        # Absolute, since the clock may have been set back.
        if known is not None and not afresh and abs(now - known[1]) < KNOWN_MS:
            return known[0]
        # Looked at before asking, and charged after a refusal only: right tokens cost nothing.
        if self._left(address, now) < 1:
            return Unknown(is_limited=True)
        answer = await self._upstream.ask("GET", _WHOAMI, authorization, limit=64 * 1024)
        caller = _read(answer)
        if caller is None:
            self._known.pop(key, None)
            if answer.status in (401, 403):
                self._take(address, now)
            return Unknown(answer)
        self._known[key] = (caller, now)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return caller

    def forget(self, user_id: str) -> None:
        """Asks the homeserver anew about this user's tokens, of which some may have ended."""
        for key in [key for key, (caller, _) in self._known.items() if caller.user_id == user_id]:
            del self._known[key]

    def _left(self, address: str, now: int) -> float:
        tokens, at = self._wrong.get(address, (BURST, now))
        return min(BURST, tokens + max(0, now - at) / REFILL_MS)

    def _take(self, address: str, now: int) -> None:
        self._wrong[address] = (self._left(address, now) - 1, now)
        self._wrong.move_to_end(address)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def authorization_of(request: web.Request) -> dict[str, str] | None:
    """The access token as a header, taken from the request's header or query. None: there is none."""
    header = request.headers.get("Authorization")
    if header is not None:
        return {"Authorization": header} if header.startswith("Bearer ") else None
    token = request.query.get("access_token")
    return {"Authorization": f"Bearer {token}"} if token and token.isprintable() else None


def fingerprint(authorization: Mapping[str, str]) -> bytes:
    """A hash of an access token, by which the token is known again without being kept."""
    return hashlib.sha256(authorization["Authorization"].encode(errors="surrogatepass")).digest()


def _read(answer: Answer) -> Caller | None:
    told = answer.json() if answer.status == 200 else {}
    user_id, device_id = told.get("user_id"), told.get("device_id")
    if not isinstance(user_id, str):
        return None
    return Caller(user_id, device_id if isinstance(device_id, str) else None)
