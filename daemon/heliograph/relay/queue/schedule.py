"""The times at which queues want to be looked at, and the queues at work. Nothing is kept of idle queues."""

from __future__ import annotations

import heapq
from collections import deque


class QueueSchedule:
    """Keys with the millisecond at which each wants to be looked at. At most `most` are at work, `most_per_host` at
    one host.

    A key is at work from `start` to `finish`; what is asked for it meanwhile is looked at afterwards.
    """

    def __init__(self, most: int, most_per_host: int) -> None:
        self._most = most
        self._most_per_host = most_per_host
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._at_work: dict[str, str] = {}
        """Key to host."""
        self._again: dict[str, int] = {}
        self._busy_hosts: dict[str, int] = {}
        self._in_line: dict[str, deque[str]] = {}
        """Keys that wait for a host; they are not in `_due`."""
        self._waiting: set[str] = set()

    def __len__(self) -> int:
        """How many keys have something to do."""
        return len(self._due) + len(self._at_work) + len(self._waiting)

    def ask(self, key: str, due_ms: int) -> None:
        """Looks at `key` at that time, or earlier if that was asked for before."""
        if key in self._at_work:
            # One look at a time: the next one follows when this one is finished.
            self._again[key] = min(due_ms, self._again.get(key, due_ms))
        elif key not in self._waiting and due_ms < self._due.get(key, due_ms + 1):
            self._due[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))

    def next_ms(self) -> int | None:
        """When the next key wants to be looked at; None: nothing to do, or no one free to do it."""
        # No time is told while all places are taken: the one that becomes free wakes the loop.
        if len(self._at_work) >= self._most:
            return None
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def take(self, now_ms: int) -> str | None:
        """A key whose time has come. It is to be given to `start`, or asked for again."""
        if len(self._at_work) >= self._most:
            return None
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now_ms:
            return None
        _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key

    def start(self, key: str, host: str) -> bool:
        """Whether `key` may work with `host` now. If not, it is looked at when another key has finished there."""
        if self._busy_hosts.get(host, 0) >= self._most_per_host:
            # In line at its host, a key is in no heap: `_call_next` asks for it again.
            self._in_line.setdefault(host, deque()).append(key)
            self._waiting.add(key)
            return False
        self._at_work[key] = host
        self._busy_hosts[host] = self._busy_hosts.get(host, 0) + 1
        return True

    def finish(self, key: str, due_ms: int | None, now_ms: int) -> None:
        """`key` is done for now and wants to be looked at again at `due_ms`, if that is given."""
        host = self._at_work.pop(key)
        self._busy_hosts[host] -= 1
        if not self._busy_hosts[host]:
            del self._busy_hosts[host]
        again_ms = self._again.pop(key, None)
        for wanted_ms in (due_ms, again_ms):
            if wanted_ms is not None:
                self.ask(key, wanted_ms)
        self._call_next(host, now_ms)

    def _call_next(self, host: str, now_ms: int) -> None:
        line = self._in_line.get(host)
        if not line:
            return
        key = line.popleft()
        if not line:
            del self._in_line[host]
        self._waiting.discard(key)
        self.ask(key, now_ms)

    def _drop_stale(self) -> None:
        # A key that was asked for earlier is in the heap twice; `_due` has the time that counts.
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
