"""What the daemon has for its accounts: shared by all of them, and lasting for one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field

from heliograph.accounts import Account
from heliograph.app.watchdog import Watchdog
from heliograph.config.settings import Config
from heliograph.core.popups.bursts import SoundGate
from heliograph.core.record import Delivery
from heliograph.core.value_type import value_type
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.quiet import QuietLoop
from heliograph.ports.desktop import Desktop, Opener
from heliograph.store.ledger import SqliteLedger


@value_type
class SharedServices:
    """What all accounts share."""

    config: Config
    desktop: Desktop
    opener: Opener
    quiet: QuietLoop
    watchdog: Watchdog
    on_change: Callable[[], None]
    """Something changed that `heliograph status`, bars or systemd tell of."""
    on_rang: Callable[[str, Sequence[Delivery]], None]
    """Called with a user id and the deliveries that were shown for the first time just now."""
    sign_out_interval_s: float
    """How long after the first answer that confirms a sign-out the second is asked for."""
    gate: SoundGate = field(default_factory=SoundGate)
    """Lets the sounds of all accounts through one at a time."""


@value_type
class AccountServices:
    """What one account has for as long as the daemon runs, whether or not it is signed in at the moment."""

    account: Account
    ledger: SqliteLedger
    notices: AccountNotices
    delivery: DeliveryLoop
    shared: SharedServices
