"""A desk whose user the test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from heliograph.core.pushers.handoff import Signs


class FakePresence:
    """`ports.Presence`."""

    def __init__(self) -> None:
        self._signs = Signs()
        self._listeners: list[Callable[[Signs], None]] = []
        self._holds_sleep_up = True

    @property
    def signs(self) -> Signs:
        return self._signs

    @property
    def holds_sleep_up(self) -> bool:
        return self._holds_sleep_up

    def listen(self, listener: Callable[[Signs], None]) -> None:
        self._listeners.append(listener)
        listener(self._signs)

    def let_sleep(self) -> None:
        self._holds_sleep_up = False

    async def start(self) -> bool:
        return True

    async def stop(self) -> None:
        self._listeners.clear()
        self._holds_sleep_up = False

    def change(self, **signs: Any) -> None:
        """What the session tells from now on."""
        if signs.get("is_asleep") is False:
            self._holds_sleep_up = True
        changed = replace(self._signs, **signs)
        if changed != self._signs:
            self._signs = changed
            for listener in tuple(self._listeners):
                listener(changed)
