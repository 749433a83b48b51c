"""Our own pusher: registered once, never re-sent unchanged, and obeyed when another client switches it off.

Sources: MSC3361 (kind `direct`), MSC3881 (`enabled`), Client-Server API "POST /pushers/set". Sending an identical
pusher again makes Synapse throw away what is pending, and switching on again is the other client's right, not ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from heliograph.core.backoff import reconnect_delay
from heliograph.errors import LoggedOut, RateLimited, Refused, ServerError, StorageError
from heliograph.ports import Homeserver, Ledger, Pusher
from heliograph.status import AccountStatus

log = logging.getLogger(__name__)

APP_ID = "io.github.heliograph"
WATCH_MS = 50_000
"""How often a server that lets other clients switch pushers (MSC3881) is asked for ours."""
SELDOM_MS = 15 * 60_000
"""How often any other server is."""


def own_pusher(pushkey: str, device_name: str) -> Pusher:
    """The pusher as we register it. `data` is an object, since some servers refuse none."""
    return Pusher(
        app_id=APP_ID,
        pushkey=pushkey,
        kind="direct",
        app_display_name="Heliograph",
        device_display_name=device_name,
        lang="en",
        data={},
    )


class PusherLoop:
    """Watches the pusher of one account. It wakes only when `turn` is called, with the sync loop's own wake-ups."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        status: AccountStatus,
        pusher: Pusher,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        on_switch: Callable[[bool], None],
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._status = status
        self._pusher = pusher
        self._clock = clock
        self._jitter = jitter
        self._on_switch = on_switch
        self._due = asyncio.Event()
        self._next_ms = 0

    def turn(self) -> None:
        """The sync loop made a turn: look at the pusher, if it is time."""
        if self._clock() >= self._next_ms:
            self._due.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._look()
                failures = 0
                wait_ms = WATCH_MS if self._status.has_remote_toggle else SELDOM_MS
            except LoggedOut:
                return  # the sync loop sees it too, and tells
            except (ServerError, StorageError) as trouble:
                failures += 1
                log.info("The pusher could not be looked at: %s", trouble)
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                wait_ms = int(1000 * reconnect_delay(failures, self._jitter(), asked))
            self._next_ms = self._clock() + wait_ms

    async def _look(self) -> None:
        if not _takes_direct(self._status):
            return
        pushers = await self._homeserver.pushers()
        ours = next((each for each in pushers if (each.app_id, each.pushkey) == _key(self._pusher)), None)
        if ours is None:
            ours = self._pusher
            await self._register(ours)
        elif _as_sent(ours) != self._pusher:
            # A pusher that is set without a word on `enabled` is switched on again, which is not ours to do.
            await self._register(replace(self._pusher, is_enabled=ours.is_enabled))
        else:
            self._status.is_pusher_registered = True
        if ours.is_enabled != self._status.is_pusher_enabled:
            await self._switch(is_enabled=ours.is_enabled)

    async def _register(self, pusher: Pusher) -> None:
        try:
            await self._homeserver.set_pusher(pusher)
        except Refused as refusal:
            log.warning("The homeserver does not take our pusher (%s): other clients cannot switch it", refusal)
            self._status.is_pusher_registered = False
            return
        self._status.is_pusher_registered = True
        log.info("Registered the direct pusher of %s", self._homeserver.user_id)

    async def _switch(self, *, is_enabled: bool) -> None:
        log.info("Another client switched our pusher %s", "on" if is_enabled else "off")
        await self._ledger.set_pusher_enabled(is_enabled)
        self._status.is_pusher_enabled = is_enabled
        self._on_switch(is_enabled)


def _takes_direct(status: AccountStatus) -> bool:
    """Dendrite logs an error for every event of a pusher kind that it does not know."""
    return status.has_direct_push or (status.software or "").lower() != "dendrite"


def _key(pusher: Pusher) -> tuple[str, str]:
    return pusher.app_id, pusher.pushkey


def _as_sent(pusher: Pusher) -> Pusher:
    """Without what the server adds: who registered it, and whether it is switched on."""
    return replace(pusher, is_enabled=True, device_id=None, profile_tag=pusher.profile_tag or None)
