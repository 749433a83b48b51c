"""What `heliograph status` tells of the running daemon: snapshots, composed when somebody asks.

Nothing decides by them: import-linter keeps every loop from importing this module (`pyproject.toml`). What one loop
needs to know of another it is given as a fact of that loop (`app/account_loops.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Any, Protocol

from heliograph.core.connection import Connection, ConnectionState
from heliograph.core.value_type import value_type


class TaskStatus(Protocol):
    """What a long-lived task tells of itself. `crashes`: since it last ran for long without one."""

    name: str
    crashes: int

    def as_json(self) -> dict[str, Any]:
        """The task's part of the control interface's answer."""
        ...


@value_type
class HandoffStatus:
    """Who rings, the desktop or other devices, in the words of `heliograph status`."""

    set_up: str = "always"
    why_away: str | None = None
    """Why the user counts as away; None: they count as present."""
    is_hushed: bool = False
    quiet: tuple[str, ...] = ()
    """Pushers that we have switched off."""
    fallback: str = "none"
    """none, registered, or what became of the fallback pusher."""
    relay: str = "none"
    """For a relay that is a gateway only: whether it was told what was shown, or why not."""
    trouble: str | None = None
    """Why the last change is not complete."""

    def as_json(self) -> dict[str, Any]:
        return {
            "set_up": self.set_up,
            "present": self.why_away is None,
            "why_away": self.why_away,
            "hushed": self.is_hushed,
            "quiet": list(self.quiet),
            "fallback": self.fallback,
            "relay": self.relay,
            "trouble": self.trouble,
        }


@value_type
class SignInStatus:
    """Where the account's device was signed in by OAuth 2.0."""

    issuer: str
    account_page: str = ""
    """The URL at which the user sees this device in a browser; empty: the server names none."""
    token_until_ms: int | None = None
    """When the access token in hand expires, which is renewed before; None: not known."""

    def as_json(self) -> dict[str, Any]:
        return {"issuer": self.issuer, "account_page": self.account_page, "token_until_ms": self.token_until_ms}


@value_type
class AccountStatus:
    """The account's part of `heliograph status`. Times are milliseconds since 1970; None: not yet."""

    user_id: str
    homeserver: str
    connection: ConnectionState = field(default_factory=ConnectionState)
    last_sync_ms: int | None = None
    mode: str = ""
    mode_reason: str = ""
    software: str | None = None
    versions: tuple[str, ...] = ()
    has_direct_push: bool = False
    has_remote_toggle: bool = False
    is_pusher_registered: bool = False
    is_pusher_enabled: bool = True
    is_silenced: bool = False
    rules_problem: str | None = None
    standing: str = "unknown"
    """How the device stands with its owner's other clients: a value of `core.encryption.trust.Standing`."""
    pending: int = 0
    shown: int = 0
    handoff: HandoffStatus = field(default_factory=HandoffStatus)
    tasks: tuple[TaskStatus, ...] = ()
    """The long-lived ones that keep the account."""
    sign_in: SignInStatus | None = None
    """None: signed in in one of the older ways, with an access token that lasts."""

    def as_json(self) -> dict[str, Any]:
        """The account's part of the control interface's answer."""
        return {
            "user_id": self.user_id,
            "homeserver": self.homeserver,
            "state": self.connection.state.value,
            "why": self.connection.why,
            "cure": self.connection.cure,
            "connected_since_ms": self.connection.since_ms,
            "last_sync_ms": self.last_sync_ms,
            "mode": self.mode,
            "mode_reason": self.mode_reason,
            "server": {
                "software": self.software,
                "versions": list(self.versions),
                "direct_push": self.has_direct_push,
                "remote_toggle": self.has_remote_toggle,
            },
            "pusher": {
                "registered": self.is_pusher_registered,
                "enabled": self.is_pusher_enabled,
                "silenced": self.is_silenced,
            },
            "handoff": self.handoff.as_json(),
            "pending": self.pending,
            "shown": self.shown,
            "rules_problem": self.rules_problem,
            "device": self.standing,
            "sign_in": None if self.sign_in is None else self.sign_in.as_json(),
            "tasks": [task.as_json() for task in self.tasks],
        }


@value_type
class DaemonStatus:
    """All that `heliograph status` tells."""

    version: str
    pid: int
    started_ms: int
    desktop: str = ""
    notification_server: str | None = None
    accounts: tuple[AccountStatus, ...] = ()
    tasks: tuple[TaskStatus, ...] = ()
    """The long-lived ones that all accounts share."""
    tray: str = "off"
    """Whether there is an item in the tray, or why not."""

    def as_json(self) -> dict[str, Any]:
        """The control interface's answer."""
        return {
            "version": self.version,
            "pid": self.pid,
            "started_ms": self.started_ms,
            "desktop": {"name": self.desktop, "server": self.notification_server, "tray": self.tray},
            "accounts": [account.as_json() for account in self.accounts],
            "tasks": [task.as_json() for task in self.tasks],
        }


def sum_up(connections: Iterable[Connection]) -> str:
    """One line about all accounts, such as `2 connected, 1 offline`."""
    states = [each.value for each in connections]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no accounts"
