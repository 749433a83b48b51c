"""One account's contact with its homeserver: how it stands, and all that changes with its loss."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.loops.sync.catching_up import CatchingUp
from heliograph.loops.sync.collecting import Collecting
from heliograph.loops.sync.connection import ConnectionReport


class Contact:
    """What a turn that failed changes for all parts of the loop at once. `clock` gives milliseconds since 1970."""

    def __init__(self, user_id: str, clock: Callable[[], int]) -> None:
        self.connection = ConnectionReport(user_id, clock)
        self.catching_up = CatchingUp()
        self.collecting = Collecting()

    def lose(self, why: str, level: int = logging.WARNING) -> None:
        """A turn failed for this reason, which is logged once: nobody waits any longer for all to come, and whatever
        comes next may have waited for hours."""
        self.collecting.refuse()
        self.connection.offline(why, level)
        self.catching_up.begin()
