"""The seams between the relay's proxy and its gateway. Whatever is told over them is on disk when the call returns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from heliograph.relay.model.pushers import Json, Twin


class Twins(Protocol):
    """Which pushes are ours. Answered from memory."""

    def twin_of(self, device: Json) -> Twin | None:
        """The twin behind an entry of a push's `devices`: by the hidden pushkey in its `data`, else by its pushkey.

        None: unknown, so its pushkey (as it came) belongs into `rejected`.
        """
        ...

    def twin(self, hidden_pushkey: str) -> Twin | None: ...


class Activity(Protocol):
    """Whether a direct device is there. Answered from memory."""

    def hold_until(self, user_id: str, app_id: str, pushkey: str, received_ms: int) -> int | None:
        """Until when (ms since 1970) the push that came at `received_ms` for this http pusher waits; None: send it."""
        ...


class Arrivals(Protocol):
    """Who wants to know of pushes."""

    def announce(self, user_id: str, room_id: str, event_id: str, notification: Json) -> None:
        """A push came, `notification` as the homeserver sent it to this one device: wakes this user's long-polls.

        To be called once for each push, whatever becomes of it: disabled twins, wakers and repeats too.
        """
        ...


class Outbox(Protocol):
    """HTTP pushes on their way. An event that is settled for a user stays so, whichever push of it comes later."""

    async def acknowledge(self, user_id: str, device_id: str, event_ids: Collection[str]) -> None:
        """A direct device has them: pushes of http pushers that wait for this device are dropped."""
        ...

    async def cancel_events(self, user_id: str | None, room_id: str, event_ids: Collection[str], why: str) -> None:
        """None: for every user (a redaction). Only events of that room."""
        ...

    async def cancel_read(self, user_id: str, room_id: str, thread_id: str | None, event_id: str) -> None:
        """The user read up to this event. `thread_id` None: unthreaded; "main"; or a thread's root."""
        ...

    async def cancel_room(self, user_id: str, room_id: str, why: str) -> None: ...
    async def cancel_all(self, user_id: str, why: str) -> None: ...
    async def forget(self, hidden_pushkey: str) -> None:
        """The pusher is gone: its pushes, too."""
        ...
