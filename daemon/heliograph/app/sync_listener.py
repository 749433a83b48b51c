"""Passes what the sync loop of one account did on to the loops beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heliograph.core.ids import EventKey
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.keys import KeyLoop
from heliograph.loops.sync import Commit, ToDevice
from heliograph.system.tasks import going_on


class AccountSyncListener:
    """`loops.sync.SyncListener` of an account.

    `on_silent` takes the events that a push rule keeps silent here; `on_alive` is called after each turn.
    """

    def __init__(
        self,
        delivery: DeliveryLoop,
        keys: KeyLoop,
        trust: DeviceTrust,
        *,
        on_silent: Callable[[Sequence[EventKey]], None],
        on_alive: Callable[[], None],
    ) -> None:
        self._delivery = delivery
        self._keys = keys
        self._trust = trust
        self._on_silent = on_silent
        self._on_alive = on_alive

    def to_device(self, came: ToDevice) -> None:
        if came.outcomes:
            # Each on its own, as below: to-device events are in crypto.db by now, and come only once.
            with going_on("what came for this device alone"):
                self._trust.take_received(came.outcomes)
        with going_on("how many keys the homeserver has"):
            self._keys.take_counts(came.one_time_keys, came.has_unused_fallback_key)
        if came.has_changed_devices:
            with going_on("the own devices that changed"):
                self._trust.look_again()

    def committed(self, commit: Commit) -> None:
        # The ledger has it all by now and no sync brings it again, so each is told whatever the others make of it.
        if commit.has_news:
            with going_on("what is to be shown"):
                if commit.is_catching_up:
                    # Before it is woken: else the first of many would be shown alone.
                    self._delivery.gather(True)
                self._delivery.wake()
        if commit.silent:
            with going_on("what stays silent here"):
                self._on_silent(commit.silent)
        if commit.wanted_keys:
            with going_on("the keys that messages wait for"):
                self._trust.want(commit.wanted_keys)

    def caught_up(self) -> None:
        self._delivery.gather(False)

    def alive(self) -> None:
        self._on_alive()
