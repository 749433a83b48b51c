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
from heliograph.errors import LoggedOut, RateLimited, Refused, ServerError, StorageError, UserError
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
        self._looked_ms: int | None = None
        self._wait_ms = 0
        self._taken: Pusher | None = None
        self._refused: Pusher | None = None

    def turn(self) -> None:
        """The sync loop made a turn: look at the pusher, if it is time."""
        # Either way: a clock that was set back must not put it off.
        if self._looked_ms is None or abs(self._clock() - self._looked_ms) >= self._wait_ms:
            self._due.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            await self._due.wait()
            try:
                await self._look()
                failures = 0
                self._wait_ms = WATCH_MS if self._status.has_remote_toggle else SELDOM_MS
            except (LoggedOut, UserError):
                return  # the sync loop sees it too, and tells
            except (ServerError, StorageError) as trouble:
                failures += 1
                log.info("The pusher could not be looked at: %s", trouble)
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                self._wait_ms = int(1000 * reconnect_delay(failures, self._jitter(), asked))
            except Exception:
                # A fault of our own must neither end the loop nor spin.
                log.exception("Unexpected fault in the pusher loop")
                self._wait_ms = SELDOM_MS
            self._looked_ms = self._clock()
            # Turns made meanwhile do not shorten the wait.
            self._due.clear()

    async def _look(self) -> None:
        if not _takes_direct(self._status):
            return
        pushers = await self._homeserver.pushers()
        ours = next((each for each in pushers if (each.app_id, each.pushkey) == _key(self._pusher)), None)
        if ours is None:
            ours = self._pusher
            await self._register(ours)
        else:
            self._status.is_pusher_registered = True
            # A pusher that is set without a word on `enabled` is switched on again, which is not ours to do.
            wanted = replace(self._pusher, is_enabled=ours.is_enabled)
            # A homeserver that lists it otherwise than it was sent would do so again.
            if _as_sent(ours) != self._pusher and wanted != self._taken:
                await self._register(wanted)
        if ours.is_enabled != self._status.is_pusher_enabled:
            await self._switch(is_enabled=ours.is_enabled)

    async def _register(self, pusher: Pusher) -> None:
        if pusher == self._refused:
            return
        try:
            await self._homeserver.set_pusher(pusher)
        except Refused as refusal:
            self._refused = pusher
            log.warning("The homeserver does not take our pusher (%s): other clients cannot switch it", refusal)
            self._status.is_pusher_registered = False
            return
        self._taken = pusher
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
