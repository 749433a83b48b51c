"""The program: opens what the accounts share, runs them until it is stopped, and hands over at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replace_struct

from heliograph import __version__
from heliograph.accounts import Account, sounds_folder
from heliograph.app.account import AccountRun
from heliograph.app.configured_names import with_named_rooms
from heliograph.app.daemon_api import DaemonApi
from heliograph.app.outdated_keys import destroy_outdated_keys, keep_destroying_outdated_keys
from heliograph.app.running import RunningAccounts
from heliograph.app.services import SharedServices
from heliograph.app.session_watch import end_with_session
from heliograph.app.settings_reload import SettingsReload
from heliograph.app.status_line import StatusLine
from heliograph.app.tray_switch import TraySwitch
from heliograph.app.verification_api import VerificationApi
from heliograph.app.watchdog import LONGEST_TURN_S, Watchdog
from heliograph.config.settings import Config, DesktopConfig
from heliograph.control.service import Control
from heliograph.control.verification import Verification1
from heliograph.core.popups.quiet import QuietHours
from heliograph.core.pushers.handoff import Signs
from heliograph.core.record import Delivery
from heliograph.core.status import DaemonStatus
from heliograph.core.summary.summary import Summary
from heliograph.core.text.clean import count_things
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.opener import RoomOpener
from heliograph.desktop.presence import DesktopPresence
from heliograph.desktop.sounds import Sounds
from heliograph.desktop.wakeups import Wakeup, Wakeups
from heliograph.loops.hooks import Hooks
from heliograph.loops.presence import PresenceTracker
from heliograph.loops.quiet import QuietLoop
from heliograph.loops.sync.sign_out import INTERVAL_S
from heliograph.ports.desktop import Desktop, Opener, Presence
from heliograph.ports.notices import Troubles
from heliograph.store.pause_file import load_pause, pause_file, save_pause
from heliograph.system import systemd
from heliograph.system.clock import now_ms
from heliograph.system.hangup import note_hangups
from heliograph.system.stop_signals import stop_on_signals
from heliograph.system.tasks import LongTask, cancel, going_on, listed_in, start, start_beside
from heliograph.system.time_zone import LocalZone

if TYPE_CHECKING:
    from heliograph.app.tray import TrayItem

log = logging.getLogger(__name__)


async def run_daemon(
    config: Config,
    accounts: Sequence[Account],
    *,
    desktop: Desktop | None = None,
    presence: Presence | None = None,
    stop: asyncio.Event | None = None,
    reload: asyncio.Event | None = None,
    on_ready: Callable[[Callable[[], DaemonStatus]], None] | None = None,
    sign_out_interval_s: float = INTERVAL_S,
) -> int:
    """Runs until stopped or until every account has ended. The exit code.

    `reload`: each time that it is set, the settings are read again. `on_ready` is given what tells the status from then
    on. `sign_out_interval_s`: how long after the first answer that confirms a sign-out the second is asked for.
    Raises UserError if not a single account can be opened, or the desktop asked for cannot work.
    """
    stop = stop or stop_on_signals()
    reload = reload or note_hangups(stop)
    started_ms = now_ms()
    tasks: list[LongTask] = []
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(listed_in(tasks))
        desktop = desktop or await _open_desktop(config, stack)
        process = DaemonStatus(__version__, os.getpid(), started_ms, desktop.name)
        # Before any account opens, which puts back what was set aside: also what should be gone by now.
        await destroy_outdated_keys()
        named = await with_named_rooms(config, accounts)
        quiet = await _open_quiet(named)
        daemon = Daemon(named, process, tasks, desktop, quiet, sign_out_interval_s, stack, quit_daemon=stop.set)
        await daemon.start()
        daemon.follow_settings(config, reload)
        await daemon.open(accounts)
        await daemon.track_presence(presence)
        # What was imported stays for good: the collector need not look through it again and again.
        gc.freeze()
        # Once every account was tried: `systemctl start` then fails for a daemon that has none to serve.
        systemd.ready(daemon.line)
        if on_ready is not None:
            on_ready(daemon.status)
        return await daemon.serve(stop)


async def _open_desktop(config: Config, stack: contextlib.AsyncExitStack) -> Desktop:
    sounds = Sounds(sounds_folder(), config.notifications.sound)
    desktop = await open_desktop(config.desktop.backend, sounds=sounds)
    stack.push_async_callback(desktop.shut)
    return desktop


async def _open_quiet(config: Config) -> QuietLoop:
    file = pause_file()
    return QuietLoop(
        QuietHours(config.quiet.parsed_hours, config.quiet.everywhere),
        config.quiet.through,
        LocalZone(),
        clock=now_ms,
        keep=lambda pause: asyncio.to_thread(save_pause, file, pause),
        pause=await asyncio.to_thread(load_pause, file),
    )


class Daemon:
    """What the accounts share, and what other programs ask and hear of them. What it starts ends with `stack`."""

    def __init__(
        self,
        config: Config,
        process: DaemonStatus,
        tasks: Sequence[LongTask],
        desktop: Desktop,
        quiet: QuietLoop,
        sign_out_interval_s: float,
        stack: contextlib.AsyncExitStack,
        *,
        quit_daemon: Callable[[], None],
    ) -> None:
        self._config = config
        self._process = process
        self._tasks = tasks
        self._desktop = desktop
        self._quiet = quiet
        self._stack = stack
        self._watchdog = Watchdog(time.monotonic, systemd.feed_watchdog)
        self._accounts = RunningAccounts(self._take_open, stack)
        self._tracker = PresenceTracker(self._accounts.take_signs)
        self._line = StatusLine(lambda: self.line)
        self._opener = RoomOpener(config.desktop.open_with)
        self._api = DaemonApi(self.status, (), desktop, self._opener, quiet)
        verification = Verification1(VerificationApi(self._accounts.trust_of))
        self._control = Control(self._api, beside=[verification], badge_on=config.desktop.badge)
        self._hooks = _make_hooks(config, self._accounts)
        self._tray = TraySwitch(
            lambda wanted: _make_tray(config, wanted, self._api, self._opener, quit_daemon, self._accounts)
        )
        self._shared = SharedServices(
            config,
            desktop,
            self._opener,
            quiet,
            self._watchdog,
            on_change=self._take_change,
            on_rang=self._take_rang,
            sign_out_interval_s=sign_out_interval_s,
        )

    def status(self) -> DaemonStatus:
        """The whole of `heliograph status`, without the deliveries, which the ledgers count."""
        return replace(
            self._process,
            notification_server=self._desktop.server_name,
            tray=self._tray.state,
            accounts=self._accounts.statuses,
            tasks=tuple(replace(each) for each in self._tasks),
        )

    @property
    def line(self) -> str:
        """The accounts' states in one line, for systemd."""
        return self._accounts.line

    async def start(self) -> None:
        """Has the daemon answer over D-Bus from now on, and follow the quiet hours."""
        self._keep("keys set aside", keep_destroying_outdated_keys())
        self._desktop.listen(lambda _: self._api.note_change())
        await self._control.start()
        self._stack.push_async_callback(self._control.stop)
        self._keep("bars and badges", self._api.run(self._publish))
        self._stack.push_async_callback(self._tray.stop)
        await self._tray.take_settings(self._config.desktop)
        self._keep("quiet", self._quiet.run(self._take_quiet))
        self._api.note_change()

    def follow_settings(self, config: Config, reload: asyncio.Event) -> None:
        """Takes over what it can of the settings each time that `reload` is set. `config`: as they were read last."""
        self._keep("settings", SettingsReload(config, self._take_settings, self._accounts).run(reload))

    async def open(self, accounts: Sequence[Account]) -> None:
        """Raises UserError if not a single one can be opened."""
        await self._accounts.open(accounts, self._shared)
        counted = count_things(len(self._accounts), "account")
        log.info("Heliograph %s runs for %s, notifications through %s", __version__, counted, self._desktop.name)

    async def track_presence(self, presence: Presence | None) -> None:
        """Every account is told whether the user is here; the machine waits for them before it sleeps."""
        if presence is None:
            presence = DesktopPresence(
                away_after_s=60.0 * self._config.handoff.away_after,
                monotonic=time.monotonic,
                beside=[Wakeups(self._nudge)],
            )
        await presence.start()
        self._stack.push_async_callback(presence.stop)
        self._desktop.listen(self._tracker.take_signal)
        presence.listen(self._tracker.take_session)
        presence.listen(self._tray.take_signs)
        presence.listen(lambda signs: self._hold_sleep_up(presence, signs))

    async def serve(self, stop: asyncio.Event) -> int:
        """Runs the accounts; the exit code."""
        patience_s = systemd.watchdog_s()
        if patience_s is not None and patience_s < LONGEST_TURN_S:
            self._keep("watchdog", self._watchdog.keep_looking(patience_s))
        await end_with_session(stop, lambda is_gone: self._accounts.say(is_leaving=is_gone), self._stack)

        async def leave() -> None:
            systemd.stopping()
            # First, so that a daemon that is started meanwhile waits for the locks while others are handed the ringing.
            self._accounts.say(is_leaving=True)
            self._tracker.stop()
            await self._accounts.hand_over()

        return await self._accounts.run(stop, leave)

    def _keep(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        self._stack.push_async_callback(cancel, start(loop, name=name))

    # What it is told

    def _take_open(self, run: AccountRun) -> None:
        """Hooks run from the first account on, since its deliveries tell of their trouble."""
        if self._hooks is not None and len(self._accounts) == 1:
            self._keep("hooks", self._hooks.run())
        self._api.add(run.handle)

    def _take_change(self) -> None:
        self._api.note_change()
        self._line.update()

    def _publish(self, summary: Summary) -> None:
        self._control.publish(summary)
        with going_on("showing the tray item"):
            self._tray.take_summary(summary)

    async def _take_settings(self, desktop: DesktopConfig) -> None:
        # First: it alone may refuse.
        self._opener.use(desktop.open_with)
        self._control.move_badge(desktop.badge)
        await self._tray.take_settings(desktop)

    def _take_quiet(self) -> None:
        self._tracker.take_quiet(self._quiet.why_away, is_everywhere=self._quiet.is_everywhere)
        self._accounts.wake()
        self._api.note_change()

    def _take_rang(self, user_id: str, rung: Sequence[Delivery]) -> None:
        """A message that finds a fault of ours in hooks is told to bars all the same, and the next one to both."""
        for delivery in rung:
            if self._hooks is not None:
                with going_on(f"giving {delivery.event_id} to the hook"):
                    self._hooks.take(user_id, (delivery,))
            with going_on(f"telling {delivery.event_id} to bars"):
                self._control.tell_rang(user_id, delivery)

    def _nudge(self, why: str) -> None:
        self._quiet.look()
        # Another time zone says nothing about the network.
        if why != Wakeup.TIME_ZONE:
            self._accounts.nudge(why)

    def _hold_sleep_up(self, presence: Presence, signs: Signs) -> None:
        if signs.is_asleep and presence.holds_sleep_up:
            start_beside(self._hand_over_before_sleep(presence), name="handing over before sleep")

    async def _hand_over_before_sleep(self, presence: Presence) -> None:
        await self._accounts.hand_over()
        presence.let_sleep()


def _make_tray(
    config: Config,
    wanted: DesktopConfig,
    api: DaemonApi,
    opener: Opener,
    quit_daemon: Callable[[], None],
    troubles: Troubles,
) -> TrayItem | None:
    # Loaded here: who wants no tray item pays for none.
    from heliograph.app.tray import make_tray

    wanted_config = replace_struct(config, desktop=wanted)
    return make_tray(wanted_config, actions=api, opener=opener, quit_daemon=quit_daemon, troubles=troubles)


def _make_hooks(config: Config, troubles: Troubles) -> Hooks | None:
    command = config.hooks.on_notification
    return Hooks(command, config.hooks.timeout_seconds, troubles) if command else None
