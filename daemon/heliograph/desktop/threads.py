"""Runs blocking calls in a thread, one at a time, and never waits longer than the caller wants."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class SideThread:
    """Runs one function at a time beside the event loop.

    While one function hangs, later ones time out; but neither the event loop nor the end of the process waits for it.
    The event loop's own executor would make the process wait: its threads are joined at exit.
    """

    def __init__(self) -> None:
        self._is_free = asyncio.Semaphore(1)

    async def run(self, work: Callable[[], None], timeout_s: float) -> None:
        """Returns when `work` has. Raises TimeoutError, or whatever `work` raises. After a time-out `work` goes on."""
        async with asyncio.timeout(timeout_s):
            await self._is_free.acquire()
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[None] = loop.create_future()

            def settle(error: Exception | None) -> None:
                # By the thread's end and not by the caller's, who may have given up: two would run at once.
                self._is_free.release()
                if ended.done():
                    return
                if error is None:
                    ended.set_result(None)
                else:
                    ended.set_exception(error)

            def target() -> None:
                outcome: Exception | None = None
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                    outcome = error
                # The loop may be closed by now, with nobody left to tell.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(settle, outcome)

            threading.Thread(target=target, name="heliograph side thread", daemon=True).start()
            await ended
