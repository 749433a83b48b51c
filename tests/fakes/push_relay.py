"""A relay that is a gateway only, in memory."""

from __future__ import annotations

from collections.abc import Collection

from heliograph.errors import ServerError


class FakePushRelay:
    """`ports.PushRelay`. `calls` are the event ids and the time of presence of each that was taken."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self.failure: ServerError | None = None
        self.attempts = 0

    @property
    def acknowledged(self) -> set[str]:
        return {event_id for event_ids, _ in self.calls for event_id in event_ids}

    @property
    def is_waited_for(self) -> bool:
        return bool(self.calls) and self.calls[-1][1] > 0

    async def acknowledge(self, event_ids: Collection[str], present_ms: int) -> None:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        self.calls.append((list(event_ids), present_ms))
