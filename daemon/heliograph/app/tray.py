"""Shows the tray item what the daemon knows, and does what is clicked in its menu.

Loaded only if the configuration asks for a tray item. Nothing of it waits in the way of a message: what the daemon
tells is only put down here, and the item's own task shows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from heliograph.accounts import config_file
from heliograph.config.printing import render_config
from heliograph.config.settings import Config
from heliograph.control.tray.tray import Tray
from heliograph.core.popups.privacy import Privacy
from heliograph.core.popups.quiet import Zone, word_quiet
from heliograph.core.pushers.handoff import Signs
from heliograph.core.summary.summary import Summary
from heliograph.core.tray.drawing import LOOKS, Look
from heliograph.core.tray.menu import Command, CommandKind
from heliograph.core.tray.situation import TraySituation
from heliograph.desktop.opener import open_file
from heliograph.errors import HeliographError, UserError
from heliograph.ports.desktop import Opener
from heliograph.ports.notices import Troubles
from heliograph.system.clock import now_ms
from heliograph.system.session_bus import session_bus_address
from heliograph.system.tasks import start_beside
from heliograph.system.time_zone import LocalZone
from heliograph.system.whole_file import replace_file

log = logging.getLogger(__name__)

ABOUT = "the tray's menu"
SETTINGS_HINT = 'Open it yourself: its place is what "heliograph config --path" prints.'


class Actions(Protocol):
    """What the menu has done (`app.daemon_api`). Raises HeliographError."""

    async def open(self, account: str, room: str, token: str) -> None: ...
    async def mark_all_read(self) -> int: ...
    async def pause(self, words: str, *, is_everywhere: bool) -> int: ...
    async def resume(self) -> None: ...


class TrayItem:
    """The item, from `start` to `stop`."""

    def __init__(
        self,
        address: str,
        look: Look,
        privacy: Privacy,
        zone: Zone,
        *,
        clock: Callable[[], int],
        actions: Actions,
        opener: Opener,
        open_settings: Callable[[str], Awaitable[bool]],
        quit_daemon: Callable[[], None],
        troubles: Troubles,
    ) -> None:
        """`open_settings` is given an activation token ("": there is none), and returns whether a program was
        started. `clock` tells ms since 1970."""
        self._situation = TraySituation(privacy=privacy)
        self._tray = Tray(address, look, self.take_command, self._situation)
        self._zone = zone
        self._clock = clock
        self._actions = actions
        self._opener = opener
        self._open_settings = open_settings
        self._quit = quit_daemon
        self._troubles = troubles
        self._doing: set[Command] = set()

    @property
    def state(self) -> str:
        """Whether the item is in a tray, in words for people."""
        return self._tray.state

    async def start(self) -> None:
        """Returns after the first attempt to reach the bus."""
        await self._tray.start()

    async def stop(self) -> None:
        """Takes the item out of the tray."""
        await self._tray.stop()

    def take_summary(self, summary: Summary) -> None:
        """Shows this summary soon."""
        quiet = word_quiet(summary.quiet_why, summary.quiet_until_ms, self._clock(), self._zone)
        self._take(replace(self._situation, summary=summary, quiet=quiet))

    def take_signs(self, signs: Signs) -> None:
        """Takes whether the session is locked."""
        self._take(replace(self._situation, is_locked=signs.is_locked))

    def _take(self, situation: TraySituation) -> None:
        self._situation = situation
        self._tray.take(situation)

    # What is clicked

    def take_command(self, command: Command, token: str) -> None:
        """Begins to do it, unless the same is being done already: an impatient user clicks twice."""
        if command not in self._doing:
            self._doing.add(command)
            start_beside(self._do(command, token), name=ABOUT)

    async def _do(self, command: Command, token: str) -> None:
        try:
            await self._act(command, token)
        except UserError as error:
            self._troubles.tell(error.title, error.hint)
        except HeliographError as error:
            log.info("What was clicked in the tray did not work: %s", error)
            self._troubles.tell(f"It did not work: {error}", "Try again later.")
        finally:
            self._doing.discard(command)

    async def _act(self, command: Command, token: str) -> None:
        match command.kind:
            case CommandKind.OPEN:
                await self._actions.open(command.account, command.room_id, token)
            case CommandKind.OPEN_CLIENT:
                await self._open_client(token)
            case CommandKind.MARK_ALL_READ:
                await self._actions.mark_all_read()
            case CommandKind.PAUSE:
                await self._actions.pause(command.words, is_everywhere=False)
            case CommandKind.RESUME:
                await self._actions.resume()
            case CommandKind.SETTINGS:
                if not await self._open_settings(token):
                    raise UserError("The settings file could not be opened.", SETTINGS_HINT)
            case CommandKind.QUIT:
                log.info("Asked to stop in the tray")
                self._quit()

    async def _open_client(self, token: str) -> None:
        if not await self._opener.open(None, None, token or None):
            raise UserError("No Matrix client could be opened.", "Install one, or set open_with in the configuration.")


def make_tray(
    config: Config,
    *,
    actions: Actions,
    opener: Opener,
    quit_daemon: Callable[[], None],
    troubles: Troubles,
    bus_address: str | None = None,
) -> TrayItem | None:
    """The item as the configuration wants it; None: there is no session bus. The rooms in `config` have their ids."""
    address = bus_address or session_bus_address()
    if address is None:
        log.warning("There is no session bus, so there is no tray to show an item in")
        return None
    return TrayItem(
        address,
        LOOKS[config.desktop.tray_icon],
        config.privacy.privacy,
        LocalZone(),
        clock=now_ms,
        actions=actions,
        opener=opener,
        open_settings=partial(open_settings, config_file(), open_file),
        quit_daemon=quit_daemon,
        troubles=troubles,
    )


async def open_settings(file: Path, open_it: Callable[[Path, str | None], Awaitable[bool]], token: str) -> bool:
    """Opens the configuration file, which is first made with all defaults if there is none. Returns whether a program
    was started. Raises UserError if the file cannot be made."""
    try:
        if not await asyncio.to_thread(file.exists):
            await asyncio.to_thread(_write_defaults, file)
    except OSError as error:
        raise UserError(f"{file} could not be made: {error.strerror or error}.", SETTINGS_HINT) from error
    return await open_it(file, token or None)


def _write_defaults(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(file, render_config(Config()).encode())
