"""Takes back the pushes of a room that a user has left, or was removed from: those that wait, and those still to come.

The homeserver pushes from another process than it answers, so a push may come after the leaving that follows its
message. The room's last events from before the leaving are therefore settled by their ids. By the room alone an invite
that comes right afterwards would be lost. Test: test_an_invite_right_after_a_leaving_rings.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from heliograph.relay.model.pushes import Why
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.confirmation import Confirmation
from heliograph.relay.proxy.upstream import NotAnswered
from heliograph.relay.state.state import RelayState
from heliograph.relay.wire.ids import is_kept_event

log = logging.getLogger(__name__)


class RoomsLeft:
    """For all users."""

    def __init__(self, state: RelayState, queue: Cancellations, confirmation: Confirmation) -> None:
        self._state = state
        self._queue = queue
        self._confirmation = confirmation

    async def take(self, user_id: str, room_id: str, authorization: Mapping[str, str] | None) -> None:
        """The user is in this room no more, which the homeserver has confirmed. Raises StorageError.

        `authorization` is that of the user, or of the room's member who removed the user; with None the homeserver is
        not asked for the room's last events.
        """
        # First what waits: the homeserver may take its time with the rest.
        await self._queue.cancel_room(user_id, room_id, Why.LEFT)
        gone = set(await self._state.leave_room(user_id, room_id))
        if authorization is not None:
            try:
                gone.update(await self._confirmation.before_leaving(room_id, user_id, authorization))
            except NotAnswered as error:
                log.info("What stood last in a room that was left is not told: %s", error)
        kept = [event_id for event_id in gone if is_kept_event(event_id)]
        if kept:
            await self._queue.cancel_events(user_id, room_id, kept, Why.LEFT)
