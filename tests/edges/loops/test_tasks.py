"""Tasks that start again after a crash, and short ones whose failure is logged, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from edges.loops.stage import WallClock
from heliograph.errors import StateError, StorageError
from heliograph.system.tasks import (
    CALM_S,
    LAST_DELAY_S,
    LongTask,
    going_on,
    keep_running,
    listed_in,
    start,
    start_beside,
    taking_up,
    together,
)

HOUR = 3600


class Loop:
    """Something long-lived: `faults` are raised in turn, each after `each_s`; then it runs for ever."""

    def __init__(self, *faults: BaseException, each_s: float = 0) -> None:
        self.faults = list(faults)
        self.each_s = each_s
        self.starts: list[float] = []

    async def run(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if self.faults:
            await asyncio.sleep(self.each_s)
            raise self.faults.pop(0)
        await asyncio.Event().wait()

    @property
    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.starts, self.starts[1:], strict=False)]


@contextlib.asynccontextmanager
async def kept(
    clock: WallClock, run: Callable[[], Awaitable[None]], *, jitter: float = 0.5
) -> AsyncIterator[list[LongTask]]:
    tasks: list[LongTask] = []
    with listed_in(tasks):
        task = start(keep_running("a loop", run, clock=clock, jitter=lambda: jitter), name="test")
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.expected_log("a loop crashed")
async def test_after_a_crash_it_starts_again_and_the_traceback_is_logged(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop(RuntimeError("a fault"))
    async with kept(clock, loop.run):
        await asyncio.sleep(10)
    assert loop.pauses == [1]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "a loop crashed" in record.getMessage()
    assert record.exc_info is not None
    assert "raise self.faults.pop(0)" in caplog.text


@pytest.mark.expected_log("a loop crashed", times=12)
async def test_it_waits_longer_after_each_crash_and_never_longer_than_five_minutes(clock: WallClock) -> None:
    loop = Loop(*(RuntimeError() for _ in range(12)))
    async with kept(clock, loop.run):
        await asyncio.sleep(HOUR)
    assert loop.pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, LAST_DELAY_S, LAST_DELAY_S, LAST_DELAY_S]


@pytest.mark.expected_log("a loop crashed", times=2)
@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.75), (0.5, 1.0), (0.75, 1.125)])
async def test_not_all_start_again_at_the_same_moment(clock: WallClock, jitter: float, factor: float) -> None:
    loop = Loop(RuntimeError(), RuntimeError())
    async with kept(clock, loop.run, jitter=jitter):
        await asyncio.sleep(10)
    assert loop.pauses == [factor, 2 * factor]


@pytest.mark.expected_log("a loop crashed", times=2)
async def test_what_it_crashed_of_and_when_it_starts_again_is_told(clock: WallClock) -> None:
    loop = Loop(RuntimeError("the words of a message"), ValueError())
    async with kept(clock, loop.run) as tasks:
        (task,) = tasks
        await asyncio.sleep(0.5)
        assert task.as_json() == {
            "name": "a loop",
            "crashes": 1,
            "last_crash_ms": clock.ahead_ms,
            "why": task.why,
            "next_try_ms": clock.ahead_ms + 1000,
        }
        assert task.why.startswith("RuntimeError in test_tasks.py, line ")
        await asyncio.sleep(1)
        assert (task.crashes, task.next_try_ms) == (2, clock.ahead_ms + 3000)
        await asyncio.sleep(2)
        assert (task.crashes, task.next_try_ms) == (2, None)
        assert task.why.startswith("ValueError")


@pytest.mark.expected_log("a loop crashed", times=4)
async def test_crashes_are_forgotten_after_a_good_while(clock: WallClock) -> None:
    loop = Loop(*(RuntimeError() for _ in range(4)), each_s=0)
    async with kept(clock, loop.run) as tasks:
        (task,) = tasks
        await asyncio.sleep(20)
        assert task.crashes == 4
        await asyncio.sleep(CALM_S)
        assert (task.crashes, task.last_crash_ms, task.why) == (0, None, "")


@pytest.mark.expected_log("a loop crashed", times=5)
async def test_a_crash_now_and_then_is_no_reason_to_wait_long(clock: WallClock) -> None:
    loop = Loop(*(RuntimeError() for _ in range(5)), each_s=CALM_S + 1)
    async with kept(clock, loop.run):
        await asyncio.sleep(6 * (CALM_S + 10))
    assert [pause - loop.each_s for pause in loop.pauses] == [1] * 5


async def test_it_ends_with_its_caller_and_is_told_of_no_more(clock: WallClock) -> None:
    loop = Loop()
    async with kept(clock, loop.run) as tasks:
        assert [task.name for task in tasks] == ["a loop"]
    assert tasks == []
    assert len(loop.starts) == 1


async def test_while_it_waits_to_start_again_it_can_be_ended(clock: WallClock) -> None:
    loop = Loop(RuntimeError())
    async with kept(clock, loop.run) as tasks:
        pass
    assert tasks == []


@pytest.mark.expected_log("a loop crashed")
async def test_a_cancellation_that_nobody_asked_it_for_is_a_crash(clock: WallClock) -> None:
    """As of a future that the loop awaits, and somebody else cancelled."""
    loop = Loop(asyncio.CancelledError())
    async with kept(clock, loop.run) as tasks:
        await asyncio.sleep(10)
        assert [task.crashes for task in tasks] == [1]
    assert len(loop.starts) == 2


@pytest.mark.expected_log("a loop cannot go on .the disk is full., and starts again in 1 s$")
async def test_what_somebody_else_caused_is_logged_without_a_traceback(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop(StorageError("the disk is full"))
    async with kept(clock, loop.run):
        await asyncio.sleep(10)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "the disk is full" in record.getMessage()
    assert len(loop.starts) == 2


async def test_it_ends_with_the_result_or_with_what_it_is_to_end_with() -> None:
    async def answer() -> int:
        return 7

    async def end() -> int:
        raise StateError("damaged", "restore it")

    assert await keep_running("a loop", answer) == 7
    with pytest.raises(StateError):
        await keep_running("a loop", end, ends_with=(StateError,))


async def test_loops_within_loops_are_told_of_by_whoever_keeps_the_outermost(clock: WallClock) -> None:
    inner = Loop()

    async def outer() -> None:
        await start(keep_running("inner", inner.run), name="inner")

    async with kept(clock, outer) as tasks:
        await asyncio.sleep(1)
        assert [task.name for task in tasks] == ["a loop", "inner"]


@pytest.mark.expected_log("the test's fail failed")
@pytest.mark.expected_log("the test's fail_outside failed: the disk is full$")
async def test_what_a_task_beside_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("a fault")

    async def fail_outside() -> None:
        raise StorageError("the disk is full")

    async def end() -> None:
        raise asyncio.CancelledError

    for work in (fail, fail_outside, end):
        await asyncio.wait([start_beside(work(), name=f"the test's {work.__name__}")])
    with_traceback, without = caplog.records
    assert with_traceback.getMessage() == "the test's fail failed"
    assert with_traceback.exc_info is not None
    assert without.getMessage() == "the test's fail_outside failed: the disk is full"
    assert without.exc_info is None


async def test_of_several_at_once_one_that_fails_ends_the_others() -> None:
    ended: list[str] = []

    async def wait() -> int:
        try:
            await asyncio.sleep(HOUR)
        finally:
            ended.append("wait")
        return 1

    async def fail() -> int:
        raise StorageError("the disk is full")

    async def answer(number: int) -> int:
        return number

    with pytest.raises(StorageError):
        await together([wait(), fail()])
    assert ended == ["wait"]
    assert await together([answer(1), answer(2)]) == [1, 2]


@pytest.mark.expected_log("Unexpected fault in the first of two")
def test_a_fault_in_one_thing_keeps_nothing_from_the_next() -> None:
    done = []
    for name in ("first", "second"):
        with going_on(f"the {name} of two"):
            if name == "first":
                raise RuntimeError("a fault of our own")
            done.append(name)
    assert done == ["second"]


@pytest.mark.expected_log("work crashed, and starts again in 1 s")
async def test_what_a_crash_left_undone_is_done_after_it(clock: WallClock) -> None:
    wanted, done, faults = asyncio.Event(), asyncio.Event(), [RuntimeError("a fault of our own")]

    async def work() -> None:
        await wanted.wait()
        with taking_up(wanted):
            if faults:
                raise faults.pop()
            done.set()

    wanted.set()
    await asyncio.wait_for(keep_running("work", work, clock=clock, jitter=lambda: 0.5), 2)
    assert done.is_set()
    assert not wanted.is_set()


async def test_work_that_is_wanted_anew_while_it_is_done_is_done_once_more() -> None:
    wanted = asyncio.Event()
    wanted.set()
    with taking_up(wanted):
        wanted.set()
    assert wanted.is_set()
