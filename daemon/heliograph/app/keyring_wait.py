"""Waits for the keyring that keeps the access token: it may be locked, ask its user, come later than we do, or hang.

Only a definite absence of the token ends the account: a search that finds nothing while the default collection is
locked proves nothing. Tests: test_a_locked_keyring_is_told_until_it_is_unlocked_and_anew_the_next_time,
test_a_keyring_that_hangs_is_waited_for_and_told_until_it_answers, test_a_token_that_is_gone_asks_for_a_login.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from enum import Enum

from heliograph.core.backoff import reconnect_delay
from heliograph.core.connection import Connection, ConnectionState
from heliograph.errors import SecretsLocked
from heliograph.ports.notices import Cure, Troubles
from heliograph.ports.secrets import SecretStore
from heliograph.secrets.secret_bus import KeyringAbsent, KeyringSilent
from heliograph.system.tasks import cancel, start

log = logging.getLogger(__name__)

ABOUT_KEYRING = "keyring"
SLICE_S = 60.0
"""After so long it shows that it is alive, and waits on."""
UNLOCK = "Unlock"
"""The button of the notice: it has the keyring ask its user once more."""
SILENT_S = 3.0
"""After so long without an answer it is told in the status that one is waited for."""


class Hindrance(Enum):
    """What is the matter with a keyring, and what the user can do about it."""

    ASKS = "asks to be unlocked", "type its password where it asks for it"
    LOCKED = "is locked", "unlock it"
    ABSENT = "is not running", "start one, such as gnome-keyring, KWallet or KeePassXC"
    SILENT = "does not answer", "unlock it if it asks for its password, else restart it or log in to your desktop again"

    def __init__(self, state: str, cure: str) -> None:
        self.state = state
        self.cure = cure


class KeyringWait:
    """Waits for the keyring of one account. `on_life` is called now and then meanwhile, `on_state` with each change of
    how the account stands; `jitter` gives numbers in [0, 1)."""

    def __init__(
        self,
        user_id: str,
        troubles: Troubles,
        *,
        jitter: Callable[[], float],
        on_life: Callable[[], None],
        on_state: Callable[[ConnectionState], None],
    ) -> None:
        self._user_id = user_id
        self._state = ConnectionState()
        self._troubles = troubles
        self._jitter = jitter
        self._on_life = on_life
        self._on_state = on_state
        self._failures = 0
        self._wants_try = asyncio.Event()

    def note_prompt(self) -> None:
        """The keyring asks its user on screen, so no notice need be shown."""
        self._note(Hindrance.ASKS)

    async def load(self, store: SecretStore) -> str | None:
        """What the store holds for the account, however long that takes; None: nothing. Raises UserError if the store
        cannot be used at all."""
        try:
            while True:
                try:
                    with self._saying_soon(store):
                        text = await store.load(self._user_id)
                except SecretsLocked:
                    await self._wait_unlocked(store, Hindrance.LOCKED, Cure(UNLOCK, self._wants_try.set))
                except KeyringAbsent:
                    # In a session that just begins it may come later than we do.
                    await self._wait_unlocked(store, Hindrance.ABSENT)
                except KeyringSilent as trouble:
                    await self._wait_silently(trouble)
                else:
                    break
        finally:
            # Read before the state is reset, which happens in any case: also a login that fails is no longer waiting.
            was_hindered = self._is_hindered
            self._take(ConnectionState())
        self._failures = 0
        self._troubles.withdraw(ABOUT_KEYRING)
        if was_hindered:
            log.info("The keyring is open: %s goes on", self._user_id)
        return text

    @contextlib.contextmanager
    def _saying_soon(self, store: SecretStore) -> Iterator[None]:
        """Some keyrings ask their user before they answer, and tell nobody."""
        if not self._is_hindered:
            self._take(ConnectionState(why=f"waits for the {store.name}"))
        saying = asyncio.get_running_loop().call_later(SILENT_S, self._note_silence)
        try:
            yield
        finally:
            saying.cancel()

    def _note_silence(self) -> None:
        if not self._is_hindered:
            self._note(Hindrance.SILENT, logging.INFO)

    def _note(self, hindrance: Hindrance, level: int = logging.WARNING) -> None:
        why = f"the keyring {hindrance.state}: {hindrance.cure}"
        state = ConnectionState(Connection.WAITING_FOR_KEYRING, why)
        if state != self._state:
            log.log(level, "The keyring %s: %s waits for it", hindrance.state, self._user_id)
        self._take(state)

    @property
    def _is_hindered(self) -> bool:
        return self._state.state is Connection.WAITING_FOR_KEYRING

    def _take(self, state: ConnectionState) -> None:
        self._state = state
        self._on_state(state)

    def _tell(self, hindrance: Hindrance, cure: Cure | None = None) -> None:
        self._note(hindrance)
        hint = f"Heliograph needs its access token from there to get messages: {hindrance.cure}."
        self._troubles.tell(f"The keyring {hindrance.state}", hint, about=ABOUT_KEYRING, cure=cure)

    async def _wait_unlocked(self, store: SecretStore, hindrance: Hindrance, cure: Cure | None = None) -> None:
        """Until another try may succeed, or the user asks for one with the notice's button."""
        # Cleared before the notice is there: a press from before was for an earlier try.
        self._wants_try.clear()
        self._tell(hindrance, cure)
        waits = (
            start(store.wait_unlocked(self._user_id), name=f"lock of {self._user_id}"),
            start(self._wait_for_button(), name=f"button of {self._user_id}"),
        )
        try:
            done: set[asyncio.Task[None]] = set()
            while not done:
                self._on_life()
                done, _ = await asyncio.wait(waits, timeout=SLICE_S, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        except KeyringSilent as trouble:
            await self._wait_silently(trouble)
        finally:
            for each in waits:
                await cancel(each)

    async def _wait_for_button(self) -> None:
        await self._wants_try.wait()

    async def _wait_silently(self, trouble: KeyringSilent) -> None:
        """A keyring that is silent does not tell either when it answers again: it is asked, less and less often."""
        if not self._failures:
            log.warning("%s", trouble)
        self._failures += 1
        self._tell(Hindrance.SILENT)
        self._on_life()
        await asyncio.sleep(reconnect_delay(self._failures, self._jitter()))
