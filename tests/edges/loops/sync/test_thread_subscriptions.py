"""Whether the user follows a thread is asked of the homeserver where a push rule wants to know (MSC4306)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import WatchedHomeserver
from heliograph.core.ids import EventId, RoomId
from heliograph.core.push.conditions.unstable import SUBSCRIPTION
from heliograph.core.push.predefined import predefined_rules
from heliograph.errors import Refused, Unreachable
from heliograph.loops.sync.thread_subscriptions import BELIEVED_MS, MOST_AT_ONCE, PATIENCE_S
from heliograph.ports.homeserver import Features
from support.builders import ME
from support.rule_builders import make_rule

FOLLOWED, OTHER = EventId("$followed"), EventId("$other")


class FollowingHomeserver(WatchedHomeserver):
    """Knows which threads the user follows, and may fail to tell."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Features(has_thread_subscriptions=True)
        self.subscribed = {FOLLOWED}
        self.subscription_failure: Exception | None = None
        self.takes_s = 0.0

    async def is_subscribed(self, room_id: RoomId, root: EventId) -> bool:
        await asyncio.sleep(self.takes_s)
        if self.subscription_failure is not None:
            self.subscription_requests.append(root)
            raise self.subscription_failure
        return await super().is_subscribed(room_id, root)


@pytest.fixture
def homeserver() -> FollowingHomeserver:
    return FollowingHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: FollowingHomeserver) -> SyncStage:
    stage = SyncStage(clock, homeserver=homeserver)
    rule = {**make_rule("unfollowed", conditions=[{"kind": SUBSCRIPTION, "subscribed": False}]), "actions": []}
    set_rules(stage, rule)
    return stage


def set_rules(stage: SyncStage, *override: dict[str, Any]) -> None:
    stage.homeserver.add_account_data("m.push_rules", {"global": {**predefined_rules(ME), "override": [*override]}})


async def say(stage: SyncStage, room: RoomId, text: str, thread: str | None = None) -> None:
    await stage.alice.send_text(room, text, thread=thread)


async def test_a_thread_that_is_followed_rings_and_another_does_not(
    polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver
) -> None:
    await say(polling, room, "not followed", OTHER)
    await say(polling, room, "followed", FOLLOWED)
    await polling.hears(room, "outside")
    assert sorted(polling.rung) == ["followed", "outside"]
    assert sorted(homeserver.subscription_requests) == [FOLLOWED, OTHER]


async def test_an_answer_is_believed_for_a_minute(
    polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver, clock: WallClock
) -> None:
    for _ in range(2):
        await say(polling, room, "not followed", OTHER)
        await polling.hears(room, f"{len(homeserver.subscription_requests)}")
        homeserver.subscribed.add(OTHER)
    assert homeserver.subscription_requests == [OTHER]
    clock.jump(BELIEVED_MS / 1000)
    await say(polling, room, "followed since", OTHER)
    await polling.rings("followed since")


async def test_nobody_is_asked_without_need(polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver) -> None:
    set_rules(polling)
    await say(polling, room, "in a thread", OTHER)
    await polling.rings("in a thread")
    assert homeserver.subscription_requests == []


async def test_a_homeserver_that_does_not_offer_it_is_not_asked(
    stage: SyncStage, room: RoomId, homeserver: FollowingHomeserver
) -> None:
    homeserver.told = Features()
    async with running(stage.loop):
        await stage.connected()
        await say(stage, room, "in a thread", OTHER)
        await stage.rings("in a thread")
    assert homeserver.subscription_requests == []


@pytest.mark.parametrize("failure", [Unreachable("down"), Refused(403, "M_FORBIDDEN", "no")])
async def test_where_it_is_not_told_the_condition_does_not_match(
    polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver, failure: Exception
) -> None:
    homeserver.subscription_failure = failure
    await say(polling, room, "in a thread", OTHER)
    await polling.rings("in a thread")


@pytest.mark.expected_log("Unexpected fault in asking whether the thread of [$]other in !room1:example.org is followed")
async def test_a_fault_of_ours_in_asking_holds_nothing_up(
    polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver
) -> None:
    homeserver.subscription_failure = RuntimeError("a fault of our own")
    await say(polling, room, "in a thread", OTHER)
    await polling.rings("in a thread")


async def test_only_so_many_are_asked_about_and_a_slow_homeserver_is_waited_for_so_long(
    polling: SyncStage, room: RoomId, homeserver: FollowingHomeserver
) -> None:
    for number in range(MOST_AT_ONCE + 5):
        await say(polling, room, f"thread {number}", f"$root{number}")
    await polling.hears(room, "last")
    assert len(homeserver.subscription_requests) == MOST_AT_ONCE
    homeserver.takes_s = 2 * PATIENCE_S
    await say(polling, room, "slow", "$slow")
    await polling.rings("slow")
