"""`ports.Troubles` in memory: what the user was told, and what is still told."""

from __future__ import annotations


class FakeTroubles:
    """Tells as `loops.delivery.notices.Notices` does, in the same test of both."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        """Title and hint of each notice, however it went on."""
        self.standing: dict[str, tuple[str, str]] = {}
        """By what they are about: those that are not withdrawn yet."""

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.told]

    def tell(self, title: str, hint: str, *, about: str = "") -> None:
        if about not in self.standing:
            self.told.append((title, hint))
        if about:
            self.standing[about] = (title, hint)

    def withdraw(self, about: str) -> None:
        self.standing.pop(about, None)
