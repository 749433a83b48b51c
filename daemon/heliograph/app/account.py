"""The wiring of one account: its stores, its session, its loops, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from heliograph.accounts import Account, device_name, state_folder
from heliograph.app.daemon_api import AccountHandle
from heliograph.app.keyring_wait import KeyringWait
from heliograph.app.sync_listener import AccountSyncListener
from heliograph.app.watchdog import Watchdog
from heliograph.config import Config
from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey
from heliograph.core.outage import ABOUT_SYNC
from heliograph.core.popups.actions import ActionRequest, word_failure
from heliograph.core.popups.bursts import SoundGate
from heliograph.core.pushers.fallback import fallback_pusher
from heliograph.core.pushers.handoff import HandoffSettings, Signs
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus, Connection, DaemonStatus
from heliograph.desktop.decoder import Decoder
from heliograph.desktop.pictures import PictureCache
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.identity.senders import Senders
from heliograph.encryption.olm.key_files import set_aside
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.sending import RoomSender
from heliograph.errors import (
    EXIT_CONFIG,
    EXIT_NEEDS_LOGIN,
    LoggedOut,
    StorageError,
    UserError,
)
from heliograph.gateways.relay import PushRelayClient
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.media import Media
from heliograph.homeserver.network import has_route
from heliograph.homeserver.room_actions import RoomActionsClient
from heliograph.homeserver.rooms import RoomsClient
from heliograph.homeserver.session import Session
from heliograph.loops.acknowledgements import AcknowledgementLoop
from heliograph.loops.actions import ActionRunner
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.delivery.notices import Notices
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.loops.handoff import HandoffLoop
from heliograph.loops.keys import KeyLoop
from heliograph.loops.mutes import MuteLoop
from heliograph.loops.pushers import PusherLoop, own_pusher
from heliograph.loops.quiet import QuietLoop
from heliograph.loops.replies import ReplySender
from heliograph.loops.sync import SyncLoop, SyncSettings
from heliograph.ports.desktop import Desktop, Opener
from heliograph.ports.encryption import Encryption
from heliograph.ports.secrets import SecretStore
from heliograph.ports.troubles import Troubles
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from heliograph.store.ledger import SqliteLedger
from heliograph.store.sign_out_file import SignOut, forget_sign_out, note_sign_out
from heliograph.system import systemd
from heliograph.system.clock import now_ms
from heliograph.system.tasks import keep_running, listed_in, start, start_beside

log = logging.getLogger(__name__)

LAST_WORDS_S = 10.0
"""How long a notice about the end of an account may take to be shown."""
LAST_OUTCOME_S = 3.0
"""How long a stop waits for the answer of the notification server that is under way."""
LAST_ACTION_S = 2.0
"""How long a stop waits for what the user wanted done: a reply that was just typed."""
STUCK_MS = 60_000
UNEXPECTED = "an unexpected fault, see the log"
"""Why an account is offline that is started again."""
ABOUT_END = "end"


@dataclass(frozen=True, slots=True)
class SharedServices:
    """What all accounts share."""

    config: Config
    desktop: Desktop
    opener: Opener
    quiet: QuietLoop
    watchdog: Watchdog
    daemon: DaemonStatus
    sign_out_interval_s: float
    gate: SoundGate = field(default_factory=SoundGate)
    """They sound one at a time."""


class AccountRun:
    """One account: its stores, its loops, and how it ended."""

    def __init__(self, account: Account, status: AccountStatus, ledger: SqliteLedger, shared: SharedServices) -> None:
        self.account = account
        self.on_rang: Callable[[Sequence[Delivery]], None] = lambda _: None
        self._config = shared.config
        self._sign_out_interval_s = shared.sign_out_interval_s
        self._ledger = ledger
        self._status = status
        self._watchdog = shared.watchdog
        self._daemon = shared.daemon
        self._pictures = PictureCache(Decoder().decode, clock=now_ms)
        rounds = Rounds(now_ms)
        self._notices = Notices(shared.desktop, account.user_id, rounds.wake)
        self._delivery = DeliveryLoop(
            ledger,
            shared.desktop,
            shared.opener,
            self._notices,
            rounds,
            DeliverySettings(
                account.user_id,
                shared.config.notifications.max_rooms,
                shared.config.log.bodies,
                shared.config.privacy.privacy,
            ),
            clock=now_ms,
            jitter=random.random,
            through=lambda: shared.quiet.through,
            on_change=shared.daemon.note_change,
            on_rang=self._tell_rang,
            on_request=self._take_request,
            gate=shared.gate,
            pictures=self._pictures if shared.config.notifications.avatars else None,
        )
        self._keyring = KeyringWait(
            status,
            self._notices,
            jitter=random.random,
            on_life=self._note_waiting,
            on_change=self._tell_state,
        )
        self._opener = shared.opener
        self._sync: SyncLoop | None = None
        self._asking: asyncio.Task[object] | None = None
        """Whether the access token is still good."""
        self._actions: ActionRunner | None = None
        self._mutes: MuteLoop | None = None
        self._acknowledgements: AcknowledgementLoop | None = None
        self._signs = Signs()
        self._was_connected = False
        self.handoff: HandoffLoop | None = None
        """None while the account is not signed in."""
        self.trust: DeviceTrust | None = None
        """The same."""

    def take_signs(self, signs: Signs) -> None:
        """Whether the user is here."""
        self._signs = signs
        self._delivery.set_locked(signs.is_locked)
        if self.handoff is not None:
            self.handoff.take_signs(signs)
        else:
            self._status.handoff.why_away = signs.why_away
        if self._acknowledgements is not None:
            self._acknowledgements.wake()

    @property
    def troubles(self) -> Troubles:
        """Where trouble is told, also of what all accounts share."""
        return self._notices

    @property
    def handle(self) -> AccountHandle:
        """What answers the user's questions about this account."""
        return AccountHandle(self._status, self._ledger, self._delivery, self._do)

    def say(self, *, is_leaving: bool) -> None:
        """To the daemon that may be started next: whether this one will soon let go of the account."""
        self._ledger.say(is_leaving=is_leaving)

    async def run(self) -> int:
        """Runs the account until it is signed out; the exit code that this calls for. A fault of our own ends neither
        the account nor another one: it starts again, with a new session."""
        with listed_in(self._status.tasks):
            delivery = start(self._delivery.run(), name=f"deliveries of {self.account.user_id}")
            try:
                return await keep_running("account", self._run_once, clock=now_ms)
            finally:
                self._watchdog.release(self.account.user_id)
                self._delivery.finish()
                await asyncio.wait({delivery}, timeout=LAST_OUTCOME_S)
                delivery.cancel()
                await asyncio.gather(delivery, return_exceptions=True)

    async def _run_once(self) -> int:
        try:
            return await self._run_signed_in()
        except UserError as error:
            log.error("%s: %s %s", self.account.user_id, error.title, error.hint)
            self._status.connection, self._status.why = Connection.SIGNED_OUT, error.title
            await self._say_last(error.title, error.hint)
            return error.exit_code
        except Exception:
            self._status.connection, self._status.why = Connection.OFFLINE, UNEXPECTED
            self._tell_state()
            raise
        finally:
            # Until it watches again, nothing is late.
            self._watchdog.release(self.account.user_id)

    async def nudge(self, why: str) -> None:
        """The network or the machine came back."""
        if self._mutes is not None:
            self._mutes.look()
        if self._sync is not None:
            await self._sync.nudge(why)

    def wake(self) -> None:
        """It became quiet, or ceased to be."""
        self._delivery.wake()

    async def _run_signed_in(self) -> int:
        secret = await self._load_secret(open_secrets(self.account.secrets, on_prompt=self._keyring.note_prompt))
        session = Session(
            self.account.homeserver,
            access_token=secret.access_token,
            user_id=self.account.user_id,
            device_id=self.account.device_id,
        )
        session.on_progress = lambda: self._watchdog.beat(self.account.user_id)
        session.on_logged_out = self._take_logged_out
        homeserver = HomeserverClient(session)
        folder = state_folder(self.account.user_id)
        served_before_ms = self._status.last_sync_ms
        try:
            machine = await Machine.open(
                folder, self.account.user_id, self.account.device_id, secret.pickle_key, now_ms=now_ms()
            )
            try:
                async with self._open_relay(secret) as acknowledgements:
                    self._acknowledgements = acknowledgements
                    gone = await self._turn_loops(homeserver, session, machine)
            finally:
                await machine.close()
        finally:
            self._acknowledgements = None
            self._pictures.source = None
            await self._pictures.close()
            await homeserver.close()
        if not gone.soft:
            # The device is no more: what was encrypted for it must not outlive it by more than a day.
            was_in_use = self._status.last_sync_ms != served_before_ms
            await asyncio.to_thread(set_aside, folder, self.account.device_id, now_ms(), was_in_use=was_in_use)
        return await self._end(gone)

    async def _turn_loops(self, homeserver: HomeserverClient, session: Session, machine: Machine) -> LoggedOut:
        keys = KeysClient(session)
        self._pictures.source = Media(session).thumbnail
        self._watchdog.watch(self.account.user_id, lambda: self._delivery.is_stuck(now_ms(), STUCK_MS))
        key_loop = KeyLoop(keys, machine, clock=now_ms, jitter=random.random, on_trouble=self._notices.tell)
        trust = DeviceTrust(
            keys,
            machine,
            clock=now_ms,
            tell=self._notices.tell,
            ask=self._notices.ask,
            withdraw=self._notices.withdraw,
            on_standing=self._note_standing,
            on_room_keys=self._unlock,
        )
        self._sync = sync = SyncLoop(
            homeserver,
            self._ledger,
            self._encryption(machine, keys),
            self._status,
            SyncSettings(
                self._config.sync.poll_seconds,
                self._config.history.days,
                self._config.privacy.privacy,
                self._sign_out_interval_s,
            ),
            AccountSyncListener(self._delivery, key_loop, trust, on_silent=self._tell_silent, on_alive=self._beat),
            clock=now_ms,
            jitter=random.random,
            troubles=self._notices,
            is_network_up=lambda: has_route(self.account.homeserver),
        )
        own = own_pusher(self.account.pushkey, device_name())
        fallback = self._config.fallback.fallback
        lock = asyncio.Lock()
        sender = RoomSender(keys, machine, self._config.encryption.send_to)
        replies = ReplySender(RoomsClient(session), self._ledger, sender)
        rooms = RoomActionsClient(session)
        self._mutes = mutes = MuteLoop(rooms, self._ledger, clock=now_ms, jitter=random.random)
        self._actions = actions = ActionRunner(
            rooms,
            self._notices,
            self._delivery,
            self._opener,
            reply=replies.reply,
            mute=mutes.mute,
            has_public_receipts=self._config.actions.receipts == "public",
        )
        self.handoff = handoff = HandoffLoop(
            homeserver,
            self._ledger,
            self._status,
            _handoff_settings(self._config),
            own.key,
            lock,
            collect=sync.collect,
            rest=self._delivery.rest,
            hush=self._hush,
        )
        handoff.take_signs(self._signs)
        self._pusher = PusherLoop(
            homeserver,
            self._ledger,
            self._status,
            own,
            clock=now_ms,
            jitter=random.random,
            on_switch=lambda is_enabled: sync.take_pusher_switch(is_enabled=is_enabled),
            fallback=fallback_pusher(fallback, device_name()) if fallback is not None else None,
            lock=lock,
            on_pushers=handoff.take_pushers,
            troubles=self._notices,
        )
        self.trust = trust
        await self._want_locked(trust)
        loops = (self._pusher, handoff, key_loop, trust, mutes)
        beside: list[asyncio.Task[Any]] = [start(each.run(), name=type(each).__name__) for each in loops]
        if self._acknowledgements is not None:
            beside.append(start(self._acknowledgements.run(), name="acknowledgements"))
        try:
            return await sync.run()
        except UserError:
            await handoff.give_back()
            raise
        finally:
            self._sync = self.handoff = self.trust = self._actions = self._mutes = None
            await actions.finish(LAST_ACTION_S)
            if self._asking is not None:
                beside.append(self._asking)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _take_logged_out(self) -> None:
        """Some request was told that the access token is no longer good: the sync is to find out at once, and alone
        decides. All others take it for trouble that may pass."""
        if self._sync is not None and (self._asking is None or self._asking.done()):
            self._asking = start_beside(self._sync.collect(), name="asking whether the token is good")

    async def _do(self, request: ActionRequest) -> None:
        if self._actions is None:
            raise UserError(*self._not_signed_in())
        await self._actions.do(request)

    def _take_request(self, request: ActionRequest) -> None:
        if self._actions is not None:
            self._actions.take(request)
            return
        notice = word_failure(request, *self._not_signed_in(), self.account.user_id)
        self._notices.ask(f"not signed in {request}", replace(notice, actions=()), lambda _: None)

    def _not_signed_in(self) -> tuple[str, str]:
        return f"{self.account.user_id} is not signed in at the moment.", "See `heliograph status` for the reason."

    def _encryption(self, machine: Machine, keys: KeysClient) -> Encryption:
        policy = self._config.encryption.unverified_senders
        return machine if policy == "show" else Senders(machine, machine, keys, policy, clock=now_ms)

    async def _want_locked(self, trust: DeviceTrust) -> None:
        """What could not be read before the start may be in the key backup by now."""
        with contextlib.suppress(StorageError):
            trust.want({each.key for each in await self._ledger.locked_events(None)})

    async def _unlock(self, room_keys: Collection[RoomKey]) -> None:
        if self._sync is not None:
            await self._sync.unlock(room_keys)

    def _note_standing(self, standing: Standing) -> None:
        self._status.standing = standing.value

    def _hush(self, is_hushed: bool) -> None:
        while_away = self._config.handoff.while_away
        self._delivery.hush(while_away if is_hushed else "ring")

    def _beat(self) -> None:
        self._watchdog.beat(self.account.user_id)
        if self._status.connection is Connection.CONNECTED:
            if not self._was_connected:
                self._was_connected = True
                forgetting = asyncio.to_thread(forget_sign_out, self.account.user_id)
                start_beside(forgetting, name="forgetting a sign-out")
            self._pusher.turn()
            if self.handoff is not None:
                self.handoff.turn()
            if self.trust is not None:
                self.trust.turn()
            if self._acknowledgements is not None:
                self._acknowledgements.turn()
        self._tell_state()

    def _tell_rang(self, rung: Sequence[Delivery]) -> None:
        self.on_rang(rung)
        if self._acknowledgements is not None:
            self._acknowledgements.take(each.event_id for each in rung)

    def _tell_silent(self, event_ids: Sequence[EventKey]) -> None:
        if self._acknowledgements is not None:
            self._acknowledgements.take(event_ids)

    @contextlib.asynccontextmanager
    async def _open_relay(self, secret: Secret) -> AsyncIterator[AcknowledgementLoop | None]:
        """None: the fallback goes through no relay that is a gateway only."""
        url = self._config.fallback.relay
        if not url:
            yield None
            return
        if not secret.relay_token:
            log.warning("%s has no token for the relay %s: other devices ring, too", self.account.user_id, url)
            self._status.handoff.relay = "no token for it; set it again: heliograph fallback set ... --relay URL"
            yield None
            return
        async with PushRelayClient(url, secret.relay_token, self.account.device_id) as relay:
            yield AcknowledgementLoop(relay, self._status, clock=now_ms, jitter=random.random, troubles=self._notices)

    def _tell_state(self) -> None:
        self._daemon.note_change()
        summary = self._daemon.summary
        if summary != self._daemon.told_systemd:
            self._daemon.told_systemd = summary
            systemd.status(summary)

    def _note_waiting(self) -> None:
        """For its user: nothing that the watchdog waits for is late."""
        self._watchdog.release(self.account.user_id)
        self._watchdog.beat(self.account.user_id)

    async def _load_secret(self, store: SecretStore) -> Secret:
        with contextlib.suppress(StorageError):
            # What is told while it waits: the sync loop has not looked into the ledger yet.
            self._status.last_sync_ms = (await self._ledger.account()).last_sync_ms
        text = await self._keyring.load(store)
        if text is None:
            raise UserError(
                f"The access token of {self.account.user_id} is gone from the {store.name}.",
                f"Log in again: heliograph login {self.account.user_id}",
                exit_code=EXIT_NEEDS_LOGIN,
            )
        return decode_secret(self.account.user_id, text)

    async def _end(self, gone: LoggedOut) -> int:
        user_id = self.account.user_id
        how = SignOut.SOFTLY if gone.soft else SignOut.FOR_GOOD
        await asyncio.to_thread(note_sign_out, self.account, how)
        if gone.soft:
            log.error("%s was signed out softly: its device waits for a new login", user_id)
            await self._say_last("Sign in again to get messages", f"Run: heliograph login {user_id}")
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


def _handoff_settings(config: Config) -> HandoffSettings:
    fallback = config.fallback.fallback
    return HandoffSettings(
        mode=config.handoff.mode,
        while_away=config.handoff.while_away,
        quiet=config.handoff.quiet,
        fallback=(fallback.app_id, fallback.pushkey) if fallback is not None else None,
    )
