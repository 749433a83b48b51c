"""One account while it is signed in, from the access token to the sign-out.

Everything here is made anew with each sign-in, and again after a fault; `app.account` has what lasts longer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from heliograph.app.access_tokens import open_tokens
from heliograph.app.account_clients import make_clients, open_machine, open_relay
from heliograph.app.account_loops import AccountLoops
from heliograph.app.account_status import compose_status
from heliograph.app.services import AccountServices
from heliograph.core.connection import ConnectionState
from heliograph.core.popups.actions import ActionRequest
from heliograph.core.pushers.handoff import Signs
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus
from heliograph.encryption.identity.device_trust import DeviceTrust
from heliograph.encryption.olm.machine import Machine
from heliograph.errors import LoggedOut, StorageError, UserError
from heliograph.loops.handoff.loop import HandoffLoop
from heliograph.ports.gateways import PushRelay
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets.secret import Secret
from heliograph.store.sign_out_file import forget_sign_out
from heliograph.system.clock import now_ms
from heliograph.system.tasks import start, start_beside

LAST_ACTION_S = 2.0
"""How long the end waits for what the user wanted done: a reply that was just typed."""
NOT_TOLD = "no token for it; set it again: heliograph fallback set ... --relay URL"
"""Why the relay is not told what was shown."""


@contextlib.asynccontextmanager
async def open_signed_in(services: AccountServices, secret: Secret) -> AsyncIterator[SignedInAccount]:
    """The account, signed in as `secret` says. Its keys and connections are closed with the block, the newest first.

    Raises UserError if its keys or tokens cannot be read.
    """
    async with open_machine(services, secret) as machine, open_relay(services, secret) as relay:
        tokens = await open_tokens(services.account, secret)
        signed_in = SignedInAccount(services, tokens, machine, relay)
        try:
            yield signed_in
        finally:
            await signed_in.close()


class SignedInAccount:
    """`run` syncs until the sign-out, `close` ends all that runs beside it. `relay` is one that is a gateway only."""

    def __init__(
        self, services: AccountServices, tokens: AccessTokens, machine: Machine, relay: PushRelay | None
    ) -> None:
        self._services = services
        self._clients = make_clients(services, tokens, machine, relay, on_logged_out=self._check_token)
        self._loops = AccountLoops(services, self._clients, on_turn=self._take_turn)
        self.fetch_picture = self._clients.media.thumbnail
        self._tasks: list[asyncio.Task[Any]] = []
        self._token_check: asyncio.Task[object] | None = None
        """Asks whether the access token is still good."""
        self._was_connected = False

    # What is known of it

    @property
    def connection(self) -> ConnectionState:
        """How the account stands with its homeserver."""
        return self._loops.sync.facts.connection

    @property
    def last_sync_ms(self) -> int | None:
        """When the latest sync of this sign-in was committed, in milliseconds since 1970; None: there was none."""
        return self._loops.sync.facts.last_sync_ms

    @property
    def handoff(self) -> HandoffLoop:
        return self._loops.handoff

    @property
    def trust(self) -> DeviceTrust:
        return self._loops.trust

    @property
    def status(self) -> AccountStatus:
        """The account's part of `heliograph status`, from its loops."""
        loops = self._loops
        return compose_status(
            self._services.account,
            loops.sync.facts,
            loops.pushers,
            loops.handoff.state,
            loops.trust.standing,
            self._tell_relay(),
            None if (left_s := self._clients.tokens.left_s()) is None else now_ms() + round(1000 * left_s),
        )

    def _tell_relay(self) -> str:
        """What became of telling the relay, in words for the user."""
        if self._loops.acknowledgements is not None:
            return self._loops.acknowledgements.state
        return NOT_TOLD if self._services.shared.config.fallback.relay else "none"

    # From the daemon

    async def run(self) -> LoggedOut:
        """Runs until the homeserver has confirmed that this device is signed out, or until it is cancelled.

        Raises UserError if only the user can mend what is wrong.
        """
        loops = self._loops
        with contextlib.suppress(StorageError):
            # What could not be read before the start may be in the key backup by now.
            loops.trust.want({each.key for each in await self._services.ledger.locked_events(None)})
        beside = (
            *(loops.pushers, loops.handoff, loops.keys, loops.trust, loops.mutes),
            *(loops.acknowledgements, loops.renewal),
        )
        self._tasks += [start(each.run(), name=type(each).__name__) for each in beside if each is not None]
        try:
            return await loops.sync.run()
        except UserError:
            await loops.handoff.give_back()
            raise

    async def close(self) -> None:
        """What the user has asked for gets two seconds; then every loop and every connection ends."""
        # Before the tasks and the connections end, which an action under way needs.
        await self._loops.actions.finish(LAST_ACTION_S)
        tasks = self._tasks if self._token_check is None else [*self._tasks, self._token_check]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._clients.session.close()

    def take_signs(self, signs: Signs) -> None:
        """Takes new signs of whether the user is here."""
        self._loops.handoff.take_signs(signs)
        if self._loops.acknowledgements is not None:
            # At once: a relay that counts on a user who has left holds back what the phone should ring for.
            self._loops.acknowledgements.wake()

    def take_rang(self, rung: Sequence[Delivery]) -> None:
        """Takes the deliveries that were shown for the first time just now."""
        self._loops.acknowledge([each.event_id for each in rung])

    async def nudge(self, why: str) -> None:
        """The network or the machine came back."""
        # After sleep a mute may be over for hours.
        self._loops.mutes.look()
        await self._loops.sync.nudge(why)

    async def do(self, request: ActionRequest) -> None:
        """Returns when it is done. Raises UserError if it is not."""
        await self._loops.actions.do(request)

    def take_request(self, request: ActionRequest) -> None:
        """Has the user's request done beside the loops, and tells the user if that does not work."""
        self._loops.actions.take(request)

    # From clients and loops

    def _check_token(self) -> None:
        """Some request was told that the access token is no longer good: the sync is to find out at once, and alone
        decides, since that is the account's matter. To every other loop it is one more answer to wait out.

        Tests: test_a_token_that_only_a_side_request_is_refused_ends_nothing,
        test_a_token_that_a_side_request_is_refused_is_asked_about_at_once.
        """
        if self._token_check is None or self._token_check.done():
            self._token_check = start_beside(self._loops.sync.collect(), name="asking whether the token is good")

    def _take_turn(self) -> None:
        self._services.shared.watchdog.beat(self._services.account.user_id)
        if self._loops.is_connected:
            self._note_connected()
            self._loops.turn()
        self._services.shared.on_change()

    def _note_connected(self) -> None:
        if not self._was_connected:
            self._was_connected = True
            forgetting = asyncio.to_thread(forget_sign_out, self._services.account.user_id)
            start_beside(forgetting, name="forgetting a sign-out")
