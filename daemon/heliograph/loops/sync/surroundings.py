"""What the loop of one account is told at its start: settings, what it takes from the world, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heliograph.core.encryption.values import Received, Rejected, RoomKey
from heliograph.core.ids import EventKey
from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.loops.sync.sign_out import INTERVAL_S
from heliograph.ports.troubles import Troubles


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says of the loop."""

    poll_s: int = 50
    history_days: int = 7
    privacy: Privacy = SHOW_ALL
    sign_out_interval_s: float = INTERVAL_S
    """Between the answers that prove a sign-out."""


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop takes from the world besides its ports, and whom it tells."""

    clock: Callable[[], int]
    """Milliseconds since 1970."""
    jitter: Callable[[], float]
    """Numbers in [0, 1)."""
    on_news: Callable[[], None]
    """Deliveries changed."""
    on_turn: Callable[[], None]
    """The loop is alive."""
    troubles: Troubles
    is_network_up: Callable[[], bool] = lambda: True
    """As far as anybody knows."""
    on_received: Callable[[Sequence[Received | Rejected]], None] = _ignore
    """To-device events that are not about room keys, in their order."""
    on_key_counts: Callable[[int | None, bool | None], None] = _ignore
    """As in Sync: one-time keys at the server, and whether the fallback key is unused."""
    on_changed_devices: Callable[[], None] = _ignore
    """The user's own devices or identity changed."""
    on_catching_up: Callable[[bool], None] = _ignore
    """After an absence something came, and more is expected; or all of it is there."""
    on_silent: Callable[[Sequence[EventKey]], None] = _ignore
    """Ids of committed events that a push rule keeps silent here, whatever the homeserver made of them."""
    on_locked: Callable[[frozenset[RoomKey]], None] = _ignore
    """Room keys that committed events want."""
