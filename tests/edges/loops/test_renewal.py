"""The daemon renews its access token before that ends, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import running
from fakes.access_tokens import FakeAccessTokens
from heliograph.errors import LoggedOut, TokenRefused, Unreachable
from heliograph.homeserver.lasting_token import LastingToken
from heliograph.loops.renewal import RenewalLoop

LIFE_S = 300.0


@pytest.fixture
async def tokens() -> FakeAccessTokens:
    return FakeAccessTokens(LIFE_S, clock=asyncio.get_running_loop().time)


@pytest.fixture
def loop(tokens: FakeAccessTokens) -> RenewalLoop:
    return RenewalLoop(tokens, jitter=lambda: 0.5)


async def test_a_token_is_renewed_once_half_of_its_life_is_over(tokens: FakeAccessTokens, loop: RenewalLoop) -> None:
    async with running(loop):
        await asyncio.sleep(LIFE_S / 2 - 1)
        assert tokens.asked == 0
        await asyncio.sleep(LIFE_S / 5)
        assert tokens.asked == 1
        assert tokens.left_s() > LIFE_S / 2
        await asyncio.sleep(3600)
        assert tokens.asked == pytest.approx(1 + 3600 / (0.55 * LIFE_S), abs=1)


async def test_what_another_process_renewed_is_not_renewed_again(tokens: FakeAccessTokens, loop: RenewalLoop) -> None:
    async with running(loop):
        await asyncio.sleep(LIFE_S / 3)
        await tokens.renew(await tokens.fresh())
        assert tokens.asked == 1
        await asyncio.sleep(LIFE_S / 3)
        assert tokens.asked == 1


async def test_an_endpoint_in_trouble_is_asked_until_it_works(tokens: FakeAccessTokens, loop: RenewalLoop) -> None:
    tokens.trouble = Unreachable("the token endpoint does not answer")
    async with running(loop):
        await asyncio.sleep(LIFE_S - 1)
        assert tokens.asked > 5
        tokens.trouble = None
        await asyncio.sleep(15)
        assert tokens.left_s() > LIFE_S / 2


@pytest.mark.parametrize("trouble", [TokenRefused(600), LoggedOut(soft=True), Unreachable("dead")])
async def test_no_trouble_makes_it_spin(
    tokens: FakeAccessTokens, loop: RenewalLoop, trouble: TokenRefused | LoggedOut | Unreachable
) -> None:
    tokens.trouble = trouble
    tokens.pass_time(LIFE_S)
    async with running(loop):
        await asyncio.sleep(600)
    assert tokens.asked <= 41


async def test_a_machine_that_woke_up_renews_with_its_first_sync(tokens: FakeAccessTokens, loop: RenewalLoop) -> None:
    async with running(loop):
        await asyncio.sleep(1)
        # The clock of the event loop stands in sleep, and that of the token does not.
        tokens.pass_time(8 * 3600)
        await asyncio.sleep(1)
        assert tokens.asked == 0
        loop.turn()
        await asyncio.sleep(1)
        assert tokens.asked == 1


async def test_a_token_that_lasts_ends_the_loop() -> None:
    await RenewalLoop(LastingToken("lasts"), jitter=lambda: 0.5).run()
