"""Makes a homeserver move a device's place in the stream, so that the next answer can be acknowledged.

A notification that the client was not told of with the answer that had its event (its pusher was set a moment later,
the relay was down) comes by an answer in which nothing else is new. If that has the token which the client asked with,
nobody could tell an acknowledgement from a repetition. A to-device message from the device to itself moves the token,
on every homeserver; clients pass over a type that they do not know.
Test: test_a_token_that_would_not_move_is_moved_so_that_it_can_be_acknowledged.
"""

from __future__ import annotations

import logging
import secrets

from heliograph.core.events import Json
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.sync.poll import Poll

log = logging.getLogger(__name__)

TYPE = "io.github.heliograph.nudge"
_PATH = f"/_matrix/client/v3/sendToDevice/{TYPE}/"


class Nudge:
    """`send` changes nothing at the homeserver but the token of the device's next answer."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def send(self, poll: Poll) -> bool:
        """Returns True if the homeserver will answer the polling device with another token."""
        user_id, device_id = poll.key
        body: Json = {"messages": {user_id: {device_id: {}}}}
        try:
            answer = await self._upstream.ask("PUT", _PATH + secrets.token_hex(8), poll.authorization, body)
        except NotAnswered as error:
            log.info("A device could not be nudged: %s", error)
            return False
        if not answer.is_good:
            log.info("A device could not be nudged: the homeserver answered with status %d", answer.status)
        return answer.is_good
