"""Whether the user follows an event's thread, where a push rule asks for that (MSC4306)."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.events import Event
from heliograph.core.ids import EventId
from heliograph.core.push.conditions.unstable import SUBSCRIPTION
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, RoomRecord
from heliograph.core.sync.needs import threads_wanting_subscriptions
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from support.builders import ME, ROOM, make_event, make_facts, make_server_notification, make_sync
from support.rule_builders import make_rule

FOLLOWED = Ruleset.parse({"override": [make_rule(conditions=[{"kind": SUBSCRIPTION, "subscribed": True}])]})
ROOT = EventId("$root")


def situation(**known: Any) -> Situation:
    known.setdefault("ruleset", FOLLOWED)
    return Situation(me=ME, mode=Mode.LOCAL, account=AccountState(), rooms={ROOM: RoomRecord(make_facts())}, **known)


def in_thread(**event: Any) -> Event:
    relation = {"rel_type": "m.thread", "event_id": ROOT}
    return make_event(content={"msgtype": "m.text", "body": "hello", "m.relates_to": relation}, **event)


@pytest.mark.parametrize(
    ("told", "rings"), [({ROOT: True}, 1), ({ROOT: False}, 0), ({}, 0), ({EventId("$x"): True}, 0)]
)
def test_a_rule_that_asks_sees_what_was_told_of_the_events_thread(told: dict[EventId, bool], rings: int) -> None:
    assert len(plan(make_sync(in_thread()), situation(subscriptions=told)).deliveries) == rings


def test_what_is_outside_of_threads_is_in_none_that_is_followed() -> None:
    assert plan(make_sync(make_event()), situation(subscriptions={ROOT: True})).deliveries == ()


def test_the_threads_of_others_words_are_wanted_wherever_these_come() -> None:
    wanted = {(ROOM, ROOT)}
    assert threads_wanting_subscriptions(make_sync(in_thread()), situation()) == wanted
    assert threads_wanting_subscriptions(make_sync(), situation(late=[in_thread()])) == wanted
    listed = [make_server_notification(in_thread(), "notify")]
    assert threads_wanting_subscriptions(make_sync(), situation(filled=listed)) == wanted


def test_no_thread_is_wanted_that_nobody_asks_about() -> None:
    assert not threads_wanting_subscriptions(make_sync(in_thread()), situation(ruleset=Ruleset.predefined(ME)))
    assert not threads_wanting_subscriptions(make_sync(make_event(), in_thread(sender=ME)), situation())
