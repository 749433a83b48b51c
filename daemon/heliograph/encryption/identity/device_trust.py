"""One account's trust: how its device stands, how it is verified, and which room keys the backup gives.

The homeserver is asked how the device stands when a sync says that the user's own devices changed, and every six hours.
A user without an identity is not told to verify: who encrypts nothing need not be told, and `status` says it.
Tests: test_the_homeserver_is_asked_seldom, test_who_has_no_identity_is_not_bothered.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from heliograph.core.encryption.emoji import in_words
from heliograph.core.encryption.trust import Standing, explain_standing
from heliograph.core.encryption.values import Received, Rejected, RoomKey
from heliograph.core.encryption.verification import Phase
from heliograph.core.notification import Action, Category, Notification, Urgency
from heliograph.encryption.identity.cross_signing import CrossSigning
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.restoration import Restoration
from heliograph.encryption.identity.secret_request import SecretRequest
from heliograph.encryption.identity.secret_storage import SecretStorage
from heliograph.encryption.identity.verifications import Verifications
from heliograph.encryption.identity.views import View
from heliograph.encryption.olm.machine import Machine
from heliograph.errors import EXIT_USAGE, StorageError, UserError
from heliograph.ports.homeserver import Keys
from heliograph.ports.notices import Notices
from heliograph.system.tasks import going_on, keep_running, together

log = logging.getLogger(__name__)

LOOK_AGAIN_MS = 6 * 3_600_000
"""How often the homeserver is asked how the device stands, when nothing has happened."""
AFTER_FAILURE_MS = 60_000
"""How soon it is asked again if it did not tell."""
TOLD = "told standing"
"""The machine's name for what the user was last told: once is enough, also over restarts."""
MATCH, DIFFER = "match", "differ"


async def _wait_for_daemon(room_keys: Collection[RoomKey]) -> None:
    """Does nothing when room keys come: a command shows no messages that it would have to judge anew."""


