"""Fetches small versions of pictures: GET /_matrix/client/v1/media/thumbnail, with the access token.

Source: Client-Server API, "Content repository". Before version 1.11 of the specification, the same endpoint was at
/_matrix/media/v3.
"""

from __future__ import annotations

import asyncio

from heliograph.core.mxc import parse_mxc
from heliograph.errors import Refused, Unreachable
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import missing_is_refused
from heliograph.homeserver.session import Session

MAX_BYTES = 512 * 1024
_TIMEOUT_S = 10.0
_AUTHENTICATED = "/_matrix/client/v1/media/thumbnail"
_FORMER = "/_matrix/media/v3/thumbnail"


class Media:
    """Fetches pictures over a session that is signed in. Remembers if the homeserver has only the former endpoint."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._endpoint = _AUTHENTICATED

    async def thumbnail(self, uri: str, side: int) -> bytes:
        """The bytes of a picture of about `side` pixels in width and height, in whatever format. Raises ServerError."""
        place = parse_mxc(uri)
        if place is None:
            raise Refused(404, "", "this is no mxc: URI")
        try:
            # The session lets a body that keeps coming take longer than its deadline. A popup waits for this one.
            # Test: test_one_that_drips_is_given_up.
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._fetch(place, side)
        except TimeoutError:
            raise Unreachable("the picture did not come in time") from None

    async def _fetch(self, place: tuple[str, str], side: int) -> bytes:
        try:
            return await self._fetch_from(self._endpoint, place, side)
        except Refused as refusal:
            is_unknown = refusal.status in (404, 405, 501) and refusal.errcode in ("", "M_UNRECOGNIZED")
            if not is_unknown or self._endpoint == _FORMER:
                raise
        answer = await self._fetch_from(_FORMER, place, side)
        # Only now: if the former endpoint refuses as well, it is this one picture that does not exist.
        # Test: test_what_is_not_there_is_refused_and_not_sought_elsewhere.
        self._endpoint = _FORMER
        return answer

    async def _fetch_from(self, endpoint: str, place: tuple[str, str], side: int) -> bytes:
        server, media_id = place
        # Cropped: popups show a square.
        size = {"width": str(side), "height": str(side), "method": "crop", "animated": "false"}
        with missing_is_refused():
            return await self._session.request(
                "GET",
                f"{endpoint}/{segment(server)}/{segment(media_id)}",
                query={**size, "timeout_ms": "5000"},
                timeout_s=_TIMEOUT_S,
                limit=MAX_BYTES,
            )
