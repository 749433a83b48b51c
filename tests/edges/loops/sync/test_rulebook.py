"""Which push rules are in force, and who says what rings."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import HOUR, WatchedHomeserver
from heliograph.core.events import AccountData
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.sync.situation import Mode
from heliograph.errors import Refused, Unreachable
from heliograph.ports.homeserver import Features
from support.builders import ME, make_event, make_sync
from support.waiting import until

# Push rules


async def test_rules_hold_for_the_very_sync_that_brings_them(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.answers.append(
            replace(
                make_sync(make_event("hush", room_id=room), next_batch="s900"),
                account_data=AccountData(push_rules={"global": {}}),
            )
        )
        await stage.homeserver.drop_connections()
        await until(lambda: stage.ledger.state.push_rules == {"global": {}})
    assert stage.rung == []


@pytest.mark.expected_log("Unusable push rules: .*; the last good ones stay in force")
@pytest.mark.parametrize(
    "rules",
    [
        *({}, {"global": []}, {"global": None}, {"device": {}}, {"global": {"override": {}}}),
        {"global": {**predefined_rules(ME), "underride": "none"}},
        {"global": {"override": [7, {}], "underride": [None]}},
    ],
)
async def test_unusable_rules_leave_the_last_good_ones_in_force(stage: SyncStage, rules: dict[str, object]) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        kept = stage.ledger.state.push_rules
        stage.homeserver.add_account_data("m.push_rules", rules)
        await until(lambda: stage.facts.rules_problem)
        await stage.hears(room, "still rings")
        assert stage.ledger.state.push_rules == kept
        stage.homeserver.add_account_data("m.push_rules", {"global": predefined_rules(ME)})
        await until(lambda: stage.facts.rules_problem is None)


async def test_rules_with_a_broken_one_among_them_are_used_without_it(stage: SyncStage) -> None:
    room = await stage.room()
    rules = predefined_rules(ME)
    broken = {**rules, "override": [{"rule_id": 7, "conditions": "?"}, *rules.get("override", [])]}
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.add_account_data("m.push_rules", {"global": broken})
        await until(lambda: stage.facts.rules_problem)
        await stage.hears(room, "still rings")


async def test_after_a_restart_the_rules_of_the_ledger_hold(stage: SyncStage, clock: WallClock) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.add_account_data("m.push_rules", {"global": {}})
        await until(lambda: stage.ledger.state.push_rules == {"global": {}})
    again = SyncStage(clock, ledger=stage.ledger)
    again.homeserver.answers.append(make_sync(make_event("hush", room_id=room), next_batch="s900"))
    async with running(again.loop):
        await until(lambda: again.ledger.state.next_batch == "s900")
    assert again.rung == []


@pytest.mark.expected_log("Unusable push rules: .* without a `global` part", times=2)
@pytest.mark.parametrize("is_first", [True, False])
async def test_that_newer_rules_are_unusable_is_known_after_a_restart(
    stage: SyncStage, clock: WallClock, is_first: bool
) -> None:
    if is_first:
        stage.homeserver.add_account_data("m.push_rules", {"global": []})
    async with running(stage.loop):
        await stage.connected()
        if not is_first:
            stage.homeserver.add_account_data("m.push_rules", {"global": []})
        await until(lambda: stage.ledger.state.rules_problem)
        problem = stage.facts.rules_problem
    again = SyncStage(clock, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        assert again.facts.rules_problem == problem is not None
        again.homeserver.add_account_data("m.push_rules", {"global": predefined_rules(ME)})
        await until(lambda: again.facts.rules_problem is None)
        await until(lambda: again.ledger.state.rules_problem is None)


@pytest.mark.expected_log("Unusable push rules: .* without a `global` part")
async def test_rules_in_the_ledger_that_became_unusable_are_told_of(stage: SyncStage, clock: WallClock) -> None:
    async with running(stage.loop):
        await stage.connected()
    stage.ledger.state = replace(stage.ledger.state, push_rules={"global": []})
    again = SyncStage(clock, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        assert "the predefined ones are in force" in str(again.facts.rules_problem)


async def test_a_pusher_that_another_client_switched_off_silences_at_once(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.loop.take_pusher_switch(is_enabled=False)
        event = await stage.alice.send_text(room, "hush")
        await until(lambda: event in stage.ledger.judged)
        stage.loop.take_pusher_switch(is_enabled=True)
        await stage.hears(room, "loud")
    assert stage.rung == ["loud"]


# What the homeserver can do


async def test_what_the_homeserver_can_do_is_asked_again_every_few_hours(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        assert homeserver.feature_requests == 1
        homeserver.told = Features(has_direct_push=True)
        await asyncio.sleep(7 * HOUR)
        assert stage.facts.mode is Mode.DIRECT
        assert homeserver.feature_requests == 2


@pytest.mark.expected_log("@me:example.org: restarting$")
async def test_a_homeserver_that_no_longer_says_what_rings_does_not_leave_us_silent(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    homeserver.told = Features(has_direct_push=True)
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        assert stage.facts.mode is Mode.DIRECT
        homeserver.told = Features()
        await homeserver.fail(Unreachable("restarting"))
        await until(lambda: stage.facts.mode is Mode.LOCAL)
        await stage.hears(room, "hello")


@pytest.mark.expected_log("The homeserver does not tell its versions")
async def test_a_homeserver_that_does_not_tell_its_versions_is_judged_by_the_rules(stage: SyncStage) -> None:
    stage.homeserver.failures.append(Refused(404, "M_UNRECOGNIZED", "no versions"))
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "hello")
    assert stage.facts.mode is Mode.LOCAL
