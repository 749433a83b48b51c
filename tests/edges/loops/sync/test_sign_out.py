"""A sign-out counts once whoami has confirmed it twice, a minute apart. Until then nothing is done that is for good."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import SyncStage, WallClock, running, until_signed_out
from fakes.homeserver import FakeHomeserver
from heliograph.core.connection import Connection
from heliograph.core.events import Sync
from heliograph.errors import AccountLocked, BadAnswer, LoggedOut, RateLimited, Refused, ServerError, Unreachable
from heliograph.ports.homeserver import SyncRequest
from support.builders import ME
from support.waiting import until

MINUTE = 60
DAY = 24 * 3600
GONE = LoggedOut(soft=False)

checks = pytest.mark.expected_log("warning: @me:example.org: checking whether @me:example.org was signed out$")
is_believed = pytest.mark.expected_log("took @me:example.org for signed out, and knows its access token$")


class DoubtfulHomeserver(FakeHomeserver):
    """Says of its polls what `polls_say`, and of whoami, one after the other, what `whoami_says`; None: all is well."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.polls_say: list[ServerError] = []
        self.whoami_says: list[ServerError | None] = []
        self.asked_at_s: list[float] = []
        """When whoami was asked."""

    async def sync(self, request: SyncRequest) -> Sync:
        if self.polls_say:
            self.requests.append(request)
            raise self.polls_say.pop(0)
        return await super().sync(request)

    async def whoami(self) -> None:
        self.asked_at_s.append(asyncio.get_running_loop().time())
        if self.whoami_says and (answer := self.whoami_says.pop(0)) is not None:
            raise answer
        await super().whoami()


@pytest.fixture
def homeserver() -> DoubtfulHomeserver:
    return DoubtfulHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: DoubtfulHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver)


async def doubt(homeserver: DoubtfulHomeserver, *whoami_says: ServerError | None, polls: int = 1) -> None:
    """From now on `polls` syncs hear that the device was signed out."""
    homeserver.whoami_says.extend(whoami_says)
    homeserver.polls_say.extend([GONE] * polls)
    await homeserver.drop_connections()


@checks
@pytest.mark.parametrize("soft", [True, False])
async def test_it_ends_when_whoami_says_so_twice_a_minute_apart(
    stage: SyncStage, homeserver: DoubtfulHomeserver, soft: bool
) -> None:
    async with running(stage.loop) as task:
        await stage.connected()
        await homeserver.sign_out(soft=soft)
        await until(lambda: "checking whether @me:example.org was signed out" in stage.connection.why)
        states = [stage.connection.state]
        before = len(homeserver.requests)
        gone = await until_signed_out(task)
        states.append(stage.connection.state)
    assert gone.soft is soft
    assert states == [Connection.OFFLINE, Connection.SIGNED_OUT]
    first, second = homeserver.asked_at_s
    assert second - first >= MINUTE
    assert len(homeserver.requests) == before, "syncs meanwhile"


@checks
@is_believed
async def test_one_wrong_answer_to_a_poll_costs_a_second(stage: SyncStage, homeserver: DoubtfulHomeserver) -> None:
    room = await stage.room()
    async with running(stage.loop) as task:
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        await doubt(homeserver, None)
        await asyncio.wait_for(stage.rings("hello"), 5)
        assert not task.done()
        await asyncio.sleep(MINUTE)
        assert stage.connection.state is Connection.CONNECTED
    assert len(homeserver.asked_at_s) == 1
    assert stage.troubles == []


@checks
@is_believed
async def test_whoami_must_say_so_twice(stage: SyncStage, homeserver: DoubtfulHomeserver) -> None:
    """A homeserver that was replaced for half a minute."""
    room = await stage.room()
    async with running(stage.loop) as task:
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        await doubt(homeserver, GONE, None)
        await asyncio.wait_for(stage.rings("hello"), 2 * MINUTE)
        assert not task.done()


