"""A whole run: the scene is set, the schedule played, everything mended, and the oracle asked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.demo.homeserver import ThrowawaySynapse
from support.waiting import until
from system.faults.disk import SmallDisks
from system.faults.oracle import Evidence, Verdict, judge, unfinished
from system.faults.scene import Scene, set_up
from system.faults.schedule import Act, Schedule, Step

CATCH_UP_S = 40.0
"""In which everything is on screen once nothing is at fault."""
LOOK_S = 0.1
"""Between two looks, each of which is work for Synapse."""
QUIET_S = 0.3
"""How long a ring that must not come is waited for, after one sent later has come."""


async def play(server: ThrowawaySynapse, schedule: Schedule, folder: Path, bus_address: str) -> list[Verdict]:
    """What became of every event."""
    disks = SmallDisks(folder, ("daemon", "relay"), boot_s=schedule.boot_s)
    with disks, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(disks.outside("daemon")))
        return await _play(server, schedule, folder, bus_address, disks)


async def _play(
    server: ThrowawaySynapse, schedule: Schedule, folder: Path, bus_address: str, disks: SmallDisks
) -> list[Verdict]:
    async with set_up(server, schedule, folder, bus_address, disks) as scene:
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for step in schedule.steps:
                tasks.create_task(_do(scene, step, began))
        if schedule.is_desktop_last:
            await scene.keep_desktop_away()
        await scene.mend()
        for room in range(3):
            await scene.cast.say(room)

        async def has_caught_up() -> bool:
            await asyncio.sleep(LOOK_S)
            return not unfinished(await scene.look())

        with contextlib.suppress(AssertionError):
            await until(has_caught_up, "everything", CATCH_UP_S)
        await asyncio.sleep(QUIET_S)
        evidence = await scene.look()
        print(*describe(evidence, began), sep="\n")
        return judge(evidence)


async def _do(scene: Scene, step: Step, began: float) -> None:
    await asyncio.sleep(began + step.at_s - time.monotonic())
    await (scene.cast.do(step) if isinstance(step.what, Act) else scene.do(step))


def describe(evidence: Evidence, began: float) -> Iterator[str]:
    """What was sent and what was shown, in the order in which it happened, for whoever looks into a failure."""
    rows: list[tuple[float, str]] = []
    for sent in evidence.sent:
        what = f"{'loud' if sent.is_loud else 'silent'} in {sent.room_id}: {evidence.states.get(sent.event_id)}"
        rows.append((sent.at_s, f"sent w{sent.number:04d} {sent.event_id} {what}"))
        ends = (("read", sent.read_s), ("redacted", sent.redacted_s))
        rows += [(at_s, f"{how} w{sent.number:04d}") for how, at_s in ends if at_s is not None]
    rows += [(each.at_s, f"shown {each.popup} {each.title!r} {each.body[:200]!r}") for each in evidence.tellings]
    rows += [(at_s, "daemon killed") for at_s in evidence.kills_s]
    rows += [(at_s, "screen lost") for at_s in evidence.screen_lost_s]
    rows += [(at_s, f"acknowledged {event}") for event, at_s in evidence.acknowledged.items()]
    rows += [(at_s, f"phone rang for {event}") for event, times in evidence.pushed.items() for at_s in times]
    for at_s, text in sorted(rows):
        yield f"{at_s - began:6.2f} s  {text}"


def summarize(verdicts: list[Verdict]) -> str:
    """How many events ended how."""
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(each.outcome for each in verdicts).items())
