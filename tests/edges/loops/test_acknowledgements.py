from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edges.loops.stage import WallClock
from fakes.notices import FakeNotices
from fakes.push_relay import FakePushRelay
from heliograph.core.ids import EventId, OwnKey
from heliograph.errors import RateLimited, Refused, Unreachable
from heliograph.loops.acknowledgements import MAX_AT_ONCE, MAX_KEPT, PAUSE_MS, PRESENT_MS, RENEW_MS, AcknowledgementLoop
from support.waiting import until


class Stage:
    def __init__(self) -> None:
        self.relay, self.clock, self.troubles = FakePushRelay(), WallClock(), FakeNotices()
        self.is_present = True
        self.loop = AcknowledgementLoop(
            self.relay,
            is_present=lambda: self.is_present,
            clock=self.clock,
            jitter=lambda: 0.0,
            troubles=self.troubles,
        )

    def leave(self) -> None:
        self.is_present = False
        self.loop.wake()

    def come_back(self) -> None:
        self.is_present = True
        self.loop.wake()

    async def told(self, count: int) -> None:
        await until(lambda: len(self.relay.calls) >= count, f"call {count}")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    task = asyncio.create_task(stage.loop.run())
    yield stage
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_was_shown_is_told_at_once_with_our_presence(stage: Stage) -> None:
    stage.loop.take([EventId("$1"), EventId("$2"), OwnKey("invite:!room:1")])
    await stage.told(1)
    assert stage.relay.calls == [(["$1", "$2"], PRESENT_MS)]
    assert stage.loop.state == "told"


async def test_presence_is_renewed_before_it_runs_out_and_not_with_every_turn(stage: Stage) -> None:
    stage.loop.turn()
    await stage.told(1)
    stage.loop.turn()
    await asyncio.sleep(0)
    assert len(stage.relay.calls) == 1
    stage.clock.jump(RENEW_MS / 1000)
    stage.loop.turn()
    await stage.told(2)
    assert stage.relay.calls == [([], PRESENT_MS)] * 2
    assert RENEW_MS + 50_000 < PRESENT_MS


async def test_what_comes_while_the_user_is_elsewhere_is_left_to_the_phone(stage: Stage) -> None:
    stage.loop.turn()
    await stage.told(1)
    stage.leave()
    stage.loop.take([EventId("$away")])
    await stage.told(2)
    assert stage.relay.calls[-1] == ([], 0)
    stage.come_back()
    stage.loop.take([EventId("$back")])
    await until(lambda: "$back" in stage.relay.acknowledged, "the acknowledgement")
    assert stage.relay.is_waited_for
    assert "$away" not in stage.relay.acknowledged


async def test_what_is_shown_in_silence_after_the_return_is_left_to_the_phone(stage: Stage) -> None:
    stage.is_present = False
    stage.loop.take([EventId("$silent")])
    stage.loop.turn()
    await stage.told(1)
    assert stage.relay.calls == [([], 0)]


@pytest.mark.expected_log("The relay cannot be told what was shown")
async def test_a_relay_that_is_down_is_told_later(stage: Stage) -> None:
    stage.relay.failure = Unreachable("no")
    stage.loop.take([EventId("$1")])
    await until(lambda: stage.relay.attempts, "the attempt")
    stage.loop.take([EventId("$2")])
    assert stage.loop.state == "not told: no"
    stage.relay.failure = None
    await until(lambda: stage.relay.acknowledged == {"$1", "$2"}, "the acknowledgement")
    assert stage.troubles.told == []


@pytest.mark.expected_log("The relay cannot be told what was shown")
async def test_a_definite_no_is_told_to_the_user_once(stage: Stage) -> None:
    stage.relay.failure = Refused(401, "M_UNKNOWN_TOKEN", "no such token")
    stage.loop.take([EventId("$1")])
    await until(lambda: stage.troubles.told, "the notice")
    stage.loop.take([EventId("$2")])
    await asyncio.sleep(0.05)
    assert len(stage.troubles.told) == stage.relay.attempts == 1


@pytest.mark.expected_log("The relay cannot be told what was shown", times=2)
async def test_a_relay_that_took_it_again_and_then_refuses_is_told_of_anew(stage: Stage) -> None:
    for _ in range(2):
        stage.relay.failure = Refused(401, "M_UNKNOWN_TOKEN", "no such token")
        stage.loop.take([EventId("$1")])
        await until(lambda: stage.troubles.standing, "the notice")
        stage.relay.failure = None
        stage.clock.jump(PAUSE_MS / 1000)
        stage.loop.turn()
        await until(lambda: not stage.troubles.standing, "its end")
        stage.clock.jump(RENEW_MS / 1000)
    assert len(stage.troubles.told) == 2


@pytest.mark.expected_log("The relay cannot be told what was shown")
async def test_what_the_relay_asks_for_is_waited_for(stage: Stage) -> None:
    stage.relay.failure = RateLimited("slow down", 600)
    stage.loop.take([EventId("$1")])
    await until(lambda: stage.relay.attempts, "the attempt")
    stage.loop.take([EventId("$2")])
    await asyncio.sleep(0.05)
    assert stage.relay.attempts == 1


async def test_many_are_told_in_parts_and_too_many_are_let_go(stage: Stage) -> None:
    stage.loop.take(EventId(f"${number}") for number in range(MAX_KEPT + 10))
    await until(lambda: len(stage.relay.acknowledged) == MAX_KEPT, "the acknowledgements")
    assert max(len(event_ids) for event_ids, _ in stage.relay.calls) == MAX_AT_ONCE
    assert "$9" not in stage.relay.acknowledged
