"""Reads the settings again when that is asked for (`systemctl --user reload heliograph`), and takes over those that
need no restart: all of [desktop] but its back end, which is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from heliograph.config.changes import changed_settings
from heliograph.config.reading import load_config
from heliograph.config.settings import Config, DesktopConfig
from heliograph.errors import UserError
from heliograph.ports.notices import Troubles
from heliograph.system.service_manager import to_restart
from heliograph.system.tasks import keep_following

log = logging.getLogger(__name__)

ABOUT = "the settings"


class SettingsReload:
    """`config` is what the daemon was started with. `take` is called with the settings of [desktop] that are to hold
    from now on; it raises UserError, and changes nothing then, if they cannot."""

    def __init__(self, config: Config, take: Callable[[DesktopConfig], Awaitable[None]], troubles: Troubles) -> None:
        self._config = config
        self._take = take
        self._troubles = troubles

    async def run(self, asked: asyncio.Event) -> None:
        """Runs until it is cancelled; reads the settings each time that `asked` is set."""
        await keep_following("settings", asked, self._reload)

    async def _reload(self) -> None:
        try:
            read = await asyncio.to_thread(load_config)
            desktop = replace(read.desktop, backend=self._config.desktop.backend)
            if desktop != self._config.desktop:
                await self._take(desktop)
        except UserError as error:
            log.info("The settings were read again, and those from before go on: %s %s", error.title, error.hint)
            self._troubles.tell(error.title, f"{error.hint} The settings from before go on.", about=ABOUT)
            return
        before, self._config = self._config, replace(self._config, desktop=desktop)
        taken, waiting = changed_settings(before, self._config), changed_settings(self._config, read)
        log.info(
            "The settings were read again; taken over: %s; waiting for a restart: %s",
            ", ".join(taken) or "none",
            ", ".join(waiting) or "none",
        )
        if waiting:
            title = f"A restart is needed for {', '.join(waiting)}."
            self._troubles.tell(title, await asyncio.to_thread(to_restart), about=ABOUT)
        else:
            self._troubles.withdraw(ABOUT)
