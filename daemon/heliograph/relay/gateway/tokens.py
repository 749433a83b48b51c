"""Access tokens of `[users]` at a relay that is a gateway only. The relay has their digests alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aiohttp import web

from heliograph.relay.clock import Clock
from heliograph.relay.proxy.callers import authorization_of
from heliograph.relay.proxy.limits import Allowance
from heliograph.relay.proxy.proxy import refusal

WRONG_PER_SECOND, WRONG_AT_ONCE = 0.5, 20
"""How often the same wrong token is refused as such; then the answer is to wait. Good tokens never wait, wherever they
come from."""


class UserTokens:
    """Knows users by their tokens. `digests` are those of `[users]`, by user, as they are at the moment."""

    def __init__(self, digests: Mapping[str, str], clock: Clock) -> None:
        self._digests = digests
        self._clock = clock
        self._wrong = Allowance(WRONG_PER_SECOND, WRONG_AT_ONCE)

    def identify(self, request: web.Request) -> str | web.Response:
        """The user who sends the request, or the refusal to answer it with."""
        authorization = authorization_of(request)
        if authorization is None:
            return refusal(401, "M_MISSING_TOKEN", "There is no access token")
        digest = digest_of(authorization["Authorization"].removeprefix("Bearer "))
        # Digests are compared: the time that takes tells nothing of the token itself.
        for user_id, known in self._digests.items():
            if known == digest:
                return user_id
        # Not by address, which many desktops may share: none of them is slowed by another one's token.
        if wait_s := self._wrong.take(digest, self._clock.now_ms()):
            return refusal(429, "M_LIMIT_EXCEEDED", "This token is wrong", retry_after_ms=int(wait_s * 1000))
        return refusal(401, "M_UNKNOWN_TOKEN", "The relay's configuration has no user with this token")


def digest_of(token: str) -> str:
    """How the configuration names an access token: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
