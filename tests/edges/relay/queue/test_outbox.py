"""Pushes go out in order, once, and not at all where they are no longer needed."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edges.relay.stage import BOB, HOUR, ME, ROOM, OutboxStage, make_direct, make_twin
from heliograph.core.reading import Mark
from heliograph.relay.model.around import Around
from heliograph.relay.model.outcome import Deferred, Delivered, PushRefused
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Accepted, Why
from heliograph.relay.queue.dispatch import FAULT_DELAY_MS
from heliograph.relay.store.sqlite import queue
from support.waiting import until


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[OutboxStage]:
    async with OutboxStage(tmp_path) as stage:
        yield stage


@pytest.fixture
def phone(stage: OutboxStage) -> Twin:
    return stage.pushers.add(make_twin())


async def take(stage: OutboxStage, twin: Twin, *event_ids: str | None, **options: object) -> list[Accepted]:
    taken = [await stage.outbox.take(stage.push(twin, event_id, **options)) for event_id in event_ids]
    await stage.rest()
    return taken


class TestSending:
    async def test_a_push_goes_out_at_once_when_nobody_is_there(self, stage: OutboxStage, phone: Twin) -> None:
        assert await take(stage, phone, "$1") == [Accepted.QUEUED]
        assert stage.gateways.events == ["$1"]
        assert stage.gateways.times == [0]

    async def test_the_gateway_sees_the_registered_device_and_nothing_of_the_twin(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$1", notification={"prio": "high", "sender_display_name": "Ann"})
        (request,) = stage.gateways.requests
        assert request.url == phone.url
        assert request.notification == {
            "event_id": "$1",
            "room_id": ROOM,
            "counts": {"unread": 1},
            "prio": "high",
            "sender_display_name": "Ann",
            "devices": [{"app_id": "app", "pushkey": "phone", "pushkey_ts": 7, "data": {"format": "event_id_only"}}],
        }

    async def test_a_repeated_push_is_known_by_its_event(self, stage: OutboxStage, phone: Twin) -> None:
        assert await take(stage, phone, "$1", "$1") == [Accepted.QUEUED, Accepted.REPEATED]
        await stage.restart()
        assert await take(stage, phone, "$1") == [Accepted.REPEATED]
        assert stage.gateways.events == ["$1"]

    async def test_every_pusher_of_the_user_gets_the_event(self, stage: OutboxStage, phone: Twin) -> None:
        tablet = stage.pushers.add(make_twin("tablet"))
        await take(stage, phone, "$1")
        await take(stage, tablet, "$1")
        assert [request.pushkey for request in stage.gateways.requests] == ["phone", "tablet"]

    async def test_one_push_of_a_pusher_is_under_way_at_a_time(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.always = None
        await take(stage, phone, "$1", "$2")
        assert stage.gateways.events == ["$1"]
        await stage.answer(stage.gateways.waiting[0], Delivered())
        assert stage.gateways.events == ["$1", "$2"]

    async def test_a_slow_gateway_holds_up_its_own_pushers_only(self, tmp_path: Path) -> None:
        async with OutboxStage(tmp_path, most_per_host=1) as stage:
            stage.gateways.always = None
            url = "https://slow.example/_matrix/push/v1/notify"
            first, second = (stage.pushers.add(make_twin(name, url=url)) for name in ("first", "second"))
            other = stage.pushers.add(make_twin("other"))
            for twin in (first, second, other):
                await take(stage, twin, "$1")
            assert [request.pushkey for request in stage.gateways.waiting] == ["first", "other"]
            await stage.answer(stage.gateways.waiting[0], Delivered())
            assert [request.pushkey for request in stage.gateways.waiting] == ["other", "second"]

    async def test_no_more_than_so_many_are_under_way_at_all(self, tmp_path: Path) -> None:
        async with OutboxStage(tmp_path, most_in_flight=2) as stage:
            stage.gateways.always = None
            for name in "abc":
                await take(stage, stage.pushers.add(make_twin(name)), "$1")
            assert [request.pushkey for request in stage.gateways.waiting] == ["a", "b"]
            await stage.answer(stage.gateways.waiting[0], Delivered())
            assert [request.pushkey for request in stage.gateways.waiting] == ["b", "c"]


def lost(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Lines about pushes that nobody got, with {} in the place of the pusher."""
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [re.sub("pusher [0-9a-f]{8} ", "pusher {} ", line) for line in lines if "given up" in line]


