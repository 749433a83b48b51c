"""What the configuration says about the sync loop."""

from __future__ import annotations

from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.core.value_type import value_type
from heliograph.loops.sync.sign_out import INTERVAL_S


@value_type
class SyncSettings:
    """The sync loop's part of the configuration."""

    poll_s: int = 50
    """Seconds that a /sync waits for news: less than the 60 after which nginx, as it is installed, ends a request. With
    the same wake-up the pusher is looked at and the watchdog fed."""
    history_days: int = 7
    """How long the ledger remembers what it judged."""
    privacy: Privacy = SHOW_ALL
    sign_out_interval_s: float = INTERVAL_S
    """Between the two answers that prove a sign-out."""