@checks
@is_believed
@pytest.mark.parametrize(
    "trouble",
    [
        Unreachable("no connection"),
        BadAnswer(401, "answered HTTP 401: M_MISSING_TOKEN"),
        RateLimited("slow down", 300),
        Refused(404, "M_UNRECOGNIZED", "no such thing"),
    ],
    ids=["no answer", "401 of a proxy", "429", "404"],
)
async def test_what_is_no_answer_confirms_nothing_however_long_it_lasts_and_is_told(
    stage: SyncStage, homeserver: DoubtfulHomeserver, trouble: ServerError
) -> None:
    room = await stage.room()
    async with running(stage.loop) as task:
        await stage.connected()
        await doubt(homeserver, GONE, *[trouble] * 10_000)
        await asyncio.sleep(DAY)
        assert not task.done()
        assert len(stage.troubles) == 1
        assert len(homeserver.asked_at_s) < 1600
        homeserver.whoami_says.clear()
        await stage.alice.send_text(room, "hello")
        await asyncio.wait_for(stage.rings("hello"), 10 * MINUTE)
        await asyncio.sleep(MINUTE)
        assert stage.notices.standing == {}


@checks
async def test_answers_with_trouble_in_between_still_count(stage: SyncStage, homeserver: DoubtfulHomeserver) -> None:
    async with running(stage.loop) as task:
        await stage.connected()
        await doubt(homeserver, Unreachable("no"), GONE, *[Unreachable("no")] * 3, GONE)
        assert not (await until_signed_out(task)).soft


@checks
@is_believed
async def test_a_locked_account_is_not_signed_out(stage: SyncStage, homeserver: DoubtfulHomeserver) -> None:
    room = await stage.room()
    async with running(stage.loop) as task:
        await stage.connected()
        await doubt(homeserver, AccountLocked())
        await stage.alice.send_text(room, "hello")
        await asyncio.wait_for(stage.rings("hello"), 10)
        assert not task.done()


@checks
@pytest.mark.parametrize("which", range(3))
async def test_who_says_once_that_the_device_still_exists_is_believed(
    stage: SyncStage, homeserver: DoubtfulHomeserver, which: int
) -> None:
    answers = [LoggedOut(soft=number == which) for number in range(3)]
    async with running(stage.loop) as task:
        await stage.connected()
        homeserver.whoami_says.extend(answers[1:])
        homeserver.polls_say.append(answers[0])
        await homeserver.drop_connections()
        assert (await until_signed_out(task)).soft


@checks
async def test_a_network_that_comes_up_does_not_shorten_the_minute(
    stage: SyncStage, homeserver: DoubtfulHomeserver
) -> None:
    async with running(stage.loop) as task:
        await stage.connected()
        await homeserver.sign_out()
        for _ in range(5):
            await asyncio.sleep(5)
            await stage.loop.nudge("network up")
        await until_signed_out(task)
    first, second = homeserver.asked_at_s
    assert second - first >= MINUTE


@checks
async def test_a_wall_clock_that_is_set_does_not_shorten_the_minute(
    stage: SyncStage, homeserver: DoubtfulHomeserver, clock: WallClock
) -> None:
    async with running(stage.loop) as task:
        await stage.connected()
        await homeserver.sign_out()
        await until(lambda: homeserver.asked_at_s)
        clock.jump(DAY)
        await until_signed_out(task)
    first, second = homeserver.asked_at_s
    assert second - first >= MINUTE


@pytest.mark.expected_log("checking whether @me:example.org was signed out$", times=(1, 2000))
@pytest.mark.expected_log("took @me:example.org for signed out, and knows its access token$", times=(1, 2000))
async def test_polls_that_go_on_to_say_so_against_whoami_are_trouble_and_no_storm(
    stage: SyncStage, homeserver: DoubtfulHomeserver
) -> None:
    """A sync worker that lost its tokens."""
    async with running(stage.loop) as task:
        await stage.connected()
        before = len(homeserver.requests)
        await doubt(homeserver, polls=100_000)
        await asyncio.sleep(DAY)
        assert not task.done()
        assert len(homeserver.requests) - before < 2000
        assert len(stage.troubles) == 1


async def test_whoever_waits_for_all_to_be_here_is_told_at_once(
    stage: SyncStage, homeserver: DoubtfulHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await homeserver.sign_out()
        began = asyncio.get_running_loop().time()
        assert not await stage.loop.collect()
        assert asyncio.get_running_loop().time() - began < MINUTE


@checks
async def test_a_sign_out_before_the_first_sync_is_confirmed_too(
    stage: SyncStage, homeserver: DoubtfulHomeserver
) -> None:
    homeserver.signed_out = GONE
    async with running(stage.loop) as task:
        await until_signed_out(task)
    assert len(homeserver.asked_at_s) == 2
