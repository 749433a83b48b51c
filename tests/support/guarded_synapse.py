"""A throwaway Synapse under the log guard: what it refuses Heliograph counts like a warning in a log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import TracebackType

from heliograph.demo.homeserver import ThrowawaySynapse
from support.log_guard import keep_watching, watch_no_longer
from support.ports import reserve_port

_LINE = re.compile(
    r"\{(?P<user>[^}]*)\} Processed request: .* (?P<status>\d{3})!? "
    r'"(?P<request>[A-Z]+ \S+) HTTP/[0-9.]+" "(?P<agent>[^"]*)" \[\d+ dbevts\]'
)
_OURS = re.compile(r"heliograph", re.IGNORECASE)
_LEFT = 499
"""The client hung up before it was answered."""


def refusals(access_log: str) -> list[str]:
    """Requests of Heliograph's own that ended with 4xx or 5xx, each as `400 GET /path?query of @user:server`."""
    lines = filter(None, map(_LINE.search, access_log.splitlines()))
    return [
        f"{each['status']} {each['request']} of {each['user']}"
        for each in lines
        if int(each["status"]) >= 400 and int(each["status"]) != _LEFT and _OURS.match(each["agent"])
    ]


class GuardedSynapse(ThrowawaySynapse):
    """Every test that runs while it does is told of what it refused then, as of source `homeserver`."""

    def __init__(
        self, *, settings: Mapping[str, object] | None = None, progress: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(settings=settings, progress=progress, choose_port=lambda: reserve_port(self))

    async def __aenter__(self) -> GuardedSynapse:
        await super().__aenter__()
        keep_watching("homeserver", self.access_log, refusals)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        watch_no_longer(self.access_log)
        await super().__aexit__(kind, error, trace)
