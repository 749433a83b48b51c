"""Access tokens of `[users]` at a relay that is a gateway only. The relay has their digests alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from aiohttp import web

from heliograph.relay.clock import Clock
from heliograph.relay.proxy.callers import authorization_of
from heliograph.relay.proxy.limits import Allowance
from heliograph.relay.proxy.proxy import refusal

WRONG_PER_SECOND, WRONG_AT_ONCE = 0.5, 20
"""How often one address may be wrong about its token."""


class UserTokens:
    """Knows users by their tokens. `digests` are those of `[users]`, by user. `client_of` names the address that a
    request came from."""

    def __init__(
        self, digests: Mapping[str, str], client_of: Callable[[web.Request], str | None], clock: Clock
    ) -> None:
        # Looked up by digest: the time that a lookup takes tells nothing of the token itself.
        self._users = {digest: user for user, digest in digests.items()}
        self._client_of = client_of
        self._clock = clock
        self._wrong = Allowance(WRONG_PER_SECOND, WRONG_AT_ONCE)

    def identify(self, request: web.Request) -> str | web.Response:
        """The user who sends the request, or the refusal to answer it with."""
        authorization = authorization_of(request)
        if authorization is not None:
            token = authorization["Authorization"].removeprefix("Bearer ")
            if (user_id := self._users.get(digest_of(token))) is not None:
                return user_id
        # Only a wrong token counts: many desktops may share an address.
        if wait_s := self._wrong.take(self._client_of(request), self._clock.now_ms()):
            return refusal(429, "M_LIMIT_EXCEEDED", "Too many wrong tokens", retry_after_ms=int(wait_s * 1000))
        return refusal(401, "M_UNKNOWN_TOKEN", "The relay's configuration has no user with this token")


def digest_of(token: str) -> str:
    """How the configuration names an access token: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
