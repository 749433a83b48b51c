"""One account from the daemon's start to its stop: what lasts while it signs in, starts again and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from dataclasses import replace

from heliograph.accounts import Account, state_folder
from heliograph.app.account_status import tell_sign_in
from heliograph.app.daemon_api import AccountHandle
from heliograph.app.keyring_wait import KeyringWait
from heliograph.app.move_to_oauth import has_moved_to_oauth
from heliograph.app.services import AccountServices, SharedServices
from heliograph.app.signed_in import SignedInAccount, open_signed_in
from heliograph.core.connection import Connection, ConnectionState, ended_by
from heliograph.core.outage import ABOUT_SYNC
from heliograph.core.popups.actions import ActionRequest, word_failure
from heliograph.core.pushers.handoff import Signs
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus
from heliograph.desktop.decoder import Decoder
from heliograph.desktop.pictures import PictureCache, Source
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.olm.key_files import set_aside
from heliograph.errors import (
    EXIT_CONFIG,
    EXIT_NEEDS_LOGIN,
    LoggedOut,
    StorageError,
    UserError,
)
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.loops.handoff.loop import HandoffLoop
from heliograph.ports.notices import Troubles
from heliograph.ports.secrets import SecretStore
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from heliograph.store.ledger import SqliteLedger
from heliograph.store.sign_out_file import SignOut, note_sign_out
from heliograph.system.clock import now_ms
from heliograph.system.tasks import LongTask, keep_running, listed_in, start

log = logging.getLogger(__name__)

LAST_WORDS_S = 10.0
"""How long a notice about the end of an account may take to be shown."""
LAST_OUTCOME_S = 3.0
"""How long a stop waits for the answer of the notification server that is under way."""
STUCK_MS = 60_000
UNEXPECTED = "an unexpected fault, see the log"
"""Why an account is offline that is started again."""
ABOUT_END = "end"


class AccountRun:
    """One account: its ledger, its deliveries, and how it ended. Signed in or not, it shows what is due."""

    def __init__(self, account: Account, tasks: list[LongTask], ledger: SqliteLedger, shared: SharedServices) -> None:
        """`tasks` lists the long-lived tasks that keep the account, while they run."""
        self.account = account
        self._shared = shared
        self._ledger = ledger
        self._tasks = tasks
        self._pictures = PictureCache(Decoder().decode, self._find_pictures, clock=now_ms)
        rounds = Rounds(now_ms)
        self._notices = AccountNotices(shared.desktop, account.user_id, rounds.wake)
        # The deliveries last longer than a sign-in: what is due is shown also while the keyring is locked.
        self._delivery = self._make_delivery(rounds)
        self._services = AccountServices(account, ledger, self._notices, self._delivery, shared)
        self._keyring = KeyringWait(
            account.user_id,
            self._notices,
            jitter=random.random,
            on_life=self._note_waiting,
            on_state=self._take_state,
        )
        self._signed_in: SignedInAccount | None = None
        self._signs = Signs()
        self._state = ConnectionState()
        """While the account is not signed in."""
        self._last = AccountStatus(account.user_id, account.homeserver, sign_in=tell_sign_in(account))
        """What was known of the account when it was last signed in."""

    @property
    def connection(self) -> ConnectionState:
        """How the account stands with its homeserver."""
        return self._state if self._signed_in is None else self._signed_in.connection

    @property
    def status(self) -> AccountStatus:
        """The account's part of `heliograph status`, without its deliveries, which the ledger counts."""
        tasks = tuple(replace(each) for each in self._tasks)
        if self._signed_in is not None:
            status = self._signed_in.status
            return replace(status, last_sync_ms=status.last_sync_ms or self._last.last_sync_ms, tasks=tasks)
        handoff = replace(self._last.handoff, why_away=self._signs.why_away)
        return replace(self._last, connection=self._state, handoff=handoff, tasks=tasks)

    @property
    def troubles(self) -> Troubles:
        """Where trouble is told, also of what all accounts share."""
        return self._notices

    @property
    def handle(self) -> AccountHandle:
        """What answers the user's questions about this account."""
        return AccountHandle(self.account.user_id, lambda: self.connection, self._ledger, self._delivery, self._do)

    @property
    def handoff(self) -> HandoffLoop | None:
        """The account's handoff loop; None while it is not signed in."""
        return None if self._signed_in is None else self._signed_in.handoff

    @property
    def trust(self) -> DeviceTrust | None:
        """The trust of the account's device; None while it is not signed in."""
        return None if self._signed_in is None else self._signed_in.trust

    # From the daemon

    def take_signs(self, signs: Signs) -> None:
        """Takes new signs of whether the user is here."""
        self._signs = signs
        self._delivery.set_locked(signs.is_locked)
        if self._signed_in is not None:
            self._signed_in.take_signs(signs)

    def say(self, *, is_leaving: bool) -> None:
        """Tells a daemon that is started next whether this one will soon let go of the account."""
        self._ledger.say(is_leaving=is_leaving)

    async def nudge(self, why: str) -> None:
        """The network or the machine came back."""
        if self._signed_in is not None:
            await self._signed_in.nudge(why)

    def wake(self) -> None:
        """Has the delivery loop look again: quiet has begun or ended."""
        self._delivery.wake()

    async def run(self) -> int:
        """Runs the account until it is signed out; the exit code that this calls for. A fault of our own ends neither
        the account nor another one: it starts again, and signs in anew."""
        with listed_in(self._tasks):
            delivery = start(self._delivery.run(), name=f"deliveries of {self.account.user_id}")
            try:
                return await keep_running("account", self._run_once, clock=now_ms)
            finally:
                self._release_watchdog()
                self._delivery.finish()
                await asyncio.wait({delivery}, timeout=LAST_OUTCOME_S)
                # Only now: cancelled between the server's answer and the
                # commit, the popup would be shown again at the next start.
                delivery.cancel()
                await asyncio.gather(delivery, return_exceptions=True)

    # Its life

    async def _run_once(self) -> int:
        try:
            return await self._run_signed_in()
        except UserError as error:
            log.error("%s: %s %s", self.account.user_id, error.title, error.hint)
            self._take_state(ended_by(error))
            await self._say_last(error.title, error.hint)
            return error.exit_code
        except Exception:
            self._take_state(ConnectionState(Connection.OFFLINE, UNEXPECTED))
            raise
        finally:
            # Until it watches again, nothing is late.
            self._release_watchdog()

    async def _run_signed_in(self) -> int:
        secret = await self._load_secret(open_secrets(self.account.secrets, on_prompt=self._keyring.note_prompt))
        async with open_signed_in(self._services, secret) as signed_in:
            # What follows has to wait for the end of this block: with crypto.db open its keys cannot be set aside.
            gone = await self._serve(signed_in)
        has_moved = not gone.soft and await has_moved_to_oauth(self.account.homeserver)
        if not gone.soft and not has_moved:
            # The device is no more: what was encrypted for it must not outlive it by more than a day. For that day its
            # keys wait beside crypto.db, since the sign-out may have been wrong. Test:
            # test_keys_of_a_signed_out_device_are_set_aside_and_back_in_use_if_that_was_wrong.
            folder, was_in_use = state_folder(self.account.user_id), signed_in.last_sync_ms is not None
            await asyncio.to_thread(set_aside, folder, self.account.device_id, now_ms(), was_in_use=was_in_use)
        return await self._end(is_soft=gone.soft or has_moved, has_moved=has_moved)

    async def _serve(self, signed_in: SignedInAccount) -> LoggedOut:
        self._shared.watchdog.watch(self.account.user_id, lambda: self._delivery.is_stuck(now_ms(), STUCK_MS))
        self._signed_in = signed_in
        signed_in.handoff.take_signs(self._signs)
        try:
            return await signed_in.run()
        finally:
            # Before the loops end: what the user wants from now on is refused with a reason, instead of lost.
            self._last, self._state = self.status, signed_in.connection
            self._signed_in = None
            await self._pictures.close()

    async def _load_secret(self, store: SecretStore) -> Secret:
        with contextlib.suppress(StorageError):
            # What is told while it waits: the sync loop has not looked into the ledger yet.
            last_sync_ms = (await self._ledger.account()).last_sync_ms
            self._last = replace(self._last, last_sync_ms=last_sync_ms)
        text = await self._keyring.load(store)
        if text is None:
            raise UserError(
                f"The access token of {self.account.user_id} is gone from the {store.name}.",
                f"Log in again: heliograph login {self.account.user_id}",
                exit_code=EXIT_NEEDS_LOGIN,
            )
        return decode_secret(self.account.user_id, text, is_oauth=self.account.oauth is not None)

    def _take_state(self, state: ConnectionState) -> None:
        self._state = state
        self._shared.on_change()

    def _note_waiting(self) -> None:
        """The account waits for its user: nothing that the watchdog waits for is late."""
        self._release_watchdog()
        self._shared.watchdog.beat(self.account.user_id)

    def _release_watchdog(self) -> None:
        self._shared.watchdog.release(self.account.user_id)

    # Its end

    async def _end(self, *, is_soft: bool, has_moved: bool) -> int:
        """`has_moved`: with the older sign-ins all devices ended, which may come back with their keys."""
        user_id = self.account.user_id
        # A soft logout keeps device id, pickle key and pushkey for the next login; a hard one takes a new device.
        # Test: test_a_soft_logout_is_mended_with_the_same_device_and_keys.
        how = SignOut.SOFTLY if is_soft else SignOut.FOR_GOOD
        # On disk before it is told: the commands that the notice names go by this file.
        await asyncio.to_thread(note_sign_out, self.account, how)
        if is_soft:
            log.error("%s was signed out softly: its device waits for a new login", user_id)
            why = "Your homeserver signs in by OAuth 2.0 now, which ended the older sign-ins. " if has_moved else ""
            await self._say_last("Sign in again to get messages", f"{why}Run: heliograph login {user_id}")
            return EXIT_NEEDS_LOGIN
        log.error(
            "%s was signed out: the homeserver no longer knows this device. Its keys are set aside for a day", user_id
        )
        await self._say_last(
            "Signed out: no more notifications",
            f"The homeserver ended the session of {user_id}. To start again: heliograph login {user_id}",
        )
        return EXIT_CONFIG

    async def _say_last(self, title: str, hint: str) -> None:
        # Of an account that has ended nothing else is true any more.
        self._notices.withdraw(ABOUT_SYNC)
        self._notices.tell(title, hint, about=ABOUT_END)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._notices.all_told()

    # From its deliveries, which go to whoever is signed in

    def _make_delivery(self, rounds: Rounds) -> DeliveryLoop:
        shared, config = self._shared, self._shared.config
        return DeliveryLoop(
            self._ledger,
            shared.desktop,
            shared.opener,
            self._notices,
            rounds,
            DeliverySettings(
                self.account.user_id, config.notifications.max_rooms, config.log.bodies, config.privacy.privacy
            ),
            clock=now_ms,
            jitter=random.random,
            through=lambda: shared.quiet.through,
            on_change=shared.on_change,
            on_rang=self._take_rang,
            on_request=self._take_request,
            gate=shared.gate,
            pictures=self._pictures if config.notifications.avatars else None,
        )

    def _find_pictures(self) -> Source | None:
        return None if self._signed_in is None else self._signed_in.fetch_picture

    def _take_rang(self, rung: Sequence[Delivery]) -> None:
        self._shared.on_rang(self.account.user_id, rung)
        if self._signed_in is not None:
            self._signed_in.take_rang(rung)

    async def _do(self, request: ActionRequest) -> None:
        if self._signed_in is None:
            raise UserError(*self._not_signed_in())
        await self._signed_in.do(request)

    def _take_request(self, request: ActionRequest) -> None:
        if self._signed_in is not None:
            self._signed_in.take_request(request)
            return
        # Without buttons: there is nobody signed in who could try again.
        notice = word_failure(request, *self._not_signed_in(), self.account.user_id)
        self._notices.ask(f"not signed in {request}", replace(notice, actions=()), lambda _: None)

    def _not_signed_in(self) -> tuple[str, str]:
        return f"{self.account.user_id} is not signed in at the moment.", "See `heliograph status` for the reason."
