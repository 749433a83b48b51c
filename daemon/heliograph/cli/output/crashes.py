"""Puts crashes of the daemon's long-lived tasks into words, for `heliograph status` and `heliograph doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heliograph.cli.output.times import local_time
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

_LIMIT = 200


@value_type
class Crashed:
    """A long-lived task that crashed within the last hour. `is_down`: the task waits for its next try."""

    name: str
    text: str
    is_down: bool


def read_crashes(tasks: Any) -> Iterator[Crashed]:
    """The tasks that crashed lately, out of a list of tasks in the daemon's status. Entries that are none are left
    out: the daemon may be of another version."""
    for task in tasks if isinstance(tasks, list) else ():
        if not isinstance(task, dict) or not isinstance(crashes := task.get("crashes"), int) or crashes <= 0:
            continue
        name, why = (clean_line(str(task.get(key) or ""), _LIMIT) for key in ("name", "why"))
        is_down = task.get("next_try_ms") is not None
        times = "once" if crashes == 1 else f"{crashes} times"
        text = f"crashed {times}, last {local_time(task.get('last_crash_ms'))} ({why})"
        next_try = f"next try {local_time(task['next_try_ms'])}" if is_down else "runs again"
        yield Crashed(name, f"{text}; {next_try}", is_down)
