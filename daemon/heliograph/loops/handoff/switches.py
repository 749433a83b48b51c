"""Switches pushers off while this desktop rings, and on again, so that a kill at any moment leaves none off."""

from __future__ import annotations

import logging
from dataclasses import replace

from heliograph.core.pushers.handoff import KnownPushers, SwitchOff, SwitchOn, off_now, outdated
from heliograph.core.pushers.pusher import Pusher, PusherKey
from heliograph.core.text.clean import count_things
from heliograph.errors import Refused
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)


class PusherSwitches:
    """Switches the pushers of one account; keeps which we have switched off, and what other clients did to these since.

    The ledger has each before it is off and until after it is on again: a kill in between makes a pusher switched on
    twice, never left off.
    Tests: test_it_is_written_down_before_it_is_switched_off, test_a_kill_in_between_is_made_good.
    """

    def __init__(self, homeserver: Homeserver, ledger: Ledger, fallback: PusherKey | None) -> None:
        """`fallback` is the key of this desktop's own HTTP pusher."""
        self._homeserver = homeserver
        self._ledger = ledger
        self._fallback = fallback
        self.listed: tuple[Pusher, ...] | None = None
        """The account's pushers, as the homeserver last told. None: it has not yet."""
        self.is_loaded = False
        self.keys: frozenset[PusherKey] = frozenset()
        """The pushers that are off by our own doing."""
        self.seen_off: frozenset[PusherKey] = frozenset()
        """The pushers of `keys` that the homeserver has listed as off."""
        self.left_alone: frozenset[PusherKey] = frozenset()
        """Pushers that another client has switched, or the homeserver does not let us switch, since the last return."""

    async def load(self) -> None:
        """Raises StorageError."""
        self.keys = (await self._ledger.account()).switched_off
        self.is_loaded = True

    async def list_anew(self) -> None:
        """Asks the homeserver which pushers there are. Raises ServerError."""
        self.listed = await self._homeserver.pushers()

    async def switch(self, step: SwitchOn | SwitchOff) -> str | None:
        """Returns None once it is done, or else why the homeserver refuses. Raises ServerError and StorageError."""
        is_on = isinstance(step, SwitchOn)
        key = step.pusher.key
        switched = replace(step.pusher, is_enabled=is_on)
        if not is_on:
            # Before the request, so that after a kill the next start knows what may be off.
            await self._remember(self.keys | {key})
        try:
            await self._homeserver.set_pusher(switched)
        except Refused as refusal:
            if not is_on:
                await self._leave_alone(frozenset((key,)))
            return f"the homeserver does not let us switch {self.name(step.pusher)}: {refusal}"
        self.listed = tuple(switched if each.key == key else each for each in self.listed or ())
        if is_on:
            await self._remember(self.keys - {key})
        else:
            self.seen_off |= {key}
        log.info("Switched %s %s", self.name(step.pusher), "on" if is_on else "off")
        return None

    async def switch_on_all(self, besides: PusherKey) -> None:
        """Switches all on that are off by our own doing, but for one. Raises ServerError and StorageError."""
        off = self.keys - {besides}
        # Listed anew: a pusher that another client removed meanwhile would come back by being set.
        for pusher in await self._homeserver.pushers() if off else ():
            if pusher.key in off and not pusher.is_enabled:
                await self._homeserver.set_pusher(replace(pusher, is_enabled=True))
                log.info("Switched %s on", self.name(pusher))
        await self._remember(self.keys - off)

    async def note_changes(self, known: KnownPushers) -> None:
        """A switch that differs from what the ledger says is another client's: such a pusher is left alone until the
        next return. Test: test_what_another_client_switched_on_stays_on_until_the_next_return."""
        if gone := outdated(known):
            switched = count_things(len(gone), "pusher that was off: it is", "pushers that were off: they are")
            log.info("Another client switched %s left alone", switched)
            await self._leave_alone(gone)
        self.seen_off = (self.seen_off & self.keys) | off_now(known)

    def name(self, pusher: Pusher) -> str:
        """What the user calls it."""
        # The fallback's device is this one, which would be a strange thing to call silent.
        name = pusher.app_display_name if pusher.key == self._fallback else pusher.device_display_name
        return name or pusher.app_display_name or pusher.app_id

    async def _remember(self, keys: frozenset[PusherKey]) -> None:
        """These are off by our own doing, and no others. Raises StorageError."""
        if keys != self.keys:
            await self._ledger.set_switched_off(keys)
            self.keys = keys

    async def _leave_alone(self, keys: frozenset[PusherKey]) -> None:
        """Until the next return these are others' to switch. Raises StorageError."""
        self.left_alone |= keys
        await self._remember(self.keys - keys)
