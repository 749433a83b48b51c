"""What the sync loop knows of its account at one moment: for `heliograph status`, and for the loops beside it."""

from __future__ import annotations

from heliograph.core.connection import ConnectionState
from heliograph.core.record import AccountState
from heliograph.core.sync.situation import Mode
from heliograph.core.value_type import value_type
from heliograph.ports.homeserver import Features


@value_type
class SyncFacts:
    """A snapshot of what the parts of the loop know."""

    connection: ConnectionState
    features: Features
    """What the homeserver offers; nothing before it was asked."""
    mode: Mode | None
    """The mode; None: the homeserver has not been asked yet."""
    mode_reason: str
    account: AccountState
    """The account as the ledger has it, but for a token that moved without news; a new account's before it is read."""
    last_sync_ms: int | None
    """When this loop last committed a sync, in milliseconds since 1970."""
    rules_problem: str | None
    """Why the homeserver's latest push rules, or some of them, are not in force; None: they are."""