class DeviceTrust:
    """Keeps the trust of one account's device. `run` does the work, beside the sync loop. `notices` tell the user, and
    ask what the two devices show."""

    def __init__(
        self,
        keys: Keys,
        machine: Machine,
        notices: Notices,
        *,
        clock: Callable[[], int],
        on_standing: Callable[[Standing], None] = lambda standing: None,
        on_room_keys: Callable[[Collection[RoomKey]], Awaitable[None]] = _wait_for_daemon,
    ) -> None:
        self._keys = keys
        self._machine = machine
        self._user_id = machine.identity.user_id
        self._clock = clock
        self._notices = notices
        self._on_standing = on_standing
        self.standing = Standing.UNKNOWN
        backup = KeyBackup(keys, machine, clock=clock)
        self._restoration = Restoration(backup, machine, on_room_keys=on_room_keys)
        self._cross_signing = CrossSigning(keys, machine)
        self._verifications = Verifications(
            keys,
            machine,
            self._cross_signing,
            SecretRequest(keys, machine, backup, make_id=_make_id),
            clock=clock,
            make_id=_make_id,
            on_view=self._take_view,
            on_standing=self._take_standing,
            on_look_failed=self._look_soon,
            on_backup_key=self._restoration.take_key,
        )
        self._looked_ms: int | None = None
        self._untold: Standing | None = None
        self._is_untold = asyncio.Event()

    # From the sync loop

    def take_received(self, outcomes: Sequence[Received | Rejected]) -> None:
        """To-device events that are not about room keys."""
        for outcome in outcomes:
            if isinstance(outcome, Received):
                with going_on(f"an event of {outcome.sender}"):
                    self._verifications.offer(outcome)

    def want(self, keys: Collection[RoomKey]) -> None:
        """Room keys that events wait for: they may be in the backup."""
        self._restoration.want(keys)

    def turn(self) -> None:
        """Called after each sync; now and then it asks how the device stands."""
        if self._looked_ms is None or abs(self._clock() - self._looked_ms) >= LOOK_AGAIN_MS:
            self.look_again()

    def look_again(self) -> None:
        """Something of the user's devices or identity changed: how does ours stand now?"""
        self._looked_ms = self._clock()
        self._verifications.look()

    async def run(self) -> None:
        """Runs until cancelled."""
        telling = keep_running("device trust", self._tell, clock=self._clock)
        await together([self._verifications.run(), self._restoration.run(), telling])

    # From the user

    async def begin(self) -> str:
        """Asks the user's other devices; the transaction's id. Raises ServerError and UserError."""
        return await self._verifications.ask()

    def look(self, transaction_id: str | None) -> dict[str, Any]:
        """The verification as JSON, and how the device stands. Without an id: the one that last changed."""
        view = self._verifications.view(transaction_id or None)
        return {"standing": self.standing.value, "verification": None if view is None else _as_json(view)}

    def answer(self, transaction_id: str, *, is_same: bool) -> None:
        """What the user says of the emoji."""
        self._verifications.answer(transaction_id, is_same=is_same)

    def cancel(self, transaction_id: str) -> None:
        """The user no longer wants to."""
        self._verifications.cancel(transaction_id)
        self._verifications.want(is_wanted=False)

    async def unlock(self, kind: str, secret: str) -> bool:
        """Verifies with the `recovery key` or the `passphrase`; whether that opened the key backup, too.

        Raises ServerError and UserError.
        """
        storage = await SecretStorage.find(self._keys)
        if kind == "recovery key":
            await storage.unlock_with_recovery_key(secret)
        elif kind == "passphrase":
            await storage.unlock_with_passphrase(secret)
        else:
            raise UserError(f"There is no way to verify with a {kind}.", "See: heliograph verify", exit_code=EXIT_USAGE)
        has_backup = await self._cross_signing.sign_with(storage)
        self._take_standing(await self._cross_signing.standing())
        if has_backup:
            self._restoration.take_key()
        return has_backup

    # Inside

    def _look_soon(self) -> None:
        # As if the last look had been so long ago: the next turn that finds it late looks again.
        self._looked_ms = self._clock() - LOOK_AGAIN_MS + AFTER_FAILURE_MS

    def _take_standing(self, standing: Standing) -> None:
        if standing is not self.standing:
            log.info("How this device stands with its owner: %s", standing.value)
        self.standing = standing
        self._looked_ms = self._clock()
        self._on_standing(standing)
        self._untold = standing
        # Kept for the next try: this task begins again after a fault, and would otherwise wait for the next change.
        self._is_untold.set()

    async def _tell(self) -> None:
        while True:
            await self._is_untold.wait()
            self._is_untold.clear()
            try:
                await self._tell_once()
            except StorageError as trouble:
                log.warning("What the user was told of this device could not be kept: %s", trouble)
            except Exception:
                self._is_untold.set()
                raise

    async def _tell_once(self) -> None:
        """Tells the user how the device stands, if that differs from what was told last, also over restarts."""
        standing = self._untold
        if standing is None or await self._machine.secret(TOLD) == standing.value:
            return
        # Who has no identity may well use no encryption: `heliograph status` tells them.
        if standing is not Standing.NO_IDENTITY and (told := explain_standing(standing, self._user_id)) is not None:
            self._notices.tell(*told)
        # After the notice: killed in between, the user is told twice rather than never.
        await self._machine.keep_secret(TOLD, standing.value)

    def _take_view(self, view: View) -> None:
        if view.phase is not Phase.COMPARING:
            self._notices.withdraw(view.transaction_id)
            return
        question = Notification(
            "Verify this device?",
            f"Does your other device show the same?\n{in_words(view.emoji)}\n"
            f"Without buttons here: heliograph verify {self._user_id}",
            self._user_id,
            category=Category.DEVICE,
            urgency=Urgency.CRITICAL,
            actions=(Action(MATCH, "They match"), Action(DIFFER, "They differ")),
        )
        self._notices.ask(
            view.transaction_id, question, lambda answer: self.answer(view.transaction_id, is_same=answer == MATCH)
        )


def _as_json(view: View) -> dict[str, Any]:
    return {
        "transaction_id": view.transaction_id,
        "phase": view.phase.value,
        "device_id": view.device_id,
        "emoji": [[each.picture, each.name] for each in view.emoji],
        "decimals": list(view.decimals),
        "code": view.code,
    }


def _make_id() -> str:
    return secrets.token_urlsafe(16)
