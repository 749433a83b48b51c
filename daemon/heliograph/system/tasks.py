"""Makes all tasks of the event loop, so that none is lost and none ends in silence. No other module creates one.

keep_running   runs a long-lived task: after a crash it starts again, and `heliograph status` shows that
start          starts a task that its starter awaits or cancels
cancel         ends such a task
going_on       guards one step of several in a task: what the step raises is logged, and the next one follows
taking_up      clears an event while a long-lived task does its work; after a crash that work is still to be done
together       awaits several things at once
start_beside   starts a short task that nobody awaits: what it raises is logged
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from heliograph.errors import HeliographError
from heliograph.system.clock import now_ms

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY_S = 1.0
LAST_DELAY_S = 300.0
CALM_S = 3600.0
"""After running for so long without a crash, earlier crashes are forgotten: by the back-off, and in `status`."""


@dataclass(slots=True, eq=False)
class LongTask:
    """A long-lived task and its latest crashes. Times are milliseconds since 1970; None: there is no such time."""

    name: str
    crashes: int = 0
    last_crash_ms: int | None = None
    why: str = ""
    """The type and place of the last crash. The exception's text is in the log only, since it may quote a message, and
    every program of the session can read `status`. Test: test_what_it_crashed_of_and_when_it_starts_again_is_told."""
    next_try_ms: int | None = None
    """When the task starts again; None: it runs."""

    def as_json(self) -> dict[str, Any]:
        """The task as the control interface tells of it (docs/d-bus.md)."""
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
    """A list of long-lived tasks, each of which adds and removes itself."""

    def append(self, task: LongTask, /) -> None: ...
    def remove(self, task: LongTask, /) -> None: ...


_listed: ContextVar[TaskList | None] = ContextVar("list of long-lived tasks", default=None)


@contextlib.contextmanager
def listed_in(tasks: TaskList) -> Iterator[None]:
    """Lists all long-lived tasks of this block in `tasks` for as long as they live: those that it keeps running itself,
    and those of tasks that are started within it."""
    token = _listed.set(tasks)
    try:
        yield
    finally:
        _listed.reset(token)


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[T]],
    *,
    ends_with: tuple[type[Exception], ...] = (),
    clock: Callable[[], int] = now_ms,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Runs `run` until it returns or the caller is cancelled, and returns its result. Whenever `run` raises, the crash
    is logged with its traceback, and `run` is called again after 1, 2, 4 .. 300 s, plus or minus a quarter.

    Each loop calls this within its own `run`, so that nobody who starts one can forget to. A loop that starts again
    puts back what it had taken up (`taking_up`). Test: test_every_task_is_kept.py looks for others.

    Exceptions of the types `ends_with` are raised instead. A HeliographError has its cause outside of the program, so
    it is logged without a traceback. A CancelledError counts as a crash if nobody cancelled this task: it comes from
    something that `run` awaits. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1).
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
    # By a timer and not at the next crash: `status` should not tell for days of what is long over.
    calm = asyncio.get_running_loop().call_later(CALM_S, task.forget_crashes)
    try:
        return await run()
    finally:
        calm.cancel()


def _is_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _note_crash(task: LongTask, crash: BaseException, now_ms: int, jitter: float) -> float:
    """Logs the crash, and returns the seconds until the task starts again."""
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
"""Keeps tasks alive: asyncio has only weak references to them, so a task that nobody holds may vanish halfway."""


def start(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Starts a task that the caller awaits or cancels. What the task raises is for the caller to look at."""
    task = asyncio.create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancels the task and returns when it has ended. What the task raised at its end is raised nowhere."""
    task.cancel()
    await asyncio.wait([task])


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """Logs whatever the block raises, with its traceback, as a fault in `what`, and goes on behind the block."""
    try:
        yield
    except Exception:
        log.exception("Unexpected fault in %s", what)


@contextlib.contextmanager
def taking_up(event: asyncio.Event) -> Iterator[None]:
    """Clears the event, whose work the block does, and sets it again if the block raises anything: a loop that starts
    again goes on with that work. Setting the event meanwhile asks for one more time."""
    event.clear()
    try:
        yield
    except Exception:
        event.set()
        raise


async def keep_following(name: str, event: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work each time that the event is set, kept running as by `keep_running`."""
    await keep_running(name, partial(_follow, event, work))


async def _follow(event: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await event.wait()
        with taking_up(event):
            await work()


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs all works at once and returns their results in order. If one fails, the others are cancelled, and its error
    is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        # Callers expect the error itself, as if they had awaited one work after the other, and not a group.
        first: Exception = failures
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first


def start_beside(work: Coroutine[Any, Any, object], *, name: str) -> asyncio.Task[object]:
    """Starts a short task that nobody needs to await. What it raises is logged, and with a traceback unless that is a
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
    """A done-callback for a task whose error interests nobody: asyncio would log an error that was not looked at."""
    if not task.cancelled():
        task.exception()
