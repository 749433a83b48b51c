"""Carries on the verifications with the user's other devices, and what follows when one is done.

Only the user's own devices are heard. If nobody here asked for a verification, another device's request is agreed to
only while this device is unverified, and only if the user's identity vouches for that device: a new client asks all
devices to verify the client itself, which is not for the daemon to do.
Tests: test_once_verified_we_leave_requests_to_others, test_a_device_that_nobody_vouches_for_is_left_alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from heliograph.core.encryption.trust import OwnKeys, Standing
from heliograph.core.encryption.values import Received
from heliograph.core.encryption.verification import Phase, Verification
from heliograph.core.encryption.verification_events import PREFIX, Message, Request, read_request, transaction_of
from heliograph.encryption.identity.cross_signing import CrossSigning, SigningDevice
from heliograph.encryption.identity.sas import SasAgreement
from heliograph.encryption.identity.secret_request import SEND, SecretRequest
from heliograph.encryption.identity.standing_check import StandingCheck
from heliograph.encryption.identity.views import View, Views
from heliograph.errors import AccountLocked, LoggedOut, ServerError, StorageError, Unreachable, UserError
from heliograph.ports.homeserver import Keys
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

MOST_OPEN = 3
MOST_WAITING = 200
"""Events and wishes that wait for their turn; more are dropped."""
MOST_ASKED = 50
"""Devices."""
TICK_S = 15.0
ATTEMPTS = 3


class Verifications:
    """The verifications of one account. `run` does the work, step by step; the other methods queue a step and return at
    once."""

    def __init__(
        self,
        keys: Keys,
        vault: SigningDevice,
        cross_signing: CrossSigning,
        secret_request: SecretRequest,
        *,
        clock: Callable[[], int],
        make_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_view: Callable[[View], None] = lambda view: None,
        on_standing: Callable[[Standing], None] = lambda standing: None,
        on_look_failed: Callable[[], None] = lambda: None,
        on_backup_key: Callable[[], None] = lambda: None,
    ) -> None:
        self._keys = keys
        self._vault = vault
        self._own = vault.identity
        self._cross_signing = cross_signing
        self._secret_request = secret_request
        self._clock = clock
        self._make_id = make_id
        self._sleep = sleep
        self._on_standing = on_standing
        self._on_backup_key = on_backup_key
        self._work: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MOST_WAITING)
        self._open: dict[str, tuple[Verification, OwnKeys]] = {}
        self._views = Views(on_view)
        self._standing = StandingCheck(
            cross_signing, secret_request, sleep=sleep, on_standing=on_standing, on_failed=on_look_failed
        )
        self._is_wanted = False
        self._is_look_waiting = False

    # What others say

    def offer(self, received: Received) -> None:
        """Takes a to-device event if it belongs to a verification or answers our request for a secret."""
        # Verifying other people is for clients in which one talks to them.
        if received.sender != self._own.user_id:
            return
        if received.type.startswith(PREFIX):
            self._later(lambda: self._take(received.type.removeprefix(PREFIX), received))
        # In clear, anybody at the homeserver could have written it.
        elif received.type == SEND and received.is_encrypted:
            self._later(lambda: self._take_secret(received))

    def want(self, *, is_wanted: bool) -> None:
        """Somebody sits at a terminal and waits for a verification, whoever asks for it."""
        self._is_wanted = is_wanted

    async def ask(self) -> str:
        """Asks the user's other devices, all at once; the transaction's id. Raises ServerError and UserError."""
        own = await self._cross_signing.own_keys()
        others = [device_id for device_id in own.devices if device_id != self._own.device_id]
        # Whom the identity vouches for can have it vouch for us.
        able = [device_id for device_id in others if device_id in own.signed] or others
        if not able:
            raise UserError(
                "You have no other device that could verify this one.",
                "Use the recovery key: heliograph verify --recovery-key",
            )
        self._is_wanted = True
        verification = self._make(self._make_id(), own)
        await self._send(verification, verification.request(tuple(sorted(able)[:MOST_ASKED]), self._clock()))
        self._views.show(verification)
        return verification.transaction_id

    def answer(self, transaction_id: str, *, is_same: bool) -> None:
        """The user says whether the emoji of this verification are the same on both devices."""
        self._later(lambda: self._answer(transaction_id, is_same=is_same))

    def cancel(self, transaction_id: str) -> None:
        """The user ends this verification."""
        self._later(lambda: self._cancel(transaction_id))

    def look(self) -> None:
        """Has the homeserver asked how this device stands, unless that waits to be done already."""
        if not self._is_look_waiting:
            self._is_look_waiting = self._later(self._look)

    def view(self, transaction_id: str | None = None) -> View | None:
        """The verification as it stands; without an id the one that last changed."""
        return self._views.find(transaction_id)

    async def run(self) -> None:
        """Runs until cancelled. A failure ends the step that was under way, and nothing else."""
        try:
            await keep_running("verifications", self._run, clock=self._clock)
        finally:
            self._standing.stop()

    async def _run(self) -> None:
        while True:
            work = await self._next()
            try:
                await work()
            except (LoggedOut, AccountLocked) as gone:
                # The loop that syncs tells of both.
                log.info("Verification: %s", gone)
            except (ServerError, StorageError, UserError) as trouble:
                log.warning("Verification: %s", trouble)
            except Exception:
                # One event that finds a fault of ours must not hold up what follows it.
                log.exception("Unexpected fault in a step of a verification, which is passed over")

    async def _next(self) -> Callable[[], Awaitable[None]]:
        try:
            async with asyncio.timeout(TICK_S if self._open else None):
                return await self._work.get()
        except TimeoutError:
            return self._expire

    def _later(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Queues a step; returns False if too many wait already."""
        try:
            self._work.put_nowait(work)
        except asyncio.QueueFull:
            log.warning("Too much is said about verifications: passed over some of it")
            return False
        return True

    # One at a time

    async def _take(self, type_: str, received: Received) -> None:
        if type_ == "request":
            request = read_request(received.content, self._clock())
            if request is not None:
                await self._take_request(request)
            return
        transaction_id = transaction_of(received.content)
        entry = self._open.get(transaction_id) if transaction_id is not None else None
        if entry is None:
            log.debug("Passed over m.key.verification.%s of no open verification", type_)
            return
        verification, _ = entry
        await self._go_on(verification, verification.receive(type_, received.content))

    async def _take_request(self, request: Request) -> None:
        # Each open one costs keys and waits for ten minutes, and requests cost their sender nothing.
        if request.transaction_id in self._open or len(self._open) >= MOST_OPEN:
            return
        if request.from_device == self._own.device_id:
            return
        own = await self._cross_signing.own_keys()
        if not self._is_wanted:
            standing = await self._cross_signing.judge(own)
            self._on_standing(standing)
            if standing is Standing.VERIFIED or request.from_device not in own.signed:
                log.info("Left a verification request of another device alone")
                return
        verification = self._make(request.transaction_id, own)
        await self._go_on(verification, verification.ready(request.from_device))

    def _make(self, transaction_id: str, own: OwnKeys) -> Verification:
        verification = Verification(transaction_id, self._own, own.known, self._clock(), SasAgreement)
        self._open[transaction_id] = (verification, own)
        return verification

    async def _answer(self, transaction_id: str, *, is_same: bool) -> None:
        if (entry := self._open.get(transaction_id)) is not None:
            verification, _ = entry
            await self._go_on(verification, verification.confirm() if is_same else verification.differ())

    async def _cancel(self, transaction_id: str) -> None:
        if (entry := self._open.get(transaction_id)) is not None:
            await self._go_on(entry[0], entry[0].cancel())

    async def _expire(self) -> None:
        for verification, _ in list(self._open.values()):
            await self._go_on(verification, verification.expire(self._clock()))

    async def _go_on(self, verification: Verification, messages: list[Message]) -> None:
        is_done = verification.phase is Phase.DONE
        try:
            if is_done:
                # Pinned before the other device is told that we are done, since its next steps rely on that.
                await self._pin(verification)
            await self._send(verification, messages)
        finally:
            self._views.show(verification)
            if verification.is_over and verification.transaction_id in self._open:
                _, own = self._open.pop(verification.transaction_id)
                if is_done:
                    self._is_wanted = False
                    self._standing.follow(own.devices[str(verification.other)])
                    # Two clients may have asked at once: the user has compared
                    # with one, and the other goes on showing its question.
                    await self._end_others()

    async def _end_others(self) -> None:
        for verification, _ in list(self._open.values()):
            await self._go_on(verification, verification.cancel())

    async def _pin(self, verification: Verification) -> None:
        _, own = self._open[verification.transaction_id]
        if verification.is_master_confirmed and own.master is not None:
            await self._cross_signing.pin(own.master)

    async def _send(self, verification: Verification, messages: list[Message]) -> None:
        for message in messages:
            contents = dict.fromkeys(message.devices, message.content)
            # One for all attempts, so that the homeserver passes the message on once.
            transaction_id = self._make_id()
            for attempt in range(ATTEMPTS):
                try:
                    await self._keys.send_to_device(message.type, {self._own.user_id: contents}, transaction_id)
                    break
                except Unreachable:
                    if attempt == ATTEMPTS - 1:
                        verification.cancel("m.timeout")
                        raise
                    await self._sleep(1.0 + attempt)
                except ServerError:
                    verification.cancel("m.timeout")
                    raise

    async def _take_secret(self, received: Received) -> None:
        if await self._secret_request.take(received):
            self._on_backup_key()

    async def _look(self) -> None:
        # What changes from now on needs another look.
        self._is_look_waiting = False
        await self._standing.look()
