"""The handoff of a device whose access token expires. Time is virtual; tokens live for five minutes."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.test_handoff import AWAY, FALLBACK, HERE, Stage
from fakes.access_tokens import FakeAccessTokens
from heliograph.core.pushers.handoff import HandoffSettings, Signs
from heliograph.errors import LoggedOut, TokenRefused, Unreachable
from heliograph.ports.homeserver import Features

DEAD = Unreachable("the token endpoint does not answer")
ENDING = "the access token ends and cannot be renewed"


class SlowTokens(FakeAccessTokens):
    """The token endpoint takes nine seconds."""

    async def fresh(self, *, least_left_s: float = 0) -> str:
        if self.left_s() <= least_left_s:
            await asyncio.sleep(9)
        return await super().fresh(least_left_s=least_left_s)


@pytest.fixture
async def switch() -> Stage:
    """A stock homeserver, the mode "switch", and the user at the desk with a new token."""
    clock = asyncio.get_running_loop().time
    stage = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key), tokens=FakeAccessTokens(clock=clock))
    await stage.look()
    assert not stage.homeserver.is_on(FALLBACK)
    return stage


@pytest.mark.parametrize("trouble", [DEAD, TokenRefused(61), LoggedOut(soft=True)])
async def test_a_token_that_cannot_be_renewed_hands_over_while_it_lives(
    switch: Stage, trouble: Unreachable | LoggedOut
) -> None:
    switch.tokens.trouble = trouble
    switch.log.clear()
    async with switch.running():
        await asyncio.sleep(239)
        assert switch.log == []
        await switch.done("hush")
    assert switch.log == ["Fallback on", "collect", "hush"]
    assert switch.tokens.left_s() > 50, "the token still lives"
    assert switch.loop.state.why_away == ENDING


async def test_it_takes_back_what_it_handed_over_once_there_is_a_new_token(switch: Stage) -> None:
    switch.tokens.trouble = DEAD
    async with switch.running():
        await switch.done("hush")
        await asyncio.sleep(600)
        switch.loop.turn()
        assert switch.loop.state.why_away == ENDING, "also after the end of the token"
        switch.tokens.trouble = None
        switch.log.clear()
        await switch.tokens.fresh()
        switch.loop.turn()
        await switch.done("Fallback off")
    assert switch.log == ["collect", "ring", "Fallback off"]


async def test_a_token_that_is_renewed_in_time_hands_nothing_over(switch: Stage) -> None:
    switch.log.clear()
    async with switch.running():
        for _ in range(20):
            await asyncio.sleep(160)
            await switch.tokens.fresh(least_left_s=149)
    assert switch.tokens.asked == 20
    assert switch.log == []


async def test_a_relay_holds_nothing_back_for_a_desktop_whose_token_ends() -> None:
    clock = asyncio.get_running_loop().time
    relay = Stage(HandoffSettings(fallback=FALLBACK.key), tokens=FakeAccessTokens(clock=clock))
    relay.features = Features(has_remote_toggle=True, has_direct_push=True)
    await relay.look()
    relay.tokens.trouble = DEAD
    async with relay.running():
        await relay.done("hush")
    assert relay.log == ["collect", "Desk off", "hush"]


async def test_nothing_is_switched_off_with_less_than_a_minute_of_token(switch: Stage) -> None:
    await switch.go(AWAY)
    switch.tokens.pass_time(280)
    switch.tokens.trouble = DEAD
    assert await switch.go(HERE) == []
    assert switch.loop.state.why_away == ENDING
    assert switch.homeserver.is_on(FALLBACK)


@pytest.mark.expected_log("The handoff of @me:example.org is not complete")
async def test_a_token_is_renewed_for_switching_off_and_no_longer_waited_for_than_a_second() -> None:
    clock = asyncio.get_running_loop().time
    stage = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key), tokens=SlowTokens(80, clock=clock))
    stage.tokens.pass_time(50)
    began = clock()
    await stage.look()
    assert clock() - began < 2
    assert stage.homeserver.is_on(FALLBACK)
    assert "not renewed yet" in str(stage.loop.state.trouble)


@pytest.mark.parametrize("passed_s", [0, 200, 299])
async def test_leaving_asks_no_token_endpoint_as_long_as_the_token_lives(switch: Stage, passed_s: int) -> None:
    switch.tokens.pass_time(passed_s)
    switch.tokens.trouble = DEAD
    assert await switch.go(Signs(is_asleep=True)) == ["Fallback on", "collect", "hush"]
    assert switch.tokens.asked == 0


async def test_who_begins_with_a_token_that_has_ended_counts_as_here() -> None:
    """As after each night: the first request has the next token."""
    clock = asyncio.get_running_loop().time
    stage = Stage(HandoffSettings(mode="switch", fallback=FALLBACK.key), tokens=FakeAccessTokens(clock=clock))
    stage.tokens.pass_time(30_000)
    await stage.look()
    assert stage.loop.state.why_away is None
    assert stage.tokens.asked == 1
    assert stage.log == ["collect", "Fallback off"]
