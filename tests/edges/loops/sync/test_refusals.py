"""What the sync loop does about refused tokens, narrow syncs and answers that are too large."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import BAD_TOKEN, DAY, HOUR, YEAR, WatchedHomeserver
from heliograph.core.connection import Connection
from heliograph.errors import AnswerTooLarge, BadAnswer, Refused, Unreachable
from support.waiting import until


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
async def test_a_token_that_is_refused_is_replaced_and_what_was_missed_rings(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        await homeserver.forget_token()
        await stage.alice.send_text(room, "missed")
        await stage.rings("missed")
        await stage.alice.send_text(room, "next")
        await stage.rings("next")
    assert stage.rung == ["known", "missed", "next"]


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
@pytest.mark.expected_log("@me:example.org: gone again$")
async def test_starting_anew_survives_a_failure_on_the_way(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        homeserver.list_failures.append(Unreachable("gone again"))
        await homeserver.forget_token()
        await stage.alice.send_text(room, "missed")
        await asyncio.wait_for(stage.rings("missed"), 60)


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
@pytest.mark.expected_log("@me:example.org: broken$")
@pytest.mark.expected_log("Starting without what the homeserver fails to tell")
@pytest.mark.expected_log("@me:example.org: unknown token$")
async def test_where_nobody_lists_what_was_missed_one_notice_says_so(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([BAD_TOKEN] * 5)
        homeserver.list_failures.extend([BadAnswer(500, "broken")] * 10)
        await homeserver.drop_connections()
        await until(lambda: stage.rung)
        await until(lambda: stage.connection.state is Connection.CONNECTED)
    assert stage.rung == ["The homeserver lost track of this device: some messages may have arrived unseen"]
    assert stage.ledger.state.push_rules is not None


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
@pytest.mark.expected_log("@me:example.org: unknown token$")
async def test_it_starts_anew_at_most_once_a_day(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([BAD_TOKEN] * 100_000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(DAY - HOUR)
        starts = [request for request in homeserver.requests[before:] if request.since is None]
        assert len(starts) == 1
        assert len(stage.troubles) == 1
        assert str(BAD_TOKEN) in stage.troubles[0][1]
        await asyncio.sleep(2 * HOUR)
        starts = [request for request in homeserver.requests[before:] if request.since is None]
        assert len(starts) == 2
    assert len(homeserver.requests) - before < 1600


@pytest.mark.expected_log(r"The homeserver refuses a narrow sync \(unknown token\)")
async def test_a_narrow_sync_that_is_refused_is_asked_widely_at_once_and_from_then_on(
    stage: SyncStage, homeserver: WatchedHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        homeserver.refuses_narrow_syncs = True
        before = len(homeserver.requests)
        for text in ("one", "two", "three"):
            await stage.alice.send_text(room, text)
            await stage.rings(text)
            await asyncio.sleep(HOUR)
    # The poll under way when it began to refuse, the refused one, and the same again for all.
    assert [request.is_narrow for request in homeserver.requests[before:][:3]] == [True, False, False]
    assert not any(request.is_narrow for request in homeserver.requests[before + 1 :])
    assert all(request.since for request in homeserver.requests[before:])
    assert stage.heard.turns < 1000
    assert stage.connection.state is Connection.CONNECTED
    assert stage.troubles == []
    assert [record.levelname for record in caplog.records if "narrow" in record.message] == ["WARNING"]


@pytest.mark.expected_log(r"The homeserver refuses a narrow sync \(unknown token\)")
async def test_a_narrow_sync_that_is_refused_while_catching_up_costs_no_back_off(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    homeserver.refuses_narrow_syncs = True
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        await stage.rings("hello")
    narrow = [request for request in homeserver.requests if request.since and request.is_narrow]
    assert len(narrow) == 1
    assert sum(homeserver.waits) < 1


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
async def test_a_token_that_is_refused_leaves_syncs_narrow(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await homeserver.forget_token()
        await asyncio.sleep(HOUR)
    assert homeserver.requests[-1].receipts_in == frozenset()


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
async def test_a_clock_that_was_set_back_does_not_forbid_to_start_anew_for_years(
    stage: SyncStage, homeserver: WatchedHomeserver, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.connected()
        for _ in range(2):
            await homeserver.forget_token()
            await asyncio.sleep(100)
            assert stage.connection.state is Connection.CONNECTED
            clock.jump(-YEAR)


@pytest.mark.expected_log("@me:example.org: no$")
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_other_refusals_are_waited_out_and_told(
    stage: SyncStage, homeserver: WatchedHomeserver, status: int
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([Refused(status, "M_FORBIDDEN", "no")] * 1000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert all(request.since for request in homeserver.requests[before:])
        assert 10 < len(homeserver.requests) - before < 90
    assert len(stage.troubles) == 1


@pytest.mark.expected_log("The sync is too large")
async def test_an_answer_that_is_too_large_is_asked_for_in_a_smaller_form(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        before = len(homeserver.requests)
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")])
        await homeserver.drop_connections()
        await until(lambda: not homeserver.sync_failures)
        await asyncio.sleep(120)
    limits = [request.timeline_limit for request in homeserver.requests[before:]]
    assert limits[:3] == [20, 1, 20]


@pytest.mark.expected_log("The sync is too large")
@pytest.mark.expected_log(r"The homeserver refuses the sync token \(the answer stays too large\)")
async def test_an_answer_that_stays_too_large_makes_it_start_anew(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")] * 2)
        await stage.alice.send_text(room, "missed")
        await homeserver.drop_connections()
        await stage.rings("missed")
    assert stage.rung == ["known", "missed"]


@pytest.mark.expected_log("The sync is too large")
@pytest.mark.expected_log(r"The homeserver refuses the sync token \(the answer stays too large\)")
@pytest.mark.expected_log("@me:example.org: the answer stays too large$")
async def test_answers_that_are_always_too_large_make_no_busy_loop(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")] * 10_000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert len(homeserver.requests) - before < 100
