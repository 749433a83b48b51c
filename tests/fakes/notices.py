"""`ports.notices.Notices` in memory: what the user was told and is still told, and what is asked."""

from __future__ import annotations

from collections.abc import Callable

from heliograph.core.notification import Notification
from heliograph.ports.notices import Cure


class FakeNotices:
    """Tells and asks as `loops.delivery.notices.AccountNotices` does, in the same tests of both."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        """Title and hint of each notice, however it went on."""
        self.standing: dict[str, tuple[str, str]] = {}
        """By what they are about: those that are not withdrawn yet."""
        self.cures: dict[str, Cure] = {}
        """By what they are about: the buttons of those that are not withdrawn yet."""
        self.questions: dict[str, tuple[Notification, Callable[[str], None]]] = {}
        """By key: those that are neither answered nor withdrawn."""

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.told]

    @property
    def question(self) -> Notification:
        """The only one."""
        ((notification, _),) = self.questions.values()
        return notification

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None:
        if cure is not None:
            self.cures[about] = cure
        if about not in self.standing:
            self.told.append((title, hint))
        if about:
            self.standing[about] = (title, hint)

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None:
        self.questions[key] = (notification, on_answer)

    def withdraw(self, key: str) -> None:
        self.standing.pop(key, None)
        self.cures.pop(key, None)
        self.questions.pop(key, None)

    def answer(self, label: str) -> None:
        """The user chooses the action of this label for the only question, which then is no question any more."""
        ((key, (notification, on_answer)),) = self.questions.items()
        del self.questions[key]
        on_answer(next(action.key for action in notification.actions if action.label == label))
