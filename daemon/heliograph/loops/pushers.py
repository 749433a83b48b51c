"""Our own pushers: registered once, never re-sent unchanged, and obeyed when another client switches them off.

Sources: MSC3361 (kind `direct`), MSC3881 (`enabled`), Client-Server API "POST /pushers/set". Sending an identical
pusher again makes Synapse throw away what is pending, and switching on again is the other client's right, not ours:
a pusher that must be sent again is sent with the `enabled` that it had.
Test: test_a_pusher_under_an_old_name_is_sent_anew_and_stays_switched_off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from heliograph.core.backoff import reconnect_delay
from heliograph.core.pushers.pusher import Pusher, PusherKey
from heliograph.core.pushers.relayed import led_to_relay, relay_of
from heliograph.core.record import AccountState
from heliograph.core.text.clean import clean_line
from heliograph.errors import RateLimited, Refused, ServerError, StorageError
from heliograph.ports.homeserver import Features, Homeserver
from heliograph.ports.ledger import Ledger
from heliograph.ports.notices import Troubles
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

APP_ID = "io.github.heliograph"
ABOUT_FALLBACK = "fallback"
ABOUT_RELAY = "relay"
WATCH_MS = 45_000
"""After this long, a server that lets other clients switch pushers (MSC3881) is asked for ours with the next turn."""
LATEST_MS = 56_000
"""When it is asked even without a turn, since a poll may have begun just before it was time."""
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
    """Watches the pushers of one account. It wakes when `turn` is called, with the sync loop's own wake-ups; by itself
    only if these are more than 56 s apart, since another client's switch is to be obeyed within a minute: an idle
    desktop has no wake-up for it. Test: test_a_switch_is_obeyed_within_a_minute_however_the_polls_lie.

    `fallback` is the HTTP pusher to keep registered, `on_pushers` is given all that there are. `lock` is held while
    pushers are looked at and set. What the ledger says that the handoff switched off, no other client did.

    `features` gives what the homeserver offers, `is_connected` whether the sync works, `is_handed_over` whether the
    handoff has our direct pusher switched off.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        pusher: Pusher,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        features: Callable[[], Features],
        is_connected: Callable[[], bool],
        is_handed_over: Callable[[], bool],
        on_switch: Callable[[bool], None],
        troubles: Troubles,
        fallback: Pusher | None = None,
        lock: asyncio.Lock | None = None,
        on_pushers: Callable[[tuple[Pusher, ...]], None] = lambda _: None,
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._pusher = pusher
        self._clock = clock
        self._jitter = jitter
        self._features = features
        self._is_connected = is_connected
        self._is_handed_over = is_handed_over
        self._on_switch = on_switch
        self._fallback = fallback
        self._lock = lock or asyncio.Lock()
        self._on_pushers = on_pushers
        self._troubles = troubles
        self._due = asyncio.Event()
        self._looked_ms: int | None = None
        self._wait_ms = 0
        self._listed: dict[PusherKey, Pusher] = {}
        self._relayed: set[PusherKey] = set()
        # What was sent in this life, and what was refused: a homeserver that lists a pusher otherwise than it was sent,
        # or refuses it, would be sent the same at every look.
        self._taken: list[Pusher] = []
        self._refused: list[Pusher] = []
        self.is_registered = False
        """The homeserver has our direct pusher."""
        self.fallback_state = "none"
        """none, registered, or what became of the fallback, in words for the user."""

    @property
    def is_listing(self) -> bool:
        """Whether a homeserver with direct push has reason to list what rings: it need not once others ring."""
        return self.is_registered and not self._is_handed_over()

    def turn(self) -> None:
        """The sync loop made a turn: look at the pusher, if it is time."""
        # Either way: a clock that was set back must not put it off.
        if self._looked_ms is None or abs(self._clock() - self._looked_ms) >= self._wait_ms:
            self._due.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await keep_running("pushers", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wait()
            try:
                await self._look()
                failures = 0
                self._wait_ms = WATCH_MS if self._features().has_remote_toggle else SELDOM_MS
            except (ServerError, StorageError) as trouble:
                failures += 1
                log.info("The pusher could not be looked at: %s", trouble)
                asked = trouble.after if isinstance(trouble, RateLimited) else None
                self._wait_ms = int(1000 * reconnect_delay(failures, self._jitter(), asked))
            self._looked_ms = self._clock()
            # Turns made meanwhile do not shorten the wait.
            self._due.clear()

    async def _wait(self) -> None:
        latest = LATEST_MS / 1000 if self._wait_ms == WATCH_MS else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(latest):
                await self._due.wait()
            return
        if not self._is_connected():
            await self._due.wait()

    async def _look(self) -> None:
        async with self._lock:
            account = await self._ledger.account()
            takes_direct = _takes_direct(self._features())
            # Nothing of ours is or was there: not even the list is asked for.
            if not takes_direct and self._fallback is None and account.fallback is None:
                return
            self._listed = {pusher.key: pusher for pusher in await self._homeserver.pushers()}
            # Looked at before our own is registered again: both missing
            # means that the homeserver lost or ended all of ours.
            is_alone = takes_direct and self._pusher.key not in self._listed
            if takes_direct:
                await self._keep_own(self._listed.get(self._pusher.key), account)
            await self._keep_fallback(account, is_alone=is_alone)
        self._tell_of_relay()
        self._on_pushers(tuple(self._listed.values()))

    def _tell_of_relay(self) -> None:
        """Tells of devices that ring only by a relay which our requests do not pass any more."""
        before, self._relayed = self._relayed, {each.key for each in led_to_relay(self._listed.values())}
        if not self._relayed:
            self._troubles.withdraw(ABOUT_RELAY)
        # At two looks in a row, since a relay that restarts is passed by for a moment.
        elif lasting := [self._listed[key] for key in sorted(before & self._relayed)]:
            names = ", ".join(sorted({clean_line(each.device_display_name, 50) for each in lasting}))
            self._troubles.tell(
                f"Your homeserver's relay at {relay_of(lasting[0])} does not answer",
                f"{names}: messages come there only while that relay runs. Ask whoever runs the homeserver, or have "
                "the app there register for notifications again.",
                about=ABOUT_RELAY,
            )

    async def _keep_own(self, ours: Pusher | None, account: AccountState) -> None:
        is_off_by_us = self._pusher.key in account.switched_off
        if ours is None:
            ours = replace(self._pusher, is_enabled=not is_off_by_us)
            await self._register_own(ours)
        else:
            self.is_registered = True
            # A pusher that is set without a word on `enabled` is switched on again, which is not ours to do.
            wanted = replace(self._pusher, is_enabled=ours.is_enabled)
            # A homeserver that lists it otherwise than it was sent would do so again.
            if ours.as_sent != self._pusher and wanted not in self._taken:
                await self._register_own(wanted)
        is_enabled = ours.is_enabled or is_off_by_us
        if is_enabled != account.is_pusher_enabled:
            await self._switch(is_enabled=is_enabled)

    async def _register_own(self, pusher: Pusher) -> None:
        self.is_registered = await self._register(pusher)

    async def _keep_fallback(self, account: AccountState, *, is_alone: bool) -> None:
        """`is_alone`: our direct pusher is missing, too, so that nobody meant the fallback when it was removed."""
        wanted, kept = self._fallback, account.fallback
        if kept is not None and (wanted is None or kept != wanted.key):
            if kept in self._listed:
                # Before the new one is set, and before the ledger forgets it: two fallbacks would ring twice.
                await self._homeserver.remove_pusher(*kept)
                del self._listed[kept]
                log.info("Removed the fallback of before")
            await self._ledger.set_fallback(None)
        if wanted is None:
            return
        found = self._listed.get(wanted.key)
        if found is None and kept == wanted.key and not is_alone:
            self._miss_fallback()
            return
        if found is None:
            if not await self._register(wanted):
                self.fallback_state = "refused by the homeserver"
                return
        elif found.as_sent != wanted:
            changed = replace(wanted, is_enabled=found.is_enabled)
            if changed not in self._taken:
                await self._register(changed)
        if kept != wanted.key:
            await self._ledger.set_fallback(wanted.key)
        self._troubles.withdraw(ABOUT_FALLBACK)
        is_theirs = found is not None and not found.is_enabled and wanted.key not in account.switched_off
        self.fallback_state = "switched off by another client" if is_theirs else "registered"

    def _miss_fallback(self) -> None:
        self.fallback_state = "removed by its gateway or another client"
        self._troubles.tell(
            "The fallback was removed",
            "Its gateway rejected it, or another client removed it. To see which: heliograph fallback test. "
            "To have it again: heliograph fallback set",
            about=ABOUT_FALLBACK,
        )

    async def _register(self, pusher: Pusher) -> bool:
        """Whether the homeserver has the pusher now."""
        if pusher in self._refused:
            return False
        try:
            await self._homeserver.set_pusher(pusher)
        except Refused as refusal:
            self._refused.append(pusher)
            log.warning(
                "The homeserver does not take our %s pusher (%s): other clients cannot switch it", pusher.kind, refusal
            )
            return False
        self._taken.append(pusher)
        self._listed[pusher.key] = pusher
        log.info("Registered the %s pusher of %s", pusher.kind, self._homeserver.user_id)
        return True

    async def _switch(self, *, is_enabled: bool) -> None:
        log.info("Another client switched our pusher %s", "on" if is_enabled else "off")
        await self._ledger.set_pusher_enabled(is_enabled)
        self._on_switch(is_enabled)


def _takes_direct(features: Features) -> bool:
    """Dendrite logs an error for every event of a pusher kind that it does not know."""
    return features.has_direct_push or (features.software or "").lower() != "dendrite"
