"""The user and device that send a request, by GET /account/whoami, remembered by a hash of the access token.

No token is kept. Test: test_tokens_are_neither_logged_nor_on_disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from aiohttp import web

from heliograph.core.value_type import value_type
from heliograph.relay.proxy.limits import Refusals
from heliograph.relay.proxy.upstream import Answer, Upstream

log = logging.getLogger(__name__)

KNOWN_MS = 5 * 60_000
"""How long an answer is believed at most. The homeserver checks the token of every request that passes on, anyway."""
MAX_KNOWN = 100_000
"""Tokens, in about 40 MiB. Beyond it those that were asked about longest ago are asked about again."""
MOST_AT_ONCE = 16
"""Questions that are open at the homeserver. After a restart everybody has to be asked about, and what clients ask for
meanwhile should not have to wait behind all of that. Test: test_so_many_are_asked_about_at_once_and_the_others_in_turn.
"""
_WHOAMI = "/_matrix/client/v3/account/whoami"


@value_type
class Caller:
    """A signed-in device."""

    user_id: str
    device_id: str | None


@value_type
class Unknown:
    """A sender whom the homeserver does not know, or of whom the relay does nothing. `answer` is the homeserver's, None
    if it was not asked."""

    answer: Answer | None = None


class Callers:
    """Knows callers by their access tokens, bounded in memory. `now_ms` is the wall clock, in ms since 1970.

    A token that the homeserver refuses is asked about ever more rarely. Whoever else sends from the same address is not
    concerned: behind it may be a whole network.
    Test: test_a_wrong_token_is_asked_about_ever_more_rarely_and_a_good_one_beside_it_at_once.
    """

    def __init__(self, upstream: Upstream, now_ms: Callable[[], int]) -> None:
        self._upstream = upstream
        self._now_ms = now_ms
        self._known: OrderedDict[bytes, tuple[Caller | Unknown, int]] = OrderedDict()
        self._refusals = Refusals()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def identify(self, request: web.Request, *, afresh: bool = False) -> Caller | Unknown:
        """The device that the request's access token belongs to. `afresh` asks the homeserver in any case.

        Raises NotAnswered.
        """
        authorization = authorization_of(request)
        if authorization is None:
            return Unknown()
        caller = await self._of_token(authorization, afresh=afresh)
        # An application service names in the query for whom it speaks, and its token has no device. With any other
        # token the homeserver passes over that name. Test: test_user_id_in_the_query_is_an_application_services_alone.
        if isinstance(caller, Caller) and caller.device_id is None and "user_id" in request.query:
            return Unknown()
        return caller

    async def _of_token(self, authorization: Mapping[str, str], *, afresh: bool) -> Caller | Unknown:
        key = fingerprint(authorization)
        if afresh:
            return await self._ask(key, authorization)
        if (told := self._told(key)) is not None:
            return told
        async with self._turns:
            # Another request of the same token may have asked while this one waited.
            return self._told(key) or await self._ask(key, authorization)

    def _told(self, key: bytes) -> Caller | Unknown | None:
        """What the homeserver said of this token, as long as that counts; None: it is to be asked."""
        now = self._now_ms()
        known = self._known.get(key)
        # Absolute, since the clock may have been set back.
        if known is not None and abs(now - known[1]) < _lifetime_ms(key):
            return known[0]
        return Unknown() if self._refusals.is_waiting(key, now) else None

    async def _ask(self, key: bytes, authorization: Mapping[str, str]) -> Caller | Unknown:
        answer = await self._upstream.ask("GET", _WHOAMI, authorization, limit=64 * 1024)
        caller, now = _read(answer), self._now_ms()
        if caller is None:
            self._known.pop(key, None)
            if answer.status in (401, 403):
                self._refusals.note(key, now)
            return Unknown(answer)
        self._refusals.forget(key)
        self._known[key] = (caller, now)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return caller

    def forget(self, user_id: str) -> None:
        """Asks the homeserver anew about this user's tokens, of which some may have ended."""
        known = [(key, caller) for key, (caller, _) in self._known.items()]
        for key, caller in known:
            if isinstance(caller, Caller) and caller.user_id == user_id:
                del self._known[key]


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


def _lifetime_ms(key: bytes) -> int:
    """How long the answer about this token is believed: from half of KNOWN_MS on, since those who were asked about
    together, after a restart, should not be asked about together again."""
    return KNOWN_MS - KNOWN_MS * key[0] // 512


def _read(answer: Answer) -> Caller | Unknown | None:
    told = answer.json() if answer.status == 200 else {}
    user_id, device_id = told.get("user_id"), told.get("device_id")
    if not isinstance(user_id, str):
        return None
    # A guest has no pushers: the homeserver says so to whoever asks for one.
    # Test: test_a_guest_is_nobody_and_asked_about_no_more_often_than_others.
    if told.get("is_guest") is True:
        return Unknown()
    return Caller(user_id, device_id if isinstance(device_id, str) else None)
