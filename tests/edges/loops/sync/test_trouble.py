"""Lasting trouble of a sync is told by one measure, taken back when it is over, and told again the next time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.homeserver import FakeHomeserver
from heliograph.core.connection import Connection
from heliograph.core.events import Sync
from heliograph.errors import AccountLocked, BadAnswer, HeliographError, RateLimited, Refused, TokenRefused, Unreachable
from heliograph.ports.homeserver import SyncRequest
from support.builders import make_sync
from support.log_guard import ExpectLog
from support.waiting import until

MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR


class SickHomeserver(FakeHomeserver):
    """Answers each sync, or only each that waits for news, with what `illness` makes."""

    illness: Callable[[], Exception | Sync] | None = None
    is_ill_at_once = True
    """Syncs that return at once fail, too."""

    async def sync(self, request: SyncRequest) -> Sync:
        if self.illness is not None and (request.timeout_ms or self.is_ill_at_once):
            self.requests.append(request)
            await asyncio.sleep(0.1)
            answer = self.illness()
            if isinstance(answer, Sync):
                return answer
            raise answer
        return await super().sync(request)


@pytest.fixture
def homeserver() -> SickHomeserver:
    return SickHomeserver("@me:example.org")


@pytest.fixture
def stage(clock: WallClock, homeserver: SickHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver)


async def fall_ill(homeserver: SickHomeserver, illness: Callable[[], Exception | Sync]) -> None:
    homeserver.illness = illness
    await homeserver.drop_connections()


def announce(error: Exception, expect_log: ExpectLog, *, once_each: bool) -> None:
    """What the log says of two days with it: of each once, unless syncs that return at once work in between."""
    is_known = isinstance(error, HeliographError)
    if not is_known:
        expect_log("Unexpected fault in the sync loop\n", times=(2, None))
    if isinstance(error, Refused) and error.status == 400:
        expect_log(r"refuses the sync token \(refused with HTTP 400\): starting anew$", times=(1, None))
        expect_log(r"refuses a narrow sync \(refused with HTTP 400\): asking for all", times=(0, 1))
    told = re.escape(str(error)) if is_known else "an unexpected fault, see the log"
    expect_log(f"warning: @me:example.org: {told}$", times=2 if once_each else (2, None))


@pytest.mark.parametrize(
    ("illness", "words"),
    [
        (ZeroDivisionError, "report"),
        (lambda: BadAnswer(200, "answered HTTP 200: <html>"), "sign in"),
        (lambda: BadAnswer(502, "answered HTTP 502"), "HTTP 502"),
        (lambda: BadAnswer(401, "answered HTTP 401"), "proxy"),
        (lambda: Unreachable("the certificate of example.org is not trusted"), "not trusted"),
        (lambda: Unreachable("the name example.org is not known"), "not known"),
        (lambda: Refused(400, "M_INVALID_PARAM", "refused with HTTP 400"), "HTTP 400"),
        (lambda: Refused(403, "M_FORBIDDEN", "refused with HTTP 403"), "HTTP 403"),
        (lambda: RateLimited("rate limited", 60.0), "fewer requests"),
        (lambda: RateLimited("rate limited", 10 * HOUR), "fewer requests"),
    ],
    ids=["fault", "no JSON", "502", "401 of a proxy", "TLS", "DNS", "400", "403", "429", "429 for hours"],
)
@pytest.mark.parametrize("is_ill_at_once", [True, False])
async def test_whatever_keeps_polls_from_working_is_told_once_and_taken_back(
    stage: SyncStage,
    homeserver: SickHomeserver,
    illness: Callable[[], Exception],
    words: str,
    is_ill_at_once: bool,
    expect_log: ExpectLog,
) -> None:
    announce(illness(), expect_log, once_each=is_ill_at_once)
    homeserver.is_ill_at_once = is_ill_at_once
    async with running(stage.loop):
        for outages in (1, 2):
            await stage.connected()
            await fall_ill(homeserver, illness)
            await asyncio.sleep(14 * MINUTE)
            assert len(stage.troubles) == outages - 1
            await asyncio.sleep(DAY)
            assert len(stage.troubles) == outages
            title, hint = stage.troubles[-1]
            assert "example.org" in title
            assert words in hint
            homeserver.illness = None
            await asyncio.sleep(2 * HOUR)
            assert stage.notices.standing == {}
            assert stage.connection.state is Connection.CONNECTED


async def test_polls_that_are_answered_at_once_and_with_nothing_new_are_told(
    stage: SyncStage, homeserver: SickHomeserver
) -> None:
    """As a cache does that knows no query."""
    async with running(stage.loop):
        await stage.connected()
        token = str(stage.ledger.state.next_batch)
        await fall_ill(homeserver, lambda: make_sync(next_batch=token))
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert "cache" in stage.troubles[0][1]
        assert len(homeserver.requests) - before < HOUR / 4
        homeserver.illness = None
        await until(lambda: not stage.notices.standing, "the notice to go")


@pytest.mark.expected_log("warning: @me:example.org: no connection$", times=5)
async def test_an_outage_of_minutes_is_no_trouble(stage: SyncStage, homeserver: SickHomeserver) -> None:
    async with running(stage.loop):
        for _ in range(5):
            await stage.connected()
            await fall_ill(homeserver, lambda: Unreachable("no connection"))
            await asyncio.sleep(13 * MINUTE)
            homeserver.illness = None
            await asyncio.sleep(5 * MINUTE)
    assert stage.troubles == []


@pytest.mark.expected_log("warning: @me:example.org: answered HTTP 502$")
async def test_trouble_from_the_very_start_is_told(stage: SyncStage, homeserver: SickHomeserver) -> None:
    homeserver.illness = lambda: BadAnswer(502, "answered HTTP 502")
    async with running(stage.loop):
        await asyncio.sleep(17 * MINUTE)
    assert len(stage.troubles) == 1


@pytest.mark.expected_log("warning: @me:example.org: no connection$")
async def test_while_the_network_is_down_nothing_is_told(stage: SyncStage, homeserver: SickHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        stage.is_network_up = False
        await fall_ill(homeserver, lambda: Unreachable("no connection"))
        await asyncio.sleep(DAY)
        assert stage.troubles == []
        stage.is_network_up = True
        await asyncio.sleep(14 * MINUTE)
        assert stage.troubles == []
        await asyncio.sleep(3 * MINUTE)
        assert len(stage.troubles) == 1


@pytest.mark.expected_log("warning: @me:example.org: no connection$")
async def test_a_wall_clock_that_is_set_tells_nothing(
    stage: SyncStage, homeserver: SickHomeserver, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await fall_ill(homeserver, lambda: Unreachable("no connection"))
        clock.jump(DAY)
        await asyncio.sleep(10 * MINUTE)
    assert stage.troubles == []


@pytest.mark.expected_log("warning: @me:example.org: no$", times=(2, 250))
async def test_a_homeserver_that_refuses_polls_alone_is_asked_seldom(
    stage: SyncStage, homeserver: SickHomeserver
) -> None:
    """What works in between must not end the back-off, and still rings."""
    room = await stage.room()
    homeserver.is_ill_at_once = False
    async with running(stage.loop):
        await stage.connected()
        await fall_ill(homeserver, lambda: Refused(403, "M_FORBIDDEN", "no"))
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert len(homeserver.requests) - before < 250
        await stage.alice.send_text(room, "hello")
        await asyncio.wait_for(stage.rings("hello"), 2 * MINUTE)


@pytest.mark.expected_log("warning: @me:example.org: the account is locked by the homeserver$")
async def test_a_locked_account_is_told_at_once_and_served_within_a_poll_of_its_end(
    stage: SyncStage, homeserver: SickHomeserver
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await fall_ill(homeserver, AccountLocked)
        await until(lambda: stage.troubles, "the notice")
        assert "locked" in stage.troubles[0][0]
        assert "locked" in stage.connection.why
        before = len(homeserver.requests)
        await asyncio.sleep(DAY)
        assert len(homeserver.requests) - before < 2500
        assert len(stage.troubles) == 1
        homeserver.illness = None
        await stage.alice.send_text(room, "hello")
        await asyncio.wait_for(stage.rings("hello"), 50)
        assert stage.notices.standing == {}


@pytest.mark.expected_log("warning: @me:example.org: a fresh access token is refused")
async def test_while_fresh_tokens_are_refused_each_new_one_is_tried_as_soon_as_it_may_be(
    stage: SyncStage, homeserver: SickHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await fall_ill(homeserver, lambda: TokenRefused(7))
        await until(lambda: stage.troubles, "the notice")
        assert "refuses your sign-in" in stage.troubles[0][0]
        await asyncio.sleep(HOUR)
        before = len(homeserver.requests)
        await asyncio.sleep(70)
        assert len(homeserver.requests) - before == 10


@pytest.mark.expected_log("warning: @me:example.org: the fake disk is full$", times=2)
async def test_a_full_disk_is_told_at_once_and_each_time(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        for month in (1, 3):
            stage.ledger.is_full = True
            await stage.alice.send_text(room, f"in month {month}")
            await until(lambda: stage.notices.standing, "the notice")
            await asyncio.sleep(HOUR)
            stage.ledger.is_full = False
            await stage.rings(f"in month {month}")
            assert stage.notices.standing == {}
    assert [title for title, _ in stage.troubles] == ["Heliograph cannot write to disk"] * 2


@pytest.mark.expected_log("warning: @me:example.org: the fake disk is full$")
async def test_a_disk_that_works_again_is_noticed_without_news(stage: SyncStage) -> None:
    """A write that is not worth while otherwise shows it."""
    async with running(stage.loop):
        await stage.connected()
        stage.encryption.is_full = True
        stage.homeserver.send_to_device("@alice:example.org", "org.example.test", {})
        await until(lambda: stage.notices.standing, "the notice")
        stage.encryption.is_full = False
        await asyncio.wait_for(until(lambda: not stage.notices.standing, "its end"), 5 * MINUTE)
