"""Tasks of the event loop, so that none is lost and none ends in silence. No other module makes one.

keep_running   a long-lived task: after a crash it starts again, and `heliograph status` tells of it
start          a task that its starter awaits or cancels
going_on       one thing of several in a task: what it raises is logged, and the next one follows
together       several that are awaited at once
start_beside   a short task that nobody awaits: what it raises is logged
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from heliograph.errors import HeliographError

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY_S = 1.0
LAST_DELAY_S = 300.0
CALM_S = 3600.0
"""After running for so long without a crash, those of before are forgotten: by the back-off, and in `status`."""


@dataclass(slots=True, eq=False)
class LongTask:
    """A long-lived task and its latest crashes. Times are milliseconds since 1970; None: there is no such time."""

    name: str
    crashes: int = 0
    last_crash_ms: int | None = None
    why: str = ""
    """The last crash. What its exception says is in the log only, since it may hold somebody's words."""
    next_try_ms: int | None = None
    """When it starts again; None: it runs."""

    def as_json(self) -> dict[str, Any]:
        """Its part of the control interface's answer."""
        return {
            "name": self.name,
            "crashes": self.crashes,
            "last_crash_ms": self.last_crash_ms,
            "why": self.why,
            "next_try_ms": self.next_try_ms,
        }

    def forget_crashes(self) -> None:
        self.crashes, self.last_crash_ms, self.why = 0, None, ""


class TaskList(Protocol):
    """Any list that takes long-lived tasks."""

    def append(self, task: LongTask, /) -> None: ...
    def remove(self, task: LongTask, /) -> None: ...


_listed: ContextVar[TaskList | None] = ContextVar("list of long-lived tasks", default=None)


@contextlib.contextmanager
def listed_in(tasks: TaskList) -> Iterator[None]:
    """Long-lived tasks that are kept running in this block, or in tasks that are started in it, are in this list for as
    long as they live."""
    token = _listed.set(tasks)
    try:
        yield
    finally:
        _listed.reset(token)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[T]],
    *,
    ends_with: tuple[type[Exception], ...] = (),
    clock: Callable[[], int] = _now_ms,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Runs `run` until it returns or the caller is cancelled; the result. Whenever it raises anything else, the crash
    is logged with its traceback, and `run` is called again after 1, 2, 4 .. 300 s, give or take a quarter.

    A crash is also a cancellation that nobody asked this task for, as of something `run` awaits. A HeliographError is
    what somebody or something outside caused: that is logged without a traceback. Exceptions of the types `ends_with`
    are raised. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1).
    """
    task = LongTask(name)
    tasks = _listed.get()
    if tasks is not None:
        tasks.append(task)
    try:
        while True:
            try:
                return await _run_once(task, run)
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                crash: BaseException = error
            except ends_with:
                raise
            except Exception as error:  # noqa: BLE001 - the one place: whatever a loop raises, it goes on
                crash = error
            delay = _note_crash(task, crash, clock(), jitter())
            await asyncio.sleep(delay)
            task.next_try_ms = None
    finally:
        if tasks is not None:
            tasks.remove(task)


async def _run_once(task: LongTask, run: Callable[[], Awaitable[T]]) -> T:
    if not task.crashes:
        return await run()
    calm = asyncio.get_running_loop().call_later(CALM_S, task.forget_crashes)
    try:
        return await run()
    finally:
        calm.cancel()


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _note_crash(task: LongTask, crash: BaseException, now_ms: int, jitter: float) -> float:
    """Seconds until it starts again."""
    task.crashes += 1
    task.last_crash_ms = now_ms
    task.why = _word(crash)
    delay = min(FIRST_DELAY_S * 2.0 ** min(task.crashes - 1, 16), LAST_DELAY_S) * (0.75 + jitter / 2)
    task.next_try_ms = now_ms + int(1000 * delay)
    if isinstance(crash, HeliographError):
        log.warning("%s cannot go on (%s), and starts again in %.0f s", task.name, task.why, delay)
    else:
        log.error("%s crashed, and starts again in %.0f s", task.name, delay, exc_info=crash)
    return delay


def _word(crash: BaseException) -> str:
    if isinstance(crash, HeliographError):
        return str(crash)
    where = traceback.extract_tb(crash.__traceback__)[-1:]
    return f"{type(crash).__name__}{''.join(f' in {Path(each.filename).name}, line {each.lineno}' for each in where)}"


_running: set[asyncio.Task[Any]] = set()
"""asyncio keeps only weak references to tasks."""


def start(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """A task that its starter awaits or cancels. What it raises is the starter's to look at."""
    task = asyncio.create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """Whatever is raised in the block is logged, with its traceback, as a fault in `what`; then it goes on after it."""
    try:
        yield
    except Exception:
        log.exception("Unexpected fault in %s", what)


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all of them at once, in order. One that fails ends the others, and what it raised is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        first: Exception = failures
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first


def start_beside(work: Coroutine[Any, Any, object], *, name: str) -> asyncio.Task[object]:
    """A short task that nobody needs to await. What it raises is logged: with its traceback, unless it is a
    HeliographError."""
    task = start(work, name=name)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[Any]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, HeliographError):
        log.warning("%s failed: %s", task.get_name(), error)
    else:
        log.error("%s failed", task.get_name(), exc_info=error)


def look_at(task: asyncio.Future[Any]) -> None:
    """As a task's callback: whatever it raised is of no interest to anybody."""
    if not task.cancelled():
        task.exception()
