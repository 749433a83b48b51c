"""Tells whether the user is at this desktop, by the session's signs, by whether anything can show notifications,
and by whether the user lets anything pop up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from heliograph.core.notification import DesktopSignal, DoNotDisturb, ServerChanged
from heliograph.core.pushers.handoff import Signs

HELD = "this desktop holds notifications back"
SERVER_PATIENCE_S = 10.0
"""A notification server that is gone for less is only restarting."""


class PresenceTracker:
    """Puts the signs of the session and of the desktop together, for all accounts."""

    def __init__(self, on_change: Callable[[Signs], None], *, patience_s: float = SERVER_PATIENCE_S) -> None:
        self._on_change = on_change
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None
        self._why_quiet = ""
        self._is_quiet_everywhere = False
        self._is_held = False
        self.signs = Signs()

    def take_session(self, signs: Signs) -> None:
        """Takes the signs of the session and the machine."""
        known = self.signs
        self._take(
            replace(signs, has_server=known.has_server, why_quiet=known.why_quiet, is_stopping=known.is_stopping)
        )

    def take_quiet(self, why: str, *, is_everywhere: bool = False) -> None:
        """Takes why nothing pops up here while other devices may ring; "": that is not so. `is_everywhere`: it is
        quiet, and other devices are not to ring either."""
        self._why_quiet, self._is_quiet_everywhere = why, is_everywhere
        self._take_why_quiet()

    def take_signal(self, signal: DesktopSignal) -> None:
        """Takes from the desktop whether anything shows notifications, and whether it holds them back."""
        if isinstance(signal, DoNotDisturb):
            self._is_held = signal.is_on
            self._take_why_quiet()
            return
        if not isinstance(signal, ServerChanged):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if signal.server is not None:
            self._take(replace(self.signs, has_server=True))
        else:
            # Not at once: handing the ringing over for each restart
            # of the notification server would make the phone ring.
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._miss_server)

    def _take_why_quiet(self) -> None:
        # Who wants quiet everywhere is not to hear the phone because of a switch at this desktop.
        held = "" if self._is_quiet_everywhere or not self._is_held else HELD
        self._take(replace(self.signs, why_quiet=self._why_quiet or held))

    def stop(self) -> None:
        """The daemon is about to end."""
        if self._timer is not None:
            self._timer.cancel()
        self._take(replace(self.signs, is_stopping=True))

    def _miss_server(self) -> None:
        self._take(replace(self.signs, has_server=False))

    def _take(self, signs: Signs) -> None:
        if signs != self.signs:
            self.signs = signs
            self._on_change(signs)
