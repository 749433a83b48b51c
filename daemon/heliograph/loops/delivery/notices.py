"""Shows notifications of our own: tells the user of trouble, and asks questions.

A notice of lasting trouble is told once until it is withdrawn, and told again the next time. None of this needs the
ledger, since a notice may tell that the disk is full.
Test: test_trouble_that_lasts_is_told_once_and_again_the_next_time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from heliograph.core.delivery import Done, RetryLater
from heliograph.core.notification import (
    Action,
    Activated,
    Category,
    Closed,
    Closing,
    Notification,
    Popup,
    Replied,
    Urgency,
)
from heliograph.core.suspects import TRIES
from heliograph.ports.desktop import Desktop
from heliograph.ports.notices import Cure

log = logging.getLogger(__name__)

CURE = "cure"
"""The key of the button that a notice of trouble may have."""
MAX_QUESTIONS = 50
"""At once. One more takes the place of the oldest."""


@dataclass(slots=True, eq=False)
class _Notice:
    notification: Notification
    on_answer: Callable[[str], None] | None = None
    """Called with the key of the chosen action; None: there is nothing to choose."""
    popup: Popup | None = None
    is_question: bool = False
    is_lasting: bool = True
    """False: of something that happened, and is over once it is shown."""
    is_shown: bool = False
    is_withdrawn: bool = False
    is_put_aside: bool = False
    faults: int = 0
    """How often a fault of ours kept this notice from being shown or closed."""


class AccountNotices:
    """The notices of one account, by key. They are in memory only, and end with the daemon.

    `wake` is called when `show` has something to do.
    """

    def __init__(self, desktop: Desktop, user_id: str, wake: Callable[[], None]) -> None:
        self._desktop = desktop
        self._user_id = user_id
        self._wake = wake
        self._notices: dict[str, _Notice] = {}
        self._all_told = asyncio.Event()

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None:
        """Tells the user what is wrong, and what to do.

        `about` is the key of lasting trouble: it is told once until it is withdrawn, and stays on screen until then if
        the desktop allows. Told again in other words, these replace the words on screen. Without `about` the notice is
        of something that has happened, and is shown each time. `cure` is a button; who clicks it has seen the notice,
        which is then told again if the trouble is.
        """
        # Servers let critical notifications stay, and lasting trouble should be seen by whoever comes back to the desk.
        urgency = Urgency.CRITICAL if about else Urgency.NORMAL
        actions = (Action(CURE, cure.label),) if cure is not None else ()
        notification = Notification(
            title, hint, self._user_id, category=Category.DEVICE, urgency=urgency, actions=actions
        )
        key = about or title
        before = self._notices.get(key)
        if about and before is not None and not before.is_withdrawn:
            self._reword(before, notification, cure)
        else:
            # Where an earlier notice of this kind still stands, the new
            # one takes its place instead of a second one beside it.
            popup = before.popup if before is not None else None
            self._notices[key] = _Notice(notification, _answer(cure), popup, is_lasting=bool(about))
        self._wake()

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None:
        """Asks a question. `on_answer` is called with the key of the action that the user chooses. Asked again under
        the same key, the new question replaces the one on screen."""
        before = self._notices.pop(key, None)
        self._notices[key] = _Notice(notification, on_answer, before.popup if before else None, is_question=True)
        asked = [key for key, notice in self._notices.items() if notice.is_question]
        if len(asked) > MAX_QUESTIONS:
            self.withdraw(asked[0])
        self._wake()

    def withdraw(self, key: str) -> None:
        """Takes the notice of this key back, if there is one: the trouble is over, or nobody needs the answer."""
        if (notice := self._notices.get(key)) is not None:
            notice.is_withdrawn = True
            self._wake()

    def forget_popups(self) -> None:
        """Another notification server is there: notices that still hold are shown again."""
        # A copy: while the desktop answers, others may tell and withdraw.
        for key, notice in list(self._notices.items()):
            if not notice.is_lasting and notice.is_shown:
                del self._notices[key]
            notice.popup, notice.is_shown = None, notice.is_put_aside

    async def show(self) -> bool:
        """Brings the screen up to date. Returns whether the desktop could not do all of it, so that it is to be tried
        again later."""
        is_retry_wanted = False
        for key, notice in list(self._notices.items()):
            try:
                is_retry_wanted |= not await self._bring_up_to_date(key, notice)
            except Exception:
                log.exception("Unexpected fault in a notice: %s", notice.notification.summary)
                is_retry_wanted |= not self._give_up(key, notice)
        if not self._has_untold:
            self._all_told.set()
        return is_retry_wanted

    async def all_told(self) -> None:
        """Returns when every notice that was told has been shown; questions are not waited for."""
        while self._has_untold:
            self._all_told.clear()
            await self._all_told.wait()

    def hear(self, signal: Activated | Replied | Closed) -> bool:
        """Handles a signal about a notice; returns False if it is about another popup."""
        for key, notice in self._notices.items():
            # A withdrawn notice still owns its popup until that is closed: a late click on it is nobody else's.
            if notice.popup == signal.popup:
                if not notice.is_withdrawn:
                    self._take(key, notice, signal)
                return True
        return False

    @property
    def _has_untold(self) -> bool:
        return any(not (each.is_shown or each.is_withdrawn or each.is_question) for each in self._notices.values())

    def _reword(self, notice: _Notice, notification: Notification, cure: Cure | None) -> None:
        notice.on_answer = _answer(cure)
        if notice.notification == notification:
            return
        notice.notification = notification
        # What the user closed has been read, and is not brought up again for other words.
        notice.is_shown = notice.is_shown and notice.popup is None

    def _take(self, key: str, notice: _Notice, signal: Activated | Replied | Closed) -> None:
        if isinstance(signal, Closed):
            # Not answered. What only ran out of time comes again with the next server, and may be answered elsewhere.
            notice.popup, notice.is_put_aside = None, signal.reason is Closing.DISMISSED
        elif isinstance(signal, Activated) and signal.action in {each.key for each in notice.notification.actions}:
            self.withdraw(key)
            if notice.on_answer is not None:
                notice.on_answer(signal.action)
        elif notice.on_answer is not None:
            # Many servers close what was clicked, and a click on all of it chooses nothing: it is asked again.
            notice.is_shown = False
            self._wake()

    async def _bring_up_to_date(self, key: str, notice: _Notice) -> bool:
        if notice.is_withdrawn:
            return await self._take_away(key, notice)
        return notice.is_shown or await self._put_up(key, notice)

    def _give_up(self, key: str, notice: _Notice) -> bool:
        """Gives the notice up after a few tries, so that neither messages nor other notices wait for it. Returns
        whether it was given up."""
        notice.faults += 1
        if notice.faults < TRIES:
            return False
        notice.is_shown = True
        if notice.is_withdrawn and self._notices.get(key) is notice:
            del self._notices[key]
        return True

    async def _put_up(self, key: str, notice: _Notice) -> bool:
        notification = notice.notification
        outcome = await self._desktop.show(notification, notice.popup)
        if isinstance(outcome, RetryLater):
            return False
        if isinstance(outcome, Done):
            # Another notice may have taken this key meanwhile; it now replaces this one on screen.
            self._notices.get(key, notice).popup = notice.popup = outcome.value
        # It may have been reworded meanwhile, and then the new words are still to be shown.
        notice.is_shown = notice.notification is notification
        return notice.is_shown

    async def _take_away(self, key: str, notice: _Notice) -> bool:
        if notice.popup is not None and isinstance(await self._desktop.close(notice.popup), RetryLater):
            return False
        if self._notices.get(key) is notice:
            del self._notices[key]
        return True


def _answer(cure: Cure | None) -> Callable[[str], None] | None:
    return None if cure is None else lambda _: cure.begin()
