"""The program: opens what the accounts share, runs them until it is stopped, and hands over at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from heliograph import __version__
from heliograph.accounts import Account, sounds_folder, state_folder, state_root
from heliograph.app.account import UNEXPECTED, AccountRun, SharedServices
from heliograph.app.daemon_api import DaemonApi
from heliograph.app.session_watch import SessionWatch
from heliograph.app.verification_api import VerificationApi
from heliograph.app.watchdog import LONGEST_TURN_S, Watchdog
from heliograph.config import Config
from heliograph.control.service import Control
from heliograph.control.verification import Verification1
from heliograph.core.pushers.handoff import Signs
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus, Connection, DaemonStatus
from heliograph.core.text.clean import count_things
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.opener import RoomOpener
from heliograph.desktop.presence import DesktopPresence
from heliograph.desktop.sounds import Sounds
from heliograph.desktop.wakeups import Wakeups
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.olm.key_files import destroy_outdated
from heliograph.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, UserError
from heliograph.loops.handoff import HandoffLoop, settle_all
from heliograph.loops.hooks import Hooks
from heliograph.loops.presence import PresenceTracker
from heliograph.loops.quiet import QuietLoop
from heliograph.loops.sync.sign_out import INTERVAL_S
from heliograph.ports.desktop import Desktop, Presence
from heliograph.store.ledger import SqliteLedger
from heliograph.store.pause_file import load_pause, pause_file, save_pause
from heliograph.system import systemd
from heliograph.system.clock import now_ms
from heliograph.system.service_manager import has_started_us
from heliograph.system.session_bus import outlives_sessions, session_bus_address
from heliograph.system.stop_signals import stop_on_signals
from heliograph.system.tasks import going_on, keep_running, listed_in, start, start_beside
from heliograph.system.time_zone import LocalZone

log = logging.getLogger(__name__)

KEYS_LOOK_S = 3600.0
LEAVE_S = 4.0
"""How long handing over may take: logind lets sleep be held up for five seconds."""


async def run(
    config: Config,
    accounts: Sequence[Account],
    *,
    desktop: Desktop | None = None,
    presence: Presence | None = None,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[DaemonStatus], None] | None = None,
    sign_out_interval_s: float = INTERVAL_S,
) -> int:
    """Runs until stopped or until every account has ended. The exit code.

    `sign_out_interval_s`: how long after the first answer that confirms a sign-out the second is asked for.
    Raises UserError if not a single account can be opened, or the desktop asked for cannot work.
    """
    stop = stop or stop_on_signals()
    status = DaemonStatus(__version__, os.getpid(), now_ms())
    watchdog = Watchdog(time.monotonic, systemd.feed_watchdog)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(listed_in(status.tasks))
        if desktop is None:
            desktop = await open_desktop(
                config.desktop.backend, sounds=Sounds(sounds_folder(), config.notifications.sound)
            )
            stack.push_async_callback(desktop.shut)
        status.desktop = desktop.name
        opener = RoomOpener(config.desktop.open_with)
        quiet = await _open_quiet(config)
        await _destroy_outdated_keys()
        shared = SharedServices(config, desktop, opener, quiet, watchdog, status, sign_out_interval_s)
        keeping = keep_running("keys set aside", _keep_destroying_outdated_keys, clock=now_ms)
        stack.push_async_callback(_cancel, start(keeping, name="keys set aside"))
        runs: list[AccountRun] = []
        """Those that are open; one more may join."""
        join = await _open_daemon_api(shared, runs, stack)
        late = await _open_accounts(shared, accounts, join, stack)
        wakeups = Wakeups(lambda why: _nudge(runs, quiet, why))
        away_after_s = 60.0 * config.handoff.away_after
        presence = presence or DesktopPresence(away_after_s=away_after_s, monotonic=time.monotonic, beside=[wakeups])
        await presence.start()
        stack.push_async_callback(presence.stop)
        tracker = _track_presence(presence, desktop, runs)
        counted = count_things(len(runs), "account")
        log.info("Heliograph %s runs for %s, notifications through %s", __version__, counted, desktop.name)
        # What was imported stays for good: the collector need not look through it again and again.
        gc.freeze()
        _feed_often(watchdog, stack)
        systemd.ready(status.summary)
        if on_ready is not None:
            on_ready(status)
        await _watch_session(runs, stop, stack)
        code = await _serve(runs, late, join, stop, tracker)
    return code


async def _watch_session(runs: Sequence[AccountRun], stop: asyncio.Event, stack: contextlib.AsyncExitStack) -> None:
    """It ends with the session that it was started in. systemd ends a service itself."""
    address = session_bus_address()
    if address is None or has_started_us() or await asyncio.to_thread(outlives_sessions, address):
        return

    def doubt(is_gone: bool) -> None:
        _tell_each(runs, lambda run: run.say(is_leaving=is_gone))

    async def end_with_session() -> None:
        await watch.over()
        log.info("The session bus at %s is gone: Heliograph ends with its session", address)
        stop.set()

    watch = SessionWatch(address, on_doubt=doubt)
    await watch.start()
    stack.push_async_callback(watch.stop)
    stack.push_async_callback(_cancel, start(end_with_session(), name="end of the session"))


async def _destroy_outdated_keys() -> None:
    """Keys of devices that were signed out, whose day is over."""
    try:
        count = await asyncio.to_thread(destroy_outdated, state_root(), now_ms())
    except UserError as error:
        log.warning("%s %s", error.title, error.hint)
        return
    if count:
        log.info("Destroyed the keys of %s signed out", count_things(count, "device"))


async def _keep_destroying_outdated_keys() -> None:
    """The daemon goes on for other accounts when one was signed out."""
    while True:
        await asyncio.sleep(KEYS_LOOK_S)
        await _destroy_outdated_keys()


def _feed_often(watchdog: Watchdog, stack: contextlib.AsyncExitStack) -> None:
    patience_s = systemd.watchdog_s()
    if patience_s is not None and patience_s < LONGEST_TURN_S:
        stack.callback(start(watchdog.keep_looking(patience_s), name="watchdog").cancel)


Join = Callable[[AccountRun], None]


async def _open_accounts(
    shared: SharedServices, accounts: Sequence[Account], join: Join, stack: contextlib.AsyncExitStack
) -> list[asyncio.Task[AccountRun]]:
    """Those that can be opened join; those that find a fault of ours are being opened again in these tasks.

    Raises UserError if not a single one can be opened before the user has mended something.
    """
    late: list[asyncio.Task[AccountRun]] = []
    first_error: UserError | None = None
    for account in accounts:
        status = AccountStatus(account.user_id, account.homeserver)
        opening = partial(_open_account, shared, account, status, stack)
        try:
            run = await opening()
        except UserError as error:
            log.error("%s cannot run: %s %s", account.user_id, error.title, error.hint)
            first_error = first_error or error
            continue
        except Exception:
            log.exception("Unexpected fault in opening %s, which is tried again", account.user_id)
            late.append(_open_later(opening, status, stack))
        else:
            join(run)
        shared.daemon.accounts.append(status)
    if not shared.daemon.accounts and first_error is not None:
        raise first_error
    return late


async def _open_account(
    shared: SharedServices, account: Account, status: AccountStatus, stack: contextlib.AsyncExitStack
) -> AccountRun:
    ledger = await SqliteLedger.open(state_folder(account.user_id))
    stack.push_async_callback(ledger.close)
    return AccountRun(account, status, ledger, shared)


def _open_later(
    opening: Callable[[], Awaitable[AccountRun]], status: AccountStatus, stack: contextlib.AsyncExitStack
) -> asyncio.Task[AccountRun]:
    status.connection, status.why = Connection.OFFLINE, UNEXPECTED
    with listed_in(status.tasks):
        task = start(keep_running("account", opening, ends_with=(UserError,)), name=status.user_id)
    stack.push_async_callback(_cancel, task)
    return task


def _tell_each(runs: Sequence[AccountRun], tell: Callable[[AccountRun], None]) -> None:
    """A fault that one account finds in it must not keep it from the others."""
    for run in runs:
        with going_on(f"telling {run.account.user_id}"):
            tell(run)


def _track_presence(presence: Presence, desktop: Desktop, runs: Sequence[AccountRun]) -> PresenceTracker:
    """Every account is told whether the user is here; the machine waits for them before it sleeps."""

    def tell(signs: Signs) -> None:
        _tell_each(runs, lambda run: run.take_signs(signs))

    async def hand_over() -> None:
        await settle_all(_handoffs(runs), LEAVE_S)
        presence.let_sleep()

    def hold_sleep_up(signs: Signs) -> None:
        if signs.is_asleep and presence.holds_sleep_up:
            start_beside(hand_over(), name="handing over before sleep")

    tracker = PresenceTracker(tell)
    desktop.listen(tracker.take_signal)
    presence.listen(tracker.take_session)
    presence.listen(hold_sleep_up)
    return tracker


def _handoffs(runs: Sequence[AccountRun]) -> list[HandoffLoop]:
    return [run.handoff for run in runs if run.handoff is not None]


async def _open_quiet(config: Config) -> QuietLoop:
    file = pause_file()
    return QuietLoop(
        config.quiet.parsed_hours,
        config.quiet.through,
        LocalZone(),
        clock=now_ms,
        keep=lambda until_ms: asyncio.to_thread(save_pause, file, until_ms),
        paused_until_ms=await asyncio.to_thread(load_pause, file),
    )


async def _open_daemon_api(shared: SharedServices, runs: list[AccountRun], stack: contextlib.AsyncExitStack) -> Join:
    """What other programs ask and hear of us, and what becomes quiet with the hour. What it returns is called with each
    account that is open, and adds it to the runs."""
    api = DaemonApi(shared.daemon, (), shared.desktop, shared.opener, shared.quiet)
    trusts: dict[str, Callable[[], DeviceTrust | None]] = {}
    control = Control(api, beside=[Verification1(VerificationApi(trusts))], badge_on=shared.config.desktop.badge)
    loops = {"bars and badges": api.run(control.publish)}
    hooks: Hooks | None = None
    shared.daemon.on_change = api.note_change
    shared.desktop.listen(lambda _: api.note_change())

    def wake() -> None:
        _tell_each(runs, AccountRun.wake)
        api.note_change()

    await control.start()
    stack.push_async_callback(control.stop)
    loops["quiet"] = shared.quiet.run(wake)
    for name, loop in loops.items():
        stack.push_async_callback(_cancel, start(loop, name=name))
    api.note_change()

    def join(run: AccountRun) -> None:
        nonlocal hooks
        if hooks is None and (command := shared.config.hooks.on_notification):
            # Their trouble is told where the first account's is.
            hooks = Hooks(command, shared.config.hooks.timeout_seconds, run.troubles)
            stack.push_async_callback(_cancel, start(hooks.run(), name="hooks"))
        run.on_rang = partial(_tell_rang, control, hooks, run.account.user_id)
        trusts[run.account.user_id] = partial(getattr, run, "trust")
        runs.append(run)
        api.add(run.handle)

    return join


def _tell_rang(control: Control, hooks: Hooks | None, user_id: str, rung: Sequence[Delivery]) -> None:
    """A message that finds a fault of ours in one of these is told to the other, and the others are told to both."""
    for delivery in rung:
        if hooks is not None:
            with going_on(f"giving {delivery.event_id} to the hook"):
                hooks.take(user_id, (delivery,))
        with going_on(f"telling {delivery.event_id} to bars"):
            control.tell_rang(user_id, delivery)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _serve(
    runs: Sequence[AccountRun],
    late: Sequence[asyncio.Task[AccountRun]],
    join: Join,
    stop: asyncio.Event,
    tracker: PresenceTracker,
) -> int:
    """Until asked to stop (exit code 0), or until the last account has ended (its exit code). Hands over at the end."""
    tasks = {start(run.run(), name=run.account.user_id) for run in runs}
    stopping = start(stop.wait(), name="stop")
    codes: list[int] = []
    running, opening = set(tasks), set(late)
    try:
        while (running or opening) and not stopping.done():
            await asyncio.wait((*running, *opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            ended = {task for task in running if task.done()}
            codes.extend(map(_code, ended))
            running -= ended
            for opened in [task for task in opening if task.done()]:
                opening.discard(opened)
                if (error := opened.exception()) is not None:
                    log.error("%s cannot run: %s", opened.get_name(), error)
                    codes.append(EXIT_CONFIG)
                    continue
                run = opened.result()
                join(run)
                run.take_signs(tracker.signs)
                running.add(start(run.run(), name=run.account.user_id))
                tasks |= running
        systemd.stopping()
        _tell_each(runs, lambda run: run.say(is_leaving=True))
        tracker.stop()
        await settle_all(_handoffs(runs), LEAVE_S)
        return EXIT_OK if stopping.done() else max(codes, default=EXIT_FAILED)
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


def _code(task: asyncio.Task[int]) -> int:
    """An account's exit code. What a fault of ours ended at the very end must not end the others."""
    if (error := task.exception()) is None:
        return task.result()
    log.error("Unexpected fault at the end of %s", task.get_name(), exc_info=error)
    return EXIT_FAILED


def _nudge(runs: Sequence[AccountRun], quiet: QuietLoop, why: str) -> None:
    quiet.look()
    for run in runs:
        start_beside(run.nudge(why), name="nudge")
