"""What the sync loop does about refused tokens, narrow syncs and answers that are too large."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import BAD_TOKEN, DAY, HOUR, YEAR, WatchedHomeserver
from heliograph.core.connection import Connection
from heliograph.core.ids import RoomId
from heliograph.errors import AnswerTooLarge, BadAnswer, Refused, Unreachable
from support.waiting import until

TOO_LARGE = AnswerTooLarge("70 MB")

starts_anew = pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
starts_anew_twice = pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
starts_anew_with_less = pytest.mark.expected_log(
    r"The homeserver refuses the sync token \(the answer stays too large\)"
)
refuses_narrow_syncs = pytest.mark.expected_log(r"The homeserver refuses a narrow sync \(unknown token\)")
asks_for_less = pytest.mark.expected_log("The sync is too large")


def goes_offline(why: str) -> pytest.MarkDecorator:
    """The log says why."""
    return pytest.mark.expected_log(f"@me:example.org: {why}$")


@starts_anew
async def test_a_token_that_is_refused_is_replaced_and_what_was_missed_rings(
    polling: SyncStage, room: RoomId, homeserver: WatchedHomeserver
) -> None:
    await polling.hears(room, "known")
    await homeserver.forget_token()
    await polling.hears(room, "missed")
    await polling.hears(room, "next")
    assert polling.rung == ["known", "missed", "next"]


@starts_anew
@goes_offline("gone again")
async def test_starting_anew_survives_a_failure_on_the_way(
    polling: SyncStage, room: RoomId, homeserver: WatchedHomeserver
) -> None:
    await polling.hears(room, "known")
    homeserver.list_failures.append(Unreachable("gone again"))
    await homeserver.forget_token()
    await asyncio.wait_for(polling.hears(room, "missed"), 60)


@starts_anew
@goes_offline("broken")
@goes_offline("unknown token")
@pytest.mark.expected_log("Starting without what the homeserver fails to tell")
async def test_where_nobody_lists_what_was_missed_one_notice_says_so(
    polling: SyncStage, homeserver: WatchedHomeserver
) -> None:
    homeserver.list_failures.extend([BadAnswer(500, "broken")] * 10)
    await homeserver.fail(*[BAD_TOKEN] * 5)
    await until(lambda: polling.rung)
    await until(lambda: polling.connection.state is Connection.CONNECTED)
    assert polling.rung == ["The homeserver lost track of this device: some messages may have arrived unseen"]
    assert polling.ledger.state.push_rules is not None


@starts_anew_twice
@goes_offline("unknown token")
async def test_it_starts_anew_at_most_once_a_day(polling: SyncStage, homeserver: WatchedHomeserver) -> None:
    def count_starts() -> int:
        return sum(request.since is None for request in homeserver.requests[before:])

    await homeserver.fail(*[BAD_TOKEN] * 100_000)
    before = len(homeserver.requests)
    await asyncio.sleep(DAY - HOUR)
    assert count_starts() == 1
    assert len(polling.troubles) == 1
    assert str(BAD_TOKEN) in polling.troubles[0][1]
    await asyncio.sleep(2 * HOUR)
    assert count_starts() == 2
    assert len(homeserver.requests) - before < 1600


@refuses_narrow_syncs
async def test_a_narrow_sync_that_is_refused_is_asked_widely_at_once_and_from_then_on(
    polling: SyncStage, room: RoomId, homeserver: WatchedHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    homeserver.refuses_narrow_syncs = True
    before = len(homeserver.requests)
    for text in ("one", "two", "three"):
        await polling.hears(room, text)
        await asyncio.sleep(HOUR)
    # The poll under way when it began to refuse, the refused one, and the same again for all.
    assert [request.is_narrow for request in homeserver.requests[before:][:3]] == [True, False, False]
    assert not any(request.is_narrow for request in homeserver.requests[before + 1 :])
    assert all(request.since for request in homeserver.requests[before:])
    assert polling.heard.turns < 1000
    assert polling.connection.state is Connection.CONNECTED
    assert polling.troubles == []
    assert [record.levelname for record in caplog.records if "narrow" in record.message] == ["WARNING"]


@refuses_narrow_syncs
async def test_a_narrow_sync_that_is_refused_while_catching_up_costs_no_back_off(
    stage: SyncStage, room: RoomId, homeserver: WatchedHomeserver
) -> None:
    homeserver.refuses_narrow_syncs = True
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "hello")
    narrow = [request for request in homeserver.requests if request.since and request.is_narrow]
    assert len(narrow) == 1
    assert sum(homeserver.waits) < 1


@starts_anew
async def test_a_token_that_is_refused_leaves_syncs_narrow(polling: SyncStage, homeserver: WatchedHomeserver) -> None:
    await homeserver.forget_token()
    await asyncio.sleep(HOUR)
    assert homeserver.requests[-1].receipts_in == frozenset()


@starts_anew_twice
async def test_a_clock_that_was_set_back_does_not_forbid_to_start_anew_for_years(
    polling: SyncStage, homeserver: WatchedHomeserver, clock: WallClock
) -> None:
    for _ in range(2):
        await homeserver.forget_token()
        await asyncio.sleep(100)
        assert polling.connection.state is Connection.CONNECTED
        clock.jump(-YEAR)


@goes_offline("no")
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_other_refusals_are_waited_out_and_told(
    polling: SyncStage, homeserver: WatchedHomeserver, status: int
) -> None:
    await homeserver.fail(*[Refused(status, "M_FORBIDDEN", "no")] * 1000)
    before = len(homeserver.requests)
    await asyncio.sleep(HOUR)
    assert all(request.since for request in homeserver.requests[before:])
    assert 10 < len(homeserver.requests) - before < 90
    assert len(polling.troubles) == 1


@asks_for_less
async def test_an_answer_that_is_too_large_is_asked_for_in_a_smaller_form(
    polling: SyncStage, homeserver: WatchedHomeserver
) -> None:
    before = len(homeserver.requests)
    await homeserver.fail(TOO_LARGE)
    await until(lambda: not homeserver.sync_failures)
    await asyncio.sleep(120)
    limits = [request.timeline_limit for request in homeserver.requests[before:]]
    assert limits[:3] == [20, 1, 20]


@asks_for_less
@starts_anew_with_less
async def test_an_answer_that_stays_too_large_makes_it_start_anew(
    polling: SyncStage, room: RoomId, homeserver: WatchedHomeserver
) -> None:
    await polling.hears(room, "known")
    await homeserver.fail(TOO_LARGE, TOO_LARGE)
    await polling.hears(room, "missed")
    assert polling.rung == ["known", "missed"]


@asks_for_less
@starts_anew_with_less
@goes_offline("the answer stays too large")
async def test_answers_that_are_always_too_large_make_no_busy_loop(
    polling: SyncStage, homeserver: WatchedHomeserver
) -> None:
    await homeserver.fail(*[TOO_LARGE] * 10_000)
    before = len(homeserver.requests)
    await asyncio.sleep(HOUR)
    assert len(homeserver.requests) - before < 100
