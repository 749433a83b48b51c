"""Runs `heliograph relay`, and kills the process the first time it comes to the named step.

    relay_launcher.py STEP relay OPTIONS...

It is the test's own program: the relay knows nothing of steps.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from heliograph.relay.gateway.notify import Gateway
from heliograph.relay.queue.forwarding import Forwarder
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.sync.response import SyncResponseBuilder

Method = Callable[..., Awaitable[Any]]


def die() -> None:
    """As kill -9 from outside: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def _before(original: Method) -> Method:
    async def step(*arguments: Any, **options: Any) -> Any:
        die()

    return step


def _after(original: Method) -> Method:
    async def step(*arguments: Any, **options: Any) -> Any:
        await original(*arguments, **options)
        die()

    return step


STEPS: dict[str, tuple[type, str, Callable[[Method], Method]]] = {
    "before-push-kept": (Outbox, "take", _before),
    "after-push-kept": (Outbox, "take", _after),
    "before-push-answered": (Gateway, "notify", _after),
    "before-carried": (CarriedNotifications, "carry", _before),
    "after-carried": (CarriedNotifications, "carry", _after),
    "before-answer": (SyncResponseBuilder, "attach", _after),
    "before-acknowledgement": (Outbox, "acknowledge", _before),
    "between-acknowledgements": (Outbox, "acknowledge", _after),
    "after-acknowledgement": (CarriedNotifications, "acknowledge", _after),
    "before-sent": (Forwarder, "send", _before),
    "after-sent": (Forwarder, "send", _after),
}


def arm(step: str) -> None:
    """From now on the process dies at this step."""
    owner, name, wrap = STEPS[step]
    setattr(owner, name, wrap(getattr(owner, name)))


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    from heliograph.cli import main

    main()
