"""What the sync loop did reaches the loops beside it, each without the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heliograph.app.sync_listener import AccountSyncListener
from heliograph.core.encryption.values import Rejected, RoomKey
from heliograph.core.ids import EventId, RoomId
from heliograph.loops.sync import Commit, ToDevice
from support.log_guard import ExpectLog

KEY = RoomKey(RoomId("!lunch:example.org"), "session")
CAME = ToDevice((Rejected("malformed"),), 7, has_unused_fallback_key=True, has_changed_devices=True)


class NotingLoops:
    """Every loop that the listener tells: notes what was called, and fails where a test says so."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[object, ...]]] = []
        self.faulty: str | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: object) -> None:
            if name == self.faulty:
                raise RuntimeError("a fault of our own")
            self.heard.append((name, arguments))

        return note


@pytest.fixture
def loops() -> NotingLoops:
    return NotingLoops()


@pytest.fixture
def listener(loops: NotingLoops) -> AccountSyncListener:
    any_loop: Any = loops
    return AccountSyncListener(any_loop, any_loop, any_loop, on_silent=loops.silent, on_alive=loops.alive)


def commit(
    *,
    has_news: bool = False,
    is_catching_up: bool = False,
    silent: tuple[EventId, ...] = (),
    keys: tuple[RoomKey, ...] = (),
) -> Commit:
    return Commit(has_news=has_news, is_catching_up=is_catching_up, silent=silent, wanted_keys=frozenset(keys))


@pytest.mark.parametrize(
    ("faulty", "what"),
    [
        ("take_received", "what came for this device alone"),
        ("take_counts", "how many keys the homeserver has"),
        ("look_again", "the own devices that changed"),
    ],
)
def test_a_loop_that_finds_a_fault_in_what_came_keeps_nothing_from_the_others(
    listener: AccountSyncListener, loops: NotingLoops, faulty: str, what: str, expect_log: ExpectLog
) -> None:
    expect_log(f"tasks error: Unexpected fault in {what}\n")
    loops.faulty = faulty
    listener.to_device(CAME)
    everybody = [("take_received", (CAME.outcomes,)), ("take_counts", (7, True)), ("look_again", ())]
    assert loops.heard == [each for each in everybody if each[0] != faulty]


@pytest.mark.parametrize(
    ("faulty", "what"),
    [
        ("wake", "what is to be shown"),
        ("silent", "what stays silent here"),
        ("want", "the keys that messages wait for"),
    ],
)
def test_a_loop_that_finds_a_fault_in_a_commit_keeps_nothing_from_the_others(
    listener: AccountSyncListener, loops: NotingLoops, faulty: str, what: str, expect_log: ExpectLog
) -> None:
    expect_log(f"tasks error: Unexpected fault in {what}\n")
    loops.faulty = faulty
    event_id = EventId("$lunch")
    listener.committed(commit(has_news=True, silent=(event_id,), keys=(KEY,)))
    everybody = [("wake", ()), ("silent", ((event_id,),)), ("want", (frozenset({KEY}),))]
    assert loops.heard == [each for each in everybody if each[0] != faulty]


def test_a_sync_without_news_for_the_device_tells_only_its_key_counts(
    listener: AccountSyncListener, loops: NotingLoops
) -> None:
    listener.to_device(ToDevice())
    assert loops.heard == [("take_counts", (None, None))]


def test_what_comes_while_more_is_on_its_way_is_gathered_before_it_is_shown(
    listener: AccountSyncListener, loops: NotingLoops
) -> None:
    listener.committed(commit(has_news=True, is_catching_up=True))
    listener.caught_up()
    assert loops.heard == [("gather", (True,)), ("wake", ()), ("gather", (False,))]


def test_a_commit_without_news_wakes_nobody(listener: AccountSyncListener, loops: NotingLoops) -> None:
    listener.committed(commit(is_catching_up=True))
    assert loops.heard == []


def test_silent_events_and_wanted_keys_reach_those_who_care(listener: AccountSyncListener, loops: NotingLoops) -> None:
    listener.committed(commit(silent=(EventId("$silent"),), keys=(KEY,)))
    assert loops.heard == [("silent", (("$silent",),)), ("want", (frozenset({KEY}),))]


def test_each_turn_is_a_sign_of_life(listener: AccountSyncListener, loops: NotingLoops) -> None:
    listener.alive()
    assert loops.heard == [("alive", ())]
