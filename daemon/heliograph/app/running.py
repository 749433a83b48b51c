"""The accounts that the daemon runs: they open, run beside one another, and a fault of one ends no other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from heliograph.accounts import Account, state_folder
from heliograph.app.account import UNEXPECTED, AccountRun
from heliograph.app.account_status import tell_sign_in
from heliograph.app.services import SharedServices
from heliograph.core.connection import Connection, ConnectionState, ended_by
from heliograph.core.ids import UserId
from heliograph.core.pushers.handoff import Signs
from heliograph.core.status import AccountStatus, sum_up
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.errors import EXIT_FAILED, EXIT_OK, UserError
from heliograph.loops.handoff.loop import settle_all
from heliograph.ports.notices import Cure
from heliograph.store.ledger import SqliteLedger
from heliograph.system.tasks import LongTask, cancel, going_on, keep_running, listed_in, start, start_beside

log = logging.getLogger(__name__)

LEAVE_S = 4.0
"""How long handing over may take: logind lets sleep be held up for five seconds. Test: test_handing_over_is_bounded."""


class RunningAccounts:
    """The accounts of the daemon: `open` opens them, `run` runs them. `on_open` is called with each when it is open;
    what it holds is closed with `stack`. As `ports.notices.Troubles` the first account tells what concerns all of
    them."""

    def __init__(self, on_open: Callable[[AccountRun], None], stack: contextlib.AsyncExitStack) -> None:
        self._on_open = on_open
        self._stack = stack
        self._tasks: dict[UserId, list[LongTask]] = {}
        """By user: the long-lived tasks that keep the account, open or not."""
        self._unopened: dict[UserId, AccountStatus] = {}
        """Accounts that are not open: they found a fault of ours, or what only the user can mend."""
        self._untold: deque[UserError] = deque()
        """What has ended an account before it was open, until there is an open one to tell that on screen."""
        self._runs: list[AccountRun] = []
        self._opening: dict[asyncio.Task[AccountRun], Account] = {}
        """Accounts that found a fault of ours, by the task that opens each again until that works."""
        self._running: set[asyncio.Task[int]] = set()
        self._codes: list[int] = []
        """Exit codes of accounts that have ended."""
        self._signs: Signs | None = None
        """None: nobody has told yet whether the user is here."""

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def statuses(self) -> tuple[AccountStatus, ...]:
        """What is known of each account now, in the order in which they were to be opened."""
        known = {run.account.user_id: run.status for run in self._runs}
        return tuple(known.get(user_id) or self._unopened_status(user_id) for user_id in self._tasks)

    @property
    def line(self) -> str:
        """The accounts' states in one line, for systemd."""
        known = {run.account.user_id: run.connection for run in self._runs}
        return sum_up((known.get(user_id) or self._unopened[user_id].connection).state for user_id in self._tasks)

    async def open(self, accounts: Sequence[Account], shared: SharedServices) -> None:
        """Opens each of them. Raises UserError if the user has to mend something before any can be opened."""
        for account in accounts:
            tasks = self._tasks[account.user_id] = []
            opening = partial(self._open_one, account, tasks, shared)
            try:
                run = await opening()
            except UserError as error:
                self._give_up(account, error)
            except Exception:
                log.exception("Unexpected fault in opening %s, which is tried again", account.user_id)
                self._note_unopened(account, ConnectionState(Connection.OFFLINE, UNEXPECTED))
                self._open_later(opening, account, tasks)
            else:
                self._join(run)
        if not self._opening:
            self._raise_if_none_opened()

    async def run(self, stop: asyncio.Event, leave: Callable[[], Awaitable[None]]) -> int:
        """Runs until asked to stop (exit code 0), or until the last account has ended (its exit code). `leave` is
        awaited at the end, while those that have not ended still run. Raises UserError if none could be opened."""
        self._tell_given_up()
        for run in self._runs:
            self._start(run)
        stopping = start(stop.wait(), name="stop")
        try:
            while (self._running or self._opening) and not stopping.done():
                await asyncio.wait((*self._running, *self._opening, stopping), return_when=asyncio.FIRST_COMPLETED)
                self._note_ended()
                self._note_opened()
            # While the others still run: handing over needs their connections.
            await leave()
            if stopping.done():
                return EXIT_OK
            self._raise_if_none_opened()
            # EXIT_CONFIG is the largest: if one account needs a new
            # sign-in only, another one's mistake is still the worse.
            return max(self._codes, default=EXIT_FAILED)
        finally:
            for task in (*self._running, stopping):
                task.cancel()
            await asyncio.gather(*self._running, stopping, return_exceptions=True)

    # To each of them

    def take_signs(self, signs: Signs) -> None:
        """Tells each account the new signs of whether the user is here."""
        self._signs = signs
        self._tell_each(lambda run: run.take_signs(signs))

    def wake(self) -> None:
        """Has each account look again: quiet has begun or ended."""
        self._tell_each(AccountRun.wake)

    def say(self, *, is_leaving: bool) -> None:
        """Tells a daemon that is started next whether this one will soon let go of the accounts."""
        self._tell_each(lambda run: run.say(is_leaving=is_leaving))

    def nudge(self, why: str) -> None:
        """The network or the machine came back."""
        for run in self._runs:
            start_beside(run.nudge(why), name="nudge")

    async def hand_over(self) -> None:
        """Returns when every account has handed over or taken back as the user's presence asks, after 4 s at most."""
        await settle_all([run.handoff for run in self._runs if run.handoff is not None], LEAVE_S)

    # To one of them

    def trust_of(self, user_id: str) -> DeviceTrust | None:
        """The trust of this account's device; None: the account is not signed in at the moment, or is none of ours."""
        return next((run.trust for run in self._runs if run.account.user_id == user_id), None)

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None:
        for run in self._runs[:1]:
            run.troubles.tell(title, hint, about=about, cure=cure)

    def withdraw(self, about: str) -> None:
        for run in self._runs[:1]:
            run.troubles.withdraw(about)

    # Inside

    async def _open_one(self, account: Account, tasks: list[LongTask], shared: SharedServices) -> AccountRun:
        ledger = await SqliteLedger.open(state_folder(account.user_id))
        self._stack.push_async_callback(ledger.close)
        return AccountRun(account, tasks, ledger, shared)

    def _open_later(
        self, opening: Callable[[], Awaitable[AccountRun]], account: Account, tasks: list[LongTask]
    ) -> None:
        with listed_in(tasks):
            task = start(keep_running("account", opening, ends_with=(UserError,)), name=account.user_id)
        self._opening[task] = account
        self._stack.push_async_callback(cancel, task)

    def _note_unopened(self, account: Account, state: ConnectionState) -> None:
        self._unopened[account.user_id] = AccountStatus(
            account.user_id, account.homeserver, state, sign_in=tell_sign_in(account)
        )

    def _unopened_status(self, user_id: UserId) -> AccountStatus:
        return replace(self._unopened[user_id], tasks=tuple(replace(each) for each in self._tasks[user_id]))

    def _give_up(self, account: Account, error: UserError) -> None:
        """Gives up an account that only the user can get to open; the first open account is to tell it."""
        log.error("%s cannot run: %s %s", account.user_id, error.title, error.hint)
        self._note_unopened(account, ended_by(error))
        self._codes.append(error.exit_code)
        self._untold.append(error)

    def _tell_given_up(self) -> None:
        while self._runs and self._untold:
            error = self._untold.popleft()
            self.tell(error.title, error.hint, about=error.title)

    def _raise_if_none_opened(self) -> None:
        if self._untold and not self._runs:
            raise self._untold[0]

    def _join(self, run: AccountRun) -> None:
        self._runs.append(run)
        self._on_open(run)
        if self._signs is not None:
            with _going_on_with(run):
                # An account that opens late has missed them: it would count its user as present until the next change.
                run.take_signs(self._signs)

    def _start(self, run: AccountRun) -> None:
        self._running.add(start(run.run(), name=run.account.user_id))

    def _note_ended(self) -> None:
        ended = {task for task in self._running if task.done()}
        self._running -= ended
        self._codes.extend(map(_code, ended))

    def _note_opened(self) -> None:
        for task in [task for task in self._opening if task.done()]:
            account = self._opening.pop(task)
            try:
                run = task.result()
            except UserError as error:
                self._give_up(account, error)
            else:
                self._join(run)
                self._start(run)
        self._tell_given_up()

    def _tell_each(self, tell: Callable[[AccountRun], None]) -> None:
        for run in self._runs:
            with _going_on_with(run):
                tell(run)


def _going_on_with(run: AccountRun) -> contextlib.AbstractContextManager[None]:
    """A fault that one account finds must not keep what is told from the others."""
    return going_on(f"telling {run.account.user_id}")


def _code(task: asyncio.Task[int]) -> int:
    """An account's exit code. What a fault of ours ended at the very end must not end the others."""
    if (error := task.exception()) is None:
        return task.result()
    log.error("Unexpected fault at the end of %s", task.get_name(), exc_info=error)
    return EXIT_FAILED
