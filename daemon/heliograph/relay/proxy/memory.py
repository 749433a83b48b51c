"""Bounds the bytes of the homeserver's answers that are in memory at once, over all requests.

Each answer that is looked into has a bound of its own. Many at once, as after a restart or by a user who has made some
large, need one in all. Beyond it a question counts as not answered, and a /sync passes as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from weakref import finalize

MOST = 128 * 1024 * 1024
SMALL = 64 * 1024
"""Bytes of an answer that is only counted while it is read."""


class AnswerMemory:
    """`held` is how many bytes are in memory now, of at most `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.held = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Lasts for as long as what is taken is in memory, but for what was handed on."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()

    def take(self, size: int) -> bool:
        """Returns False if there is no room for so many bytes more."""
        if self.held + size > self._most:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        self.held -= size


class Share:
    """What one answer has of the memory."""

    def __init__(self, memory: AnswerMemory) -> None:
        self._memory = memory
        self._size = 0

    def take(self, size: int) -> bool:
        """Returns False if there is no room for so many bytes more."""
        is_taken = self._memory.take(size)
        self._size += size if is_taken else 0
        return is_taken

    def give_back(self) -> None:
        self._memory.give_back(self._size)
        self._size = 0

    def last_as_long_as(self, owner: object) -> None:
        """Hands what a large answer has taken on to `owner`: it is given back when nobody refers to that any more."""
        if self._size > SMALL:
            finalize(owner, self._memory.give_back, self._size).atexit = False
            self._size = 0