class TestBackingOff:
    @pytest.mark.expected_log("are given up .1.: nobody took them for 24 hours")
    async def test_delays_double_from_a_second_to_an_hour_and_end_after_a_day(
        self, stage: OutboxStage, phone: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.gateways.always = Deferred("HTTP 502")
        await take(stage, phone, "$1")
        await stage.pass_ms(26 * HOUR)
        seconds = [time // 1000 for time in stage.gateways.times]
        assert seconds[:12] == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047]
        assert seconds[12:15] == [4095, 7695, 11295]
        assert seconds[-1] < 24 * 3600
        counts = await stage.outbox.counts()
        assert counts.settled[Why.EXPIRED] == 1
        assert counts.waiting.pushes == 0
        assert lost(caplog) == ["Pushes of pusher {} are given up (1): nobody took them for 24 hours"]

    async def test_what_waits_behind_a_failing_push_keeps_its_order(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.script = [Deferred("HTTP 502")]
        await take(stage, phone, "$1", "$2", "$3")
        assert stage.gateways.events == ["$1"]
        await stage.pass_ms(1000)
        assert stage.gateways.events == ["$1", "$1", "$2", "$3"]

    async def test_retry_after_is_waited_in_full(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.script = [Deferred("HTTP 429", after_s=90)]
        await take(stage, phone, "$1")
        await stage.pass_ms(89_999)
        assert stage.gateways.times == [0]
        await stage.pass_ms(1)
        assert stage.gateways.times == [0, 90_000]

    async def test_retry_after_is_waited_for_an_hour_at_most(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.script = [Deferred("HTTP 503", after_s=1e9)]
        await take(stage, phone, "$1")
        await stage.pass_ms(HOUR)
        assert stage.gateways.times == [0, HOUR]

    async def test_a_restart_keeps_the_back_off(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.script = [Deferred("HTTP 502"), Deferred("HTTP 502")]
        await take(stage, phone, "$1")
        await stage.pass_ms(1000)
        await stage.restart()
        await stage.pass_ms(1999)
        assert stage.gateways.times == [0, 1000]
        await stage.pass_ms(1)
        assert stage.gateways.times == [0, 1000, 3000]

    async def test_a_clock_that_was_set_back_delays_no_push_by_more_than_its_back_off(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.gateways.script = [Deferred("HTTP 502")]
        await take(stage, phone, "$1")
        stage.clock.set(stage.clock.now_ms() - 30 * 24 * HOUR)
        await stage.rest()
        await stage.pass_ms(HOUR)
        assert stage.gateways.events == ["$1", "$1"]

    async def test_nor_does_a_clock_that_was_set_back_while_the_relay_was_down(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.kill()
        stage.clock.set(stage.clock.now_ms() - 30 * 24 * HOUR)
        await stage.open()
        await stage.pass_ms(60_000)
        assert stage.gateways.events == ["$1"]


class TestRefusal:
    async def test_a_push_that_its_gateway_refuses_holds_up_the_others_for_three_seconds(
        self, stage: OutboxStage, phone: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        stage.gateways.script = [PushRefused("HTTP 400")] * 3
        await take(stage, phone, "$poison", "$2", "$3")
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$poison"] * 3 + ["$2", "$3"]
        assert stage.gateways.times == [0, 1000, 3000, 3000, 3000]
        # Later ones do not wait for it either, and it is tried for as long as any.
        stage.gateways.script = [PushRefused("HTTP 400")]
        await stage.pass_ms(4000)
        await take(stage, phone, "$4")
        assert stage.gateways.events[5:] == ["$poison", "$4"]
        await stage.pass_ms(8000)
        assert stage.gateways.events[7:] == ["$poison"]
        assert (await stage.outbox.counts()).settled["sent"] == 4
        assert "HTTP 400" in caplog.text

    async def test_a_gateway_that_was_wrong_for_hours_gets_everything(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.always = PushRefused("HTTP 404")
        await take(stage, phone, *(f"${number}" for number in range(20)))
        await stage.pass_ms(10 * HOUR)
        # Ever more rarely, though each attempt may be of another push.
        assert len(stage.gateways.requests) < 200
        stage.gateways.always = Delivered()
        await stage.pass_ms(HOUR)
        assert (await stage.outbox.counts()).settled["sent"] == 20

    @pytest.mark.expected_log("are given up .1.: nobody took them for 24 hours")
    async def test_a_push_that_is_refused_for_a_day_is_given_up_and_told(
        self, stage: OutboxStage, phone: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.gateways.always = PushRefused("HTTP 400")
        await take(stage, phone, "$1")
        await stage.pass_ms(26 * HOUR)
        assert (await stage.outbox.counts()).settled[Why.EXPIRED] == 1
        assert lost(caplog) == ["Pushes of pusher {} are given up (1): nobody took them for 24 hours"]

    @pytest.mark.expected_log("Unexpected fault in sending a push of pusher", times=3)
    async def test_a_push_that_finds_a_fault_of_our_own_holds_up_no_other(
        self, stage: OutboxStage, phone: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        tablet = stage.pushers.add(make_twin("tablet"))
        stage.gateways.script = [RuntimeError("a fault of our own")]
        await take(stage, phone, "$1", "$2")
        assert await take(stage, tablet, "$1") == [Accepted.QUEUED]
        assert stage.gateways.times == [0, 0]
        stage.gateways.script = [RuntimeError("a fault of our own") for _ in range(2)]
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$1", "$1", "$1", "$1", "$2"]
        assert caplog.text.count("RuntimeError: a fault of our own") == 3

    @pytest.mark.expected_log("Unexpected fault with the queue of pusher")
    async def test_a_queue_that_finds_a_fault_of_our_own_is_looked_at_again_and_holds_up_no_other(
        self, stage: OutboxStage, phone: Twin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tablet = stage.pushers.add(make_twin("tablet"))
        begin, faults = queue.begin, [RuntimeError("a fault of our own")]

        def begin_or_fail(db: sqlite3.Connection, key: str, *rest: Any) -> Any:
            if key == phone.hidden_pushkey and faults:
                raise faults.pop()
            return begin(db, key, *rest)

        monkeypatch.setattr(queue, "begin", begin_or_fail)
        await take(stage, phone, "$1")
        await take(stage, tablet, "$2")
        assert stage.gateways.events == ["$2"]
        await stage.pass_ms(FAULT_DELAY_MS)
        assert stage.gateways.events == ["$2", "$1"]

    async def test_a_push_too_large_for_its_gateway_is_sent_as_its_event_id(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.gateways.script = [PushRefused("HTTP 413", is_too_large=True)]
        await take(stage, phone, "$1", notification={"content": {"body": "long"}, "prio": "high"})
        _, brief = stage.gateways.requests
        assert brief.at_ms == stage.gateways.requests[0].at_ms
        assert brief.notification.keys() == {"event_id", "room_id", "counts", "prio", "devices"}
        assert (await stage.outbox.counts()).settled["sent"] == 1

    async def test_a_rejected_pushkey_ends_its_queue_and_is_told_upstream(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.gateways.script = [Delivered(is_rejected=True)]
        await take(stage, phone, "$1", "$2")
        assert stage.outbox.is_rejected(phone.hidden_pushkey)
        await stage.restart()
        assert stage.outbox.is_rejected(phone.hidden_pushkey)
        assert await take(stage, phone, "$3") == [Accepted.REJECTED]
        assert stage.gateways.events == ["$1"]

    async def test_a_pusher_that_is_forgotten_is_no_longer_rejected(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.script = [Delivered(is_rejected=True)]
        await take(stage, phone, "$1")
        await stage.outbox.forget(phone.hidden_pushkey)
        assert await take(stage, phone, "$2") == [Accepted.QUEUED]

    async def test_what_identifies_a_pusher_is_in_no_log(
        self, stage: OutboxStage, phone: Twin, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        stage.gateways.script = [Deferred("HTTP 502"), PushRefused("HTTP 400"), Delivered(is_rejected=True)]
        await take(stage, phone, "$1")
        await stage.pass_ms(10_000)
        ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("heliograph"))
        assert "phone.example" in ours
        assert phone.hidden_pushkey not in ours
        assert "_matrix/push" not in ours


class TestHolding:
    async def test_a_held_push_goes_out_when_no_acknowledgement_came(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.pass_ms(2999)
        assert stage.gateways.events == []
        await stage.pass_ms(1)
        assert stage.gateways.events == ["$1"]

    async def test_an_acknowledged_push_never_goes_out(self, stage: OutboxStage, phone: Twin) -> None:
        stage.pushers.direct = [make_direct()]
        await take(stage, phone, "$1", "$2", hold_ms=3000)
        await stage.outbox.acknowledge(ME, "DESK", ["$1"])
        await stage.pass_ms(HOUR)
        assert stage.gateways.events == ["$2"]
        assert (await stage.outbox.counts()).settled[Why.ACKNOWLEDGED] == 1

    async def test_a_push_that_comes_after_its_acknowledgement_never_goes_out(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await stage.outbox.acknowledge(ME, "DESK", ["$1"])
        await stage.restart()
        assert await take(stage, phone, "$1") == [Accepted.SETTLED]
        assert stage.gateways.events == []

    async def test_the_first_of_several_devices_to_acknowledge_drops_the_push(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.pushers.direct = [make_direct("DESK"), make_direct("LAPTOP")]
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.outbox.acknowledge(ME, "LAPTOP", ["$1"])
        await stage.pass_ms(HOUR)
        assert stage.gateways.events == []

    async def test_a_pusher_that_does_not_wait_for_a_device_ignores_its_acknowledgements(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        tablet = stage.pushers.add(make_twin("tablet"))
        stage.pushers.direct = [make_direct(fallback=frozenset({("app", "tablet")}))]
        for twin in (phone, tablet):
            await take(stage, twin, "$1", hold_ms=3000)
        await stage.outbox.acknowledge(ME, "DESK", ["$1", "$2"])
        for twin in (phone, tablet):
            await take(stage, twin, "$2")
        await stage.pass_ms(3000)
        assert [(request.pushkey, request.event_id) for request in stage.gateways.requests] == [
            ("phone", "$1"),
            ("phone", "$2"),
        ]

    async def test_nobody_acknowledges_for_another_user(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.outbox.acknowledge(BOB, "DESK", ["$1"])
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$1"]

    async def test_a_push_that_nobody_holds_waits_for_the_one_before_it(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await take(stage, phone, "$2")
        assert stage.gateways.events == []
        await stage.outbox.acknowledge(ME, "DESK", ["$1"])
        await stage.rest()
        assert stage.gateways.events == ["$2"]

    async def test_after_a_restart_what_was_not_acknowledged_goes_out(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", "$2", hold_ms=3000)
        await stage.outbox.acknowledge(ME, "DESK", ["$1"])
        await stage.kill()
        stage.clock.set(stage.clock.now_ms() + 60_000)
        await stage.open()
        assert stage.gateways.events == ["$2"]

    async def test_a_push_under_way_that_is_acknowledged_is_not_tried_again(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.gateways.always = None
        await take(stage, phone, "$1")
        await stage.outbox.acknowledge(ME, "DESK", ["$1"])
        await stage.answer(stage.gateways.waiting[0], Deferred("HTTP 502"))
        await stage.pass_ms(HOUR)
        assert stage.gateways.events == ["$1"]


class TestCancelling:
    async def test_a_receipt_takes_back_what_came_before_it_in_its_room(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await take(stage, phone, "$other", hold_ms=3000, room_id="!other:example.org")
        await take(stage, phone, "$2", "$3", hold_ms=3000)
        await stage.outbox.cancel_read(ME, ROOM, Mark("$2"))
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$other", "$3"]

    async def test_a_receipt_of_an_event_nobody_was_told_of_takes_nothing_back(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.outbox.cancel_read(ME, ROOM, Mark("$unknown"))
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$1"]

    async def test_a_receipt_that_came_before_the_push_counts_when_it_comes(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.outbox.cancel_read(ME, ROOM, Mark("$2"))
        assert await take(stage, phone, "$2", hold_ms=3000) == [Accepted.SETTLED]
        await stage.pass_ms(3000)
        assert stage.gateways.events == []

    async def test_a_threaded_receipt_takes_back_what_is_known_to_be_of_its_thread(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$main", hold_ms=3000, thread_id="main")
        await take(stage, phone, "$unknown", hold_ms=3000)
        await take(stage, phone, "$reply", "$last", hold_ms=3000, thread_id="$root")
        await stage.outbox.cancel_read(ME, ROOM, Mark("$last", "$root"))
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$main", "$unknown"]

    async def test_what_stands_around_an_event_nobody_was_told_of_tells_what_a_receipt_there_takes_back(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        await take(stage, phone, "$1", hold_ms=3000, thread_id="main")
        await take(stage, phone, "$of a thread", "$2", hold_ms=3000)
        mark, around = Mark("$reaction", "main"), Around(["$1", "$2", "$reaction", "$3"], {"$2": "main"})
        assert await stage.outbox.is_unplaced(ME, ROOM, mark)
        await stage.outbox.cancel_read(ME, ROOM, mark, around)
        await take(stage, phone, "$3", hold_ms=3000, thread_id="main")
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$of a thread", "$3"]

    @pytest.mark.parametrize(
        ("mark", "is_unplaced"),
        [
            (Mark("$unknown"), True),
            (Mark("$2"), False),
            (Mark("$2", "$root"), True),
            (Mark("$3"), False),
        ],
    )
    async def test_the_order_is_asked_for_only_where_a_waiting_push_hangs_on_it(
        self, stage: OutboxStage, phone: Twin, mark: Mark, is_unplaced: bool
    ) -> None:
        assert not await stage.outbox.is_unplaced(ME, ROOM, mark)
        await take(stage, phone, "$1", "$2", "$3", hold_ms=3000)
        assert await stage.outbox.is_unplaced(ME, ROOM, mark) is is_unplaced
        assert not await stage.outbox.is_unplaced(BOB, ROOM, mark)

    async def test_a_redaction_takes_the_event_back_from_everyone(self, stage: OutboxStage, phone: Twin) -> None:
        bobs = stage.pushers.add(make_twin("bobs", BOB))
        for twin in (phone, bobs):
            await take(stage, twin, "$1", hold_ms=3000)
        await stage.outbox.cancel_events(None, ROOM, ["$1", "$2"], Why.REDACTED)
        assert await take(stage, bobs, "$2") == [Accepted.SETTLED]
        await stage.pass_ms(3000)
        assert stage.gateways.events == []

    async def test_a_redaction_in_one_room_touches_no_other(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await stage.outbox.cancel_events(None, "!mallory:example.org", ["$1", "$2"], Why.REDACTED)
        assert await take(stage, phone, "$2", hold_ms=3000) == [Accepted.QUEUED]
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$1", "$2"]

    async def test_leaving_takes_back_the_room(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await take(stage, phone, "$2", hold_ms=3000, room_id="!stays:example.org")
        await stage.outbox.cancel_room(ME, ROOM, Why.LEFT)
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$2"]

    async def test_a_pusher_that_is_gone_takes_its_pushes_along(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        del stage.pushers.twins[phone.hidden_pushkey]
        await stage.pass_ms(3000)
        assert stage.gateways.events == []
        assert (await stage.outbox.counts()).settled[Why.REMOVED] == 1

    async def test_a_pusher_that_was_switched_off_gets_nothing_more(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        stage.pushers.add(make_twin(is_enabled=False))
        await stage.pass_ms(3000)
        assert stage.gateways.events == []
        assert (await stage.outbox.counts()).settled[Why.DISABLED] == 1

    @pytest.mark.expected_log("are given up .1.: too many were waiting")
    async def test_the_oldest_go_when_too_much_waits_for_one_pusher(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with OutboxStage(tmp_path, most_waiting=2) as stage:
            phone = stage.pushers.add(make_twin())
            await take(stage, phone, "$1", "$2", "$3", hold_ms=3000)
            assert (await stage.outbox.counts()).settled[Why.OVERFLOW] == 1
            assert lost(caplog) == ["Pushes of pusher {} are given up (1): too many were waiting"]
            await stage.pass_ms(3000)
            assert stage.gateways.events == ["$2", "$3"]


class TestClearing:
    async def test_unread_zero_takes_everything_back_and_is_dropped_where_nothing_went_out(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        tablet = stage.pushers.add(make_twin("tablet"))
        for twin in (phone, tablet):
            await take(stage, twin, "$1", hold_ms=3000)
        await take(stage, phone, None, unread=0)
        await stage.pass_ms(HOUR)
        assert stage.gateways.events == []
        counts = await stage.outbox.counts()
        assert (counts.settled[Why.UNREAD_ZERO], counts.settled[Why.NOTHING_TO_CLEAR]) == (2, 1)

    async def test_a_phone_that_rang_is_cleared(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", unread=2)
        await take(stage, phone, None, unread=0)
        assert stage.gateways.events == ["$1", None]
        assert stage.gateways.requests[1].notification["counts"] == {"unread": 0}

    async def test_a_phone_that_is_clear_is_not_cleared_again(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1")
        await take(stage, phone, None, None, unread=0)
        assert stage.gateways.events == ["$1", None]

    async def test_a_count_above_what_the_phone_shows_clears_nothing(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", unread=3)
        await take(stage, phone, None, unread=5)
        assert stage.gateways.events == ["$1"]
        await take(stage, phone, None, unread=1)
        assert stage.gateways.events == ["$1", None]

    async def test_a_phone_that_may_have_rung_is_cleared(self, stage: OutboxStage, phone: Twin) -> None:
        stage.gateways.always = None
        await take(stage, phone, "$1")
        await stage.kill()
        stage.gateways.always = Delivered()
        # Read while the relay was down, and the push under way was never answered.
        stage.gateways.script = [Deferred("HTTP 502")]
        await stage.open()
        await take(stage, phone, None, unread=0)
        await stage.pass_ms(60_000)
        assert stage.gateways.events == ["$1", "$1", None]

    async def test_a_clearing_push_takes_back_a_push_under_way_only_if_that_fails(
        self, stage: OutboxStage, phone: Twin
    ) -> None:
        stage.gateways.always = None
        await take(stage, phone, "$1")
        await take(stage, phone, None, unread=0)
        await stage.answer(stage.gateways.waiting[0], Delivered())
        assert stage.gateways.events == ["$1", None]

    async def test_of_several_clearing_pushes_the_last_goes_out(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", unread=5)
        stage.gateways.script = [Deferred("HTTP 502")]
        await take(stage, phone, None, unread=3)
        await take(stage, phone, None, unread=2)
        await stage.pass_ms(1000)
        assert [request.notification["counts"]["unread"] for request in stage.gateways.requests] == [5, 3, 2]

    async def test_unread_above_zero_takes_no_event_back(self, stage: OutboxStage, phone: Twin) -> None:
        await take(stage, phone, "$1", hold_ms=3000)
        await take(stage, phone, None, unread=1)
        await stage.pass_ms(3000)
        assert stage.gateways.events == ["$1"]


async def test_a_homeserver_that_hangs_up_takes_nothing_back(stage: OutboxStage, phone: Twin) -> None:
    taking = asyncio.create_task(stage.outbox.take(stage.push(phone, "$1")))
    # It has begun, and its transaction is with the database's thread.
    for _ in range(3):
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait({taking})
    assert taking.cancelled()
    await until(lambda: stage.gateways.events == ["$1"], "the push")


async def test_a_push_whose_outcome_cannot_be_kept_is_not_sent_again_and_again(stage: OutboxStage, phone: Twin) -> None:
    stage.gateways.always = None
    await take(stage, phone, "$1", "$2")
    with closing(sqlite3.connect(stage.path)) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE UPDATE OF outcome ON pushes BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        stage.gateways.always = Delivered()
        stage.gateways.waiting[0].answer.set_result(Delivered())
        for _ in range(10):
            await until(lambda: stage.clock.is_at_rest, "the next try")
            stage.clock.set(stage.clock.now_ms() + 1000)
        assert stage.gateways.events == ["$1"]
        db.execute("DROP TRIGGER full")
    await until(lambda: stage.clock.is_at_rest, "the next try")
    await stage.pass_ms(1000)
    assert stage.gateways.events == ["$1", "$2"]


async def test_stopping_waits_for_the_push_under_way(stage: OutboxStage, phone: Twin) -> None:
    stage.gateways.always = None
    await stage.outbox.take(stage.push(phone, "$1"))
    await stage.rest()
    run = stage.running
    run.cancel()
    await asyncio.sleep(0)
    stage.gateways.waiting[0].answer.set_result(Delivered())
    await asyncio.wait({run})
    assert (await stage.outbox.counts()).settled["sent"] == 1
