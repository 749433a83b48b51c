"""Notifications of our own that the user is to answer: how long to mute a room, whether to try again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from heliograph.core.delivery import Done, RetryLater
from heliograph.core.notification import Activated, Closed, Closing, Notification, Popup, Replied
from heliograph.ports import Desktop

MAX_QUESTIONS = 50
"""At once. One more takes the place of the oldest."""


@dataclass(slots=True, eq=False)
class _Question:
    notification: Notification
    on_answer: Callable[[str], None]
    popup: Popup | None = None
    is_shown: bool = False
    is_withdrawn: bool = False
    is_put_aside: bool = False


class Questions:
    """Those of one account. Nothing of them is on disk: with the daemon they are gone."""

    def __init__(self, desktop: Desktop) -> None:
        self._desktop = desktop
        self._questions: dict[str, _Question] = {}

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None:
        """`on_answer` gets the key of the action that is chosen. Asked again under the same key, it takes the place of
        what is shown."""
        before = self._questions.pop(key, None)
        self._questions[key] = _Question(notification, on_answer, before.popup if before else None)
        if len(self._questions) > MAX_QUESTIONS:
            self.unask(next(iter(self._questions)))

    def unask(self, key: str) -> None:
        """It was answered elsewhere, or makes no sense any more."""
        if (question := self._questions.get(key)) is not None:
            question.is_withdrawn = True

    def forget_popups(self) -> None:
        """The notification server is another one: what was on screen is asked again."""
        for question in self._questions.values():
            question.popup, question.is_shown = None, question.is_put_aside

    async def show(self) -> bool:
        """Brings the screen up to date. Whether it is to be tried again later."""
        is_retry_wanted = False
        for key, question in list(self._questions.items()):
            if question.is_withdrawn:
                is_retry_wanted |= not await self._take_away(key, question)
            elif not question.is_shown:
                is_retry_wanted |= not await self._pose(question)
        return is_retry_wanted

    def hear(self, signal: Activated | Replied | Closed) -> bool:
        """Whether it was about a question."""
        for key, question in self._questions.items():
            if question.popup == signal.popup:
                if not question.is_withdrawn:
                    self._take(key, question, signal)
                return True
        return False

    def _take(self, key: str, question: _Question, signal: Activated | Replied | Closed) -> None:
        if isinstance(signal, Closed):
            # Not answered. What only ran out of time comes again with the next server, and may be answered elsewhere.
            question.popup, question.is_put_aside = None, signal.reason is Closing.DISMISSED
        elif isinstance(signal, Activated) and signal.action in {each.key for each in question.notification.actions}:
            self.unask(key)
            question.on_answer(signal.action)
        else:
            # Many servers close what was clicked, and a click on all of it chooses nothing.
            question.is_shown = False

    async def _pose(self, question: _Question) -> bool:
        outcome = await self._desktop.show(question.notification, question.popup)
        if isinstance(outcome, RetryLater):
            return False
        question.is_shown = True
        if isinstance(outcome, Done):
            question.popup = outcome.value
        return True

    async def _take_away(self, key: str, question: _Question) -> bool:
        if question.popup is not None and isinstance(await self._desktop.close(question.popup), RetryLater):
            return False
        if self._questions.get(key) is question:
            del self._questions[key]
        return True
