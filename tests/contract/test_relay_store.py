"""What every database of the relay keeps, and keeps through a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edges.relay.stage import BOB, HOUR, ME, NOON, ROOM, make_direct, make_push, make_twin
from heliograph.core.reading import Mark
from heliograph.relay.model.around import NOTHING
from heliograph.relay.model.carried import Carried, DeviceNotifications
from heliograph.relay.model.outcome import Deferred, Delivered, PushRefused
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.model.pushes import SENT, Accepted, Attempt, Push, WaitingCount, Why
from heliograph.relay.ports import MOST_WITHDRAWN, Store, StoredPushers
from heliograph.relay.store.sqlite.store import open_sqlite

DESK = (ME, "DESK")
MOST = 1_000
Open = Callable[[], AbstractAsyncContextManager[Store]]


@dataclass
class Subject:
    """An open database, and how to open the same one again."""

    store: Store
    open: Open


@pytest.fixture(params=["sqlite"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with open_sqlite(tmp_path) as store:
        yield Subject(store, lambda: open_sqlite(tmp_path))


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store


def push(name: str = "phone", event_id: str | None = "$1", *, held_ms: int = 0, **options: object) -> Push:
    return make_push(make_twin(name), event_id, received_ms=NOON, due_ms=NOON + held_ms, **options)


async def take(store: Store, *pushes: Push) -> list[Accepted]:
    return [(await store.pushes.take(each, (), MOST, NOON)).result for each in pushes]


async def begin(store: Store, now_ms: int = NOON) -> Attempt | int | None:
    return (await store.pushes.begin("hidden-phone", now_ms)).result


class TestPushers:
    async def test_each_is_read_as_it_was_put(self, subject: Subject) -> None:
        twins = [make_twin(is_adopted=True, device_id="PHONE"), make_twin("waker", BOB, url=None, is_enabled=False)]
        direct = make_direct(fallback=frozenset({("app", "phone")}), waker="hidden-waker")
        for twin in twins:
            await subject.store.pushers.put_twin(twin)
        await subject.store.pushers.put_direct(direct)
        async with subject.open() as again:
            read = await again.pushers.load()
        assert sorted(read.twins, key=lambda twin: twin.user_id) == sorted(twins, key=lambda twin: twin.user_id)
        assert read.direct == [direct]

    async def test_what_was_read_can_be_changed_and_put_again(self, subject: Subject) -> None:
        await subject.store.pushers.put_twin(make_twin())
        await subject.store.pushers.put_direct(replace(make_direct(), original={"data": {"nested": [1, "é"]}}))
        async with subject.open() as again:
            read = await again.pushers.load()
            await again.pushers.put_twin(off := replace(read.twins[0], is_enabled=False))
            await again.pushers.put_direct(read.direct[0])
            changed = {**read.direct[0].original, "lang": "en"}
            assert changed == {"data": {"nested": [1, "é"]}, "lang": "en"}
        assert await subject.store.pushers.load() == StoredPushers([off], read.direct, [])

    async def test_one_of_the_same_name_is_replaced(self, store: Store) -> None:
        await store.pushers.put_twin(make_twin())
        await store.pushers.put_twin(new := replace(make_twin(), hidden_pushkey="hidden-other"))
        await store.pushers.put_direct(make_direct())
        await store.pushers.put_direct(off := make_direct(is_enabled=False))
        assert await store.pushers.load() == StoredPushers([new], [off], [])

    async def test_who_has_a_pusher_of_a_name_is_known(self, store: Store) -> None:
        name = ("app", "phone")
        await store.pushers.put_twin(make_twin())
        await store.pushers.put_twin(replace(make_twin(user_id=BOB), hidden_pushkey="hidden-bobs"))
        await store.pushers.put_twin(make_twin("tablet", "@carol:example.org"))
        await store.pushers.put_direct(make_direct(user_id="@dave:example.org"))
        assert await store.pushers.users_with(*name) == {ME, BOB}
        assert await store.pushers.users_with("desktop", "key-DESK") == {"@dave:example.org"}
        await store.pushers.delete([make_twin()], [])
        assert await store.pushers.users_with(*name) == {BOB}
        assert await store.pushers.users_with("other", "phone") == set()

    async def test_deleting_passes_over_what_is_not_there(self, store: Store) -> None:
        await store.pushers.put_twin(kept := make_twin("tablet"))
        await store.pushers.put_direct(make_direct())
        await store.pushers.delete([make_twin()], [make_direct()])
        assert await store.pushers.load() == StoredPushers([kept], [], ["hidden-phone"])

    async def test_a_twin_that_was_nobodys_becomes_a_users(self, store: Store) -> None:
        await store.pushers.put_twin(replace(make_twin(), user_id="unclaimed hidden-phone"))
        await store.pushers.put_twin(make_twin())
        assert (await store.pushers.load()).twins == [make_twin()]

    async def test_of_withdrawn_pushkeys_those_of_longest_ago_are_forgotten(self, store: Store) -> None:
        for name in ("old", "middle", "old"):
            await store.pushers.delete([make_twin(name)], [])
        await store.pushers.delete([make_twin(f"{number}") for number in range(MOST_WITHDRAWN - 1)], [])
        withdrawn = (await store.pushers.load()).withdrawn
        assert withdrawn[:2] == ["hidden-middle", "hidden-0"]
        assert len(withdrawn) == MOST_WITHDRAWN


class TestPresence:
    async def test_each_device_is_read_as_it_was_put_last(self, subject: Subject) -> None:
        gone = (BOB, "DESK")
        await subject.store.presence.put({DESK: DevicePresence(NOON), gone: DevicePresence()})
        await subject.store.presence.put({DESK: DevicePresence(None, NOON + 1)})
        async with subject.open() as again:
            assert await again.presence.load() == {DESK: DevicePresence(None, NOON + 1), gone: DevicePresence()}
            await again.presence.delete(gone)
            await again.presence.delete(gone)
        assert await subject.store.presence.load() == {DESK: DevicePresence(None, NOON + 1)}


class TestCarried:
    @pytest.fixture
    async def _begun(self, store: Store) -> None:
        await store.carried.begin(DESK, DeviceNotifications(NOON, acknowledged={"$old": NOON}))
        await store.carried.carry(
            DESK,
            "s1",
            ["$1", "$2"],
            new=[Carried("$1", ROOM, NOON), Carried("$2", ROOM, NOON + 1)],
            dropped=[],
            outdated=[],
        )

    @pytest.mark.usefixtures("_begun")
    async def test_responses_are_read_in_their_order(self, subject: Subject) -> None:
        await subject.store.carried.carry(DESK, "s2", ["$1"], new=[], dropped=["$2"], outdated=[])
        await subject.store.carried.carry(DESK, "s1", ["$1"], new=[], dropped=[], outdated=[])
        async with subject.open() as again:
            device = (await again.carried.load())[DESK]
        assert list(device.responses) == ["s2", "s1"]
        assert device.open == {"$1": Carried("$1", ROOM, NOON)}
        assert (device.since_ts, device.acknowledged) == (NOON, {"$old": NOON})

    @pytest.mark.usefixtures("_begun")
    async def test_what_is_settled_is_open_no_more(self, store: Store) -> None:
        await store.carried.settle(DESK, ["$1"], responses=["s1"], forgotten=["$old"], since_ts=NOON + 1)
        device = (await store.carried.load())[DESK]
        assert (list(device.open), device.acknowledged, device.responses) == (["$2"], {"$1": NOON}, {})
        assert device.since_ts == NOON + 1

    @pytest.mark.usefixtures("_begun")
    async def test_a_new_beginning_and_an_end_leave_nothing(self, store: Store) -> None:
        await store.carried.begin(DESK, DeviceNotifications(NOON + 5))
        assert await store.carried.load() == {DESK: DeviceNotifications(NOON + 5)}
        await store.carried.end(DESK)
        assert await store.carried.load() == {}


class TestPushes:
    async def test_a_push_is_taken_once_and_sent_in_its_turn(self, subject: Subject) -> None:
        assert await take(subject.store, push(), push(), push(event_id="$2")) == [
            Accepted.QUEUED,
            Accepted.REPEATED,
            Accepted.QUEUED,
        ]
        async with subject.open() as again:
            first = await begin(again)
            assert isinstance(first, Attempt)
            assert first.event_id == "$1"
            finished = await again.pushes.finish("hidden-phone", first, Delivered(), NOON)
            assert (finished.result, dict(finished.changes.outcomes)) == (NOON, {SENT: 1})
            second = await begin(again)
            assert isinstance(second, Attempt)
            assert second.event_id == "$2"

    async def test_it_is_known_of_which_events_a_push_came(self, store: Store) -> None:
        await take(store, push(event_id="$1"), push("tablet", event_id="$2"), push(event_id="$3"))
        assert await store.pushes.known("hidden-phone", ["$1", "$2", "$3", "$4"]) == {"$1", "$3"}
        assert await store.pushes.known("hidden-phone", []) == set()

    async def test_a_held_push_is_due_when_its_hold_ends(self, store: Store) -> None:
        committed = await store.pushes.take(push(held_ms=3_000), (), MOST, NOON)
        assert committed.changes.due == {"hidden-phone": NOON + 3_000}
        assert await begin(store) == NOON + 3_000
        assert await store.pushes.count(NOON) == WaitingCount(1, 1, 0)
        assert await store.pushes.waiting_queues(NOON) == {"hidden-phone": NOON + 3_000}

    async def test_a_gateway_that_fails_is_tried_later_and_one_that_rejects_never(self, store: Store) -> None:
        await take(store, push())
        attempt = await begin(store)
        assert isinstance(attempt, Attempt)
        assert (await store.pushes.finish("hidden-phone", attempt, Deferred("down"), NOON)).result == NOON + 1_000
        assert await store.pushes.count(NOON) == WaitingCount(1, 0, 1)
        rejected = await store.pushes.finish("hidden-phone", attempt, Delivered(is_rejected=True), NOON)
        assert (rejected.result, rejected.changes.rejected) == (None, {"hidden-phone"})
        assert await store.pushes.rejected() == {"hidden-phone"}

    async def test_a_push_too_large_is_sent_again_as_its_event_id(self, store: Store) -> None:
        await take(store, push())
        attempt = await begin(store)
        assert isinstance(attempt, Attempt)
        await store.pushes.finish("hidden-phone", attempt, PushRefused("HTTP 413", is_too_large=True), NOON)
        again = await begin(store)
        assert isinstance(again, Attempt)
        assert again.is_brief

    async def test_an_acknowledgement_settles_pushes_that_wait_for_the_device(self, store: Store) -> None:
        await take(store, push(), push("tablet"))
        committed = await store.pushes.acknowledge(*DESK, ["$1"], ["hidden-tablet"], NOON)
        assert dict(committed.changes.outcomes) == {Why.ACKNOWLEDGED: 1}
        assert await store.pushes.count(NOON) == WaitingCount(1, 0, 0)

    async def test_what_is_settled_first_settles_the_push_that_comes_later(self, store: Store) -> None:
        await store.pushes.acknowledge(*DESK, ["$1"], [], NOON)
        await store.pushes.cancel_events(None, ROOM, ["$2"], Why.REDACTED, NOON)
        await store.pushes.cancel_read(ME, ROOM, Mark("$3"), NOTHING, NOON)
        late = [push(event_id=event_id) for event_id in ("$1", "$2", "$3")]
        assert await take(store, *late) == [Accepted.SETTLED] * 3
        deaf = await store.pushes.take(push("tablet"), [DESK[1]], MOST, NOON)
        assert deaf.result is Accepted.QUEUED

    async def test_a_room_a_user_and_a_queue_are_taken_back(self, store: Store) -> None:
        await take(store, push(), push(event_id="$2", room_id="!other"), push("tablet", "$3", room_id="!third"))
        room = await store.pushes.cancel_room(ME, ROOM, Why.LEFT, NOON)
        queue = await store.pushes.cancel_queue("hidden-tablet", Why.DISABLED, NOON)
        everything = await store.pushes.cancel_all(ME, Why.UNREAD_ZERO, NOON)
        assert [dict(each.changes.outcomes) for each in (room, queue, everything)] == [
            {Why.LEFT: 1},
            {Why.DISABLED: 1},
            {Why.UNREAD_ZERO: 1},
        ]

    async def test_the_oldest_are_given_up_where_too_many_wait(self, store: Store) -> None:
        await take(store, push())
        committed = await store.pushes.take(push(event_id="$2"), (), 1, NOON)
        assert dict(committed.changes.lost) == {("hidden-phone", Why.OVERFLOW): 1}

    async def test_a_pusher_that_is_forgotten_and_what_is_long_settled_leave_nothing(self, store: Store) -> None:
        await take(store, push(), push("tablet"))
        await store.pushes.forget("hidden-phone", NOON)
        assert await begin(store) is None
        await store.pushes.acknowledge(*DESK, ["$1"], [], NOON)
        await store.pushes.prune(NOON + 49 * HOUR)
        # Nothing is remembered of the event: the same push is news once more.
        assert await take(store, push(), push("tablet")) == [Accepted.QUEUED] * 2

    async def test_what_is_long_settled_is_forgotten_a_part_at_a_time_and_what_waits_stays(self, store: Store) -> None:
        events = [f"$settled{number}" for number in range(450)]
        await store.pushes.acknowledge(*DESK, events, [], NOON)
        assert await take(store, *(push(event_id=event_id) for event_id in events)) == [Accepted.SETTLED] * 450
        await take(store, push(event_id="$waits"))
        rounds = 1
        while await store.pushes.prune(NOON + 49 * HOUR):
            rounds += 1
        assert rounds > 2
        assert await take(store, push(event_id=events[0]), push(event_id=events[-1])) == [Accepted.QUEUED] * 2
        assert await store.pushes.count(NOON) == WaitingCount(3, 0, 0)

    async def test_nothing_is_forgotten_before_its_time(self, store: Store) -> None:
        await store.pushes.acknowledge(*DESK, ["$1"], [], NOON)
        await take(store, push())
        assert not await store.pushes.prune(NOON + 48 * HOUR)
        assert await take(store, push(), push("tablet")) == [Accepted.REPEATED, Accepted.SETTLED]
