"""A daemon that answers what it was told to, and notes what it was asked."""

from __future__ import annotations

from typing import Any

from heliograph.core.summary.summary import UNTIL_RESUMED
from heliograph.errors import HeliographError


class FakeAnswers:
    """`control.interface.Answers`. `trouble` is raised by every question, `action_trouble` by those that change
    something."""

    def __init__(self, status: Any = None, inbox: Any = None) -> None:
        self.status_told = status
        self.inbox_told = inbox
        self.asked: list[tuple[Any, ...]] = []
        self.trouble: HeliographError | None = None
        self.action_trouble: HeliographError | None = None

    def _note(self, *question: Any) -> None:
        self.asked.append(question)
        if self.trouble is not None:
            raise self.trouble
        if self.action_trouble is not None and question[0] not in ("status", "inbox"):
            raise self.action_trouble

    async def status(self) -> Any:
        self._note("status")
        return self.status_told() if callable(self.status_told) else self.status_told

    async def inbox(self) -> Any:
        self._note("inbox")
        return self.inbox_told

    async def open(self, account: str, room_id: str, token: str) -> None:
        self._note("open", account, room_id, token)

    async def mark_read(self, account: str, room_id: str) -> None:
        self._note("mark_read", account, room_id)

    async def mark_all_read(self) -> int:
        self._note("mark_all_read")
        return 2

    async def reply(self, account: str, room_id: str, text: str) -> None:
        self._note("reply", account, room_id, text)

    async def accept(self, account: str, room_id: str) -> None:
        self._note("accept", account, room_id)

    async def decline(self, account: str, room_id: str) -> None:
        self._note("decline", account, room_id)

    async def pause(self, words: str, *, is_everywhere: bool) -> int:
        self._note("pause everywhere" if is_everywhere else "pause", words)
        return UNTIL_RESUMED

    async def resume(self) -> None:
        self._note("resume")

    async def erase_history(self, *, with_unread: bool) -> int:
        self._note("erase_history", with_unread)
        return 3
