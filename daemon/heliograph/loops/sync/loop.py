"""The turns of one account's sync.

    /sync -> to-device events into crypto.db -> decrypted -> gaps filled -> room facts -> plan -> ledger -> /sync

Nothing is acknowledged that is not on disk, so a kill at any point loses nothing: the homeserver sends it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Sync
from heliograph.errors import AnswerTooLarge, BadAnswer, LoggedOut, Refused, ServerError, StorageError, UserError
from heliograph.loops.sync.commits import Commits
from heliograph.loops.sync.contact import Contact
from heliograph.loops.sync.facts import SyncFacts
from heliograph.loops.sync.keeping import Keeping
from heliograph.loops.sync.listener import SyncListener
from heliograph.loops.sync.mode import ListingHistory, ModeKeeper
from heliograph.loops.sync.planner import SyncPlanner
from heliograph.loops.sync.polling import Poller
from heliograph.loops.sync.pruning import Pruning
from heliograph.loops.sync.recovery import Recovery
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.loops.sync.settings import SyncSettings
from heliograph.loops.sync.sign_out import SignOutCheck
from heliograph.loops.sync.starting import Starter
from heliograph.loops.sync.trouble import Stale, SyncTrouble
from heliograph.loops.sync.waiting import Waiting
from heliograph.ports.encryption import Encryption
from heliograph.ports.homeserver import Homeserver, SyncRequest
from heliograph.ports.ledger import Ledger
from heliograph.ports.notices import Troubles
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

HASTY_MS = 1000
"""An answer to a poll that comes sooner did not wait for news."""


class SyncLoop:
    """One account's loop. `run` ends when the account is signed out, or is cancelled."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        encryption: Encryption,
        settings: SyncSettings,
        listener: SyncListener,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        troubles: Troubles,
        is_listing: Callable[[], bool],
        is_network_up: Callable[[], bool] = lambda: True,
        limit_poll: Callable[[float], float] = lambda poll_s: poll_s,
    ) -> None:
        """`clock` gives milliseconds since 1970, `jitter` numbers in [0, 1). `is_listing` says whether the homeserver
        has reason to list what rings, `is_network_up` whether the network is, as far as anybody knows: True also if
        nobody does. `limit_poll` says how long a poll may be that is to take so many seconds, in seconds as well."""
        self._homeserver = homeserver
        self._listener = listener
        self._clock = clock
        self._jitter = jitter
        self._mode = ModeKeeper(homeserver, clock)
        self._listing = ListingHistory(is_listing)
        self._contact = Contact(homeserver.user_id, clock)
        self._pruning = Pruning(ledger, clock, settings.history_days)
        self._trouble = SyncTrouble(homeserver.user_id.partition(":")[2], troubles, _loop_time, is_network_up)
        self._waiting = Waiting(jitter, self._show_life)
        self._rulebook = rulebook = Rulebook(homeserver.user_id)
        planner = SyncPlanner(
            homeserver,
            ledger,
            encryption,
            rulebook,
            self._mode,
            clock=clock,
            on_progress=listener.alive,
            on_trouble=troubles.tell,
            privacy=settings.privacy,
        )
        self._commits = Commits(
            ledger,
            planner,
            rulebook,
            Keeping(ledger, encryption, troubles.tell),
            self._contact.catching_up,
            listener,
            clock=clock,
            on_written=self._trouble.note_written,
        )
        self._starter = Starter(homeserver, self._commits, rulebook, planner, clock=clock, on_progress=listener.alive)
        self._poller = Poller(homeserver, self._commits, rulebook, self._contact, lambda: limit_poll(settings.poll_s))
        self._recovery = Recovery(
            self._contact, self._waiting, self._trouble, self._mode, self._commits, settings.poll_s
        )
        self._sign_out = SignOutCheck(
            homeserver.whoami,
            self._waiting.sleep,
            self._trouble.note,
            jitter=jitter,
            interval_s=settings.sign_out_interval_s,
        )

    @property
    def facts(self) -> SyncFacts:
        """What the loop knows of its account now."""
        return SyncFacts(
            self._contact.connection.state,
            self._mode.features,
            self._mode.known_mode,
            self._mode.reason,
            self._commits.account,
            self._commits.last_sync_ms,
            self._rulebook.problem,
        )

    # From other loops

    def take_pusher_switch(self, *, is_enabled: bool) -> None:
        """Another client switched our pusher on or off: this holds from the next plan on."""
        self._commits.take_pusher_switch(is_enabled=is_enabled)

    async def nudge(self, why: str) -> None:
        """The network came up or the machine woke: leaves the back-off, drops sockets that may be dead, syncs at
        once."""
        log.info("%s: asking %s again at once", why, self._homeserver.user_id)
        self._waiting.nudge()
        await self._homeserver.drop_connections()

    async def unlock(self, keys: Collection[RoomKey]) -> None:
        """Takes room keys that came from elsewhere than a sync: what waits for them says now what was written."""
        await self._commits.unlock(keys)

    async def collect(self) -> bool:
        """Ends a poll that waits, and syncs until nothing new comes.

        Returns True if everything on the server at the time of the call is committed and acknowledged.
        """
        with self._contact.collecting.joined() as granted:
            self._waiting.nudge()
            self._poller.end_poll()
            return await granted

    # Turns

    async def run(self) -> LoggedOut:
        """Returns when the homeserver no longer knows the access token, which was confirmed, and only then. Raises
        UserError if the ledger is damaged."""
        try:
            return await keep_running("sync", self._run, ends_with=(UserError,), clock=self._clock, jitter=self._jitter)
        finally:
            self._contact.collecting.refuse()

    async def _run(self) -> LoggedOut:
        is_loaded = False
        # Before the ledger is read: a disk that gives nothing is an outage as well.
        self._trouble.begin()
        while True:
            try:
                if not is_loaded:
                    await self._commits.load()
                    is_loaded = True
                await self._turn()
            except LoggedOut as gone:
                confirmed = await self._check_sign_out(gone)
                if confirmed is not None:
                    return confirmed
            except (ServerError, StorageError) as trouble:
                await self._recovery.wait_out(trouble)
            except UserError:
                # The ledger is damaged: trying again does not mend it.
                raise
            except Exception as fault:
                # A fault of our own must neither end the daemon nor spin. Nothing was acknowledged: nothing is lost.
                log.exception("Unexpected fault in the sync loop")
                await self._recovery.wait_out(fault)
            # After failures, too: the loop lives, and the watchdog has to see that.
            self._listener.alive()

    async def _check_sign_out(self, gone: LoggedOut) -> LoggedOut | None:
        """The sign-out, once it is confirmed. None if the device is still signed in: then the loop goes on."""
        user_id = self._homeserver.user_id
        self._contact.lose(f"checking whether {user_id} was signed out")
        confirmed = await self._sign_out.confirm(gone)
        if confirmed is None:
            await self._recovery.wait_out(BadAnswer(200, f"took {user_id} for signed out, and knows its access token"))
        else:
            self._contact.connection.signed_out(confirmed)
        return confirmed

    async def _turn(self) -> None:
        # Before the request, which is planned by this mode.
        await self._mode.refresh()
        if self._commits.account.next_batch is None:
            await self._starter.start(self._waiting.failures)
        self._listing.note_request()
        # Only those who wait before the request is made: for the others its answer may be too old.
        waiters = self._contact.collecting.waiters
        request = await self._poller.request(is_hurried=bool(waiters))
        asked_ms = self._clock()
        sync = await self._ask(request)
        if sync is None:
            return
        self._trouble.note_answer()
        took_ms = abs(self._clock() - asked_ms)
        is_news = await self._commits.take(sync, is_listing=self._listing.is_unbroken)
        if (left_out := await self._poller.receipts_left_out(request, sync)) is not None:
            await self._commits.take(left_out, is_listing=False)
        has_moved = sync.next_batch != request.since
        self._note_turn(has_moved=has_moved)
        # After the commit. That its token is acknowledged shows in the next answer only, which must bring nothing new.
        self._contact.collecting.grant(waiters, has_more=has_moved)
        await self._pruning.prune_daily()
        # Only a poll says whether waiting for news works. Hurried requests return at once on any homeserver.
        if request.timeout_ms:
            await self._note_poll(is_hasty=took_ms < HASTY_MS, is_news=is_news and has_moved, has_moved=has_moved)

    async def _ask(self, request: SyncRequest) -> Sync | None:
        """Makes the request; None: it has no answer, and it is worth making another one at once."""
        try:
            return await self._poller.ask(request)
        except AnswerTooLarge:
            if not self._poller.shrink():
                await self._start_anew(Refused(400, "", "the answer stays too large"))
        except Refused as refusal:
            await self._start_anew(refusal)
        return None

    async def _start_anew(self, refusal: Refused) -> None:
        await self._starter.start_anew(refusal, self._waiting.failures)

    def _note_turn(self, *, has_moved: bool) -> None:
        if self._contact.catching_up.note_sync(has_more=has_moved):
            self._listener.caught_up()
        self._poller.widen()
        self._waiting.note_turn()
        self._contact.connection.connected(self._mode.mode.value, self._mode.reason)

    async def _note_poll(self, *, is_hasty: bool, is_news: bool, has_moved: bool) -> None:
        if has_moved or not is_hasty:
            self._trouble.note_poll()
        else:
            # A homeserver waits for news. The cache of a proxy may answer the same for ever.
            self._trouble.note(Stale("each answer comes at once, with nothing new"))
        if is_hasty and not is_news:
            await self._waiting.pause()
        else:
            self._waiting.note_poll()

    def _show_life(self) -> None:
        self._listener.alive()
        self._trouble.look()


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
