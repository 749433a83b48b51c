"""Puts an item into the tray and takes it out again, as the settings want. Where they want none, nothing of it is
loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliograph.config.settings import DesktopConfig
from heliograph.core.pushers.handoff import Signs
from heliograph.core.summary.summary import Summary

if TYPE_CHECKING:
    from heliograph.app.tray import TrayItem

OFF = "off"


class TraySwitch:
    """`make` makes the item that the settings describe; None: there can be none."""

    def __init__(self, make: Callable[[DesktopConfig], TrayItem | None]) -> None:
        self._make = make
        self._item: TrayItem | None = None
        self._settings: tuple[bool, str] = (False, "")
        self._summary: Summary | None = None
        self._signs: Signs | None = None

    @property
    def state(self) -> str:
        """Whether there is an item in a tray, in words for people."""
        return OFF if self._item is None else self._item.state

    async def take_settings(self, desktop: DesktopConfig) -> None:
        """Takes out the item that is there and puts in the one that these settings want, if they want another."""
        settings = (desktop.tray, desktop.tray_icon)
        if settings == self._settings:
            return
        self._settings = settings
        await self.stop()
        item = self._make(desktop) if desktop.tray else None
        if item is not None:
            self._item = item
            if self._summary is not None:
                item.take_summary(self._summary)
            if self._signs is not None:
                item.take_signs(self._signs)
            await item.start()

    async def stop(self) -> None:
        """Takes the item out of the tray."""
        item, self._item = self._item, None
        if item is not None:
            await item.stop()

    def take_summary(self, summary: Summary) -> None:
        """Has the item show this summary, now or once there is one."""
        self._summary = summary
        if self._item is not None:
            self._item.take_summary(summary)

    def take_signs(self, signs: Signs) -> None:
        """Tells the item whether the session is locked, now or once there is one."""
        self._signs = signs
        if self._item is not None:
            self._item.take_signs(signs)
