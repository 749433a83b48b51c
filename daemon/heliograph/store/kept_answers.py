"""Keeps what the ledger was asked last, so that a message needs no read for what no transaction has changed since."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeptAnswers(Generic[K, V]):
    """The answers to one question, by what was asked; at most `most` of them.

    `read` and `forget` run in the database's thread, one after another, so no answer is kept that a transaction of
    before or after its read has changed. `get` may run in any thread: until a transaction begins, the answer of before
    it is the right one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[K, V] = {}

    def get(self, asked: K) -> V | None:
        """The answer; None: it has to be read."""
        return self._kept.get(asked)

    def read(self, asked: K, work: Callable[[], V]) -> V:
        """Has `work` read the answer, and keeps it in place of the oldest."""
        answer = work()
        self._kept.pop(asked, None)
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[asked] = answer
        return answer

    def forget(self) -> None:
        """A transaction begins that may change any of the answers."""
        self._kept.clear()
