"""Answers, delays, counts and bodies: what is decided about a push without asking anyone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edges.relay.stage import NOON, make_twin
from heliograph.relay.model.hold import LONGEST_HOLD_MS, SOMETHING, clears, due_ms, retry_delay_ms
from heliograph.relay.model.outcome import Deferred, Delivered, Outcome, Refused, judge, retry_after
from heliograph.relay.model.pushers import MARK
from heliograph.relay.proxy.limits import Allowance
from heliograph.relay.queue.schedule import Schedule
from heliograph.relay.wire.push import Malformed, pack, read, restore


class TestAnswers:
    @pytest.mark.parametrize(
        "body", [b"{}", b"[]", b'{"rejected": null}', b'{"rejected": "k"}', b'{"rejected": ["x"]}']
    )
    def test_success_with_json_is_success(self, body: bytes) -> None:
        assert judge(200, {}, body, "k") == Delivered()
        assert judge(202, {}, body, "k") == Delivered()

    def test_the_own_pushkey_among_the_rejected_ends_the_pusher(self) -> None:
        assert judge(200, {}, b'{"rejected": ["x", "k"]}', "k") == Delivered(is_rejected=True)

    @pytest.mark.parametrize("body", [b"ok", b"", b"<html>", b"\xff", b"[" * 100_000])
    def test_success_without_json_is_no_push_gateways(self, body: bytes) -> None:
        assert isinstance(judge(200, {}, body, "k"), Refused)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (500, Deferred),
            (502, Deferred),
            (507, Deferred),
            (429, Deferred),
            (408, Deferred),
            (425, Deferred),
            (400, Refused),
            (401, Refused),
            (404, Refused),
            (413, Refused),
            (422, Refused),
            (301, Refused),
            (308, Refused),
        ],
    )
    def test_every_other_status_is_put_off_or_refused(self, status: int, kind: type[Outcome]) -> None:
        assert isinstance(judge(status, {}, b"{}", "k"), kind)

    def test_only_413_finds_a_push_too_large(self) -> None:
        assert judge(413, {}, b"", "k") == Refused("HTTP 413", is_too_large=True)
        assert judge(400, {}, b"", "k") == Refused("HTTP 400")

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("5", 5),
            ("0.5", 0.5),
            ("-3", 0),
            ("1e300", 86400),
            ("nan", None),
            ("inf", 86400),
            ("soon", None),
            ("", None),
            ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ],
    )
    def test_retry_after_is_a_number_or_a_date_or_nothing(self, value: str, seconds: float | None) -> None:
        assert retry_after({"Retry-After": value, "Date": "Sat, 21 Nov 2026 12:00:00 GMT"}) == seconds

    def test_retry_after_as_a_date_needs_the_gateways_own(self) -> None:
        assert retry_after({"Retry-After": "Sat, 21 Nov 2026 12:00:30 GMT"}) is None


class TestTimes:
    def test_nobody_is_waited_for_longer_than_a_minute_or_before_the_push_came(self) -> None:
        assert due_ms(NOON, None) == NOON
        assert due_ms(NOON, NOON + 3000) == NOON + 3000
        assert due_ms(NOON, NOON - 3000) == NOON
        assert due_ms(NOON, NOON + 10**12) == NOON + LONGEST_HOLD_MS

    @pytest.mark.parametrize(
        ("failures", "asked_s", "ms"),
        [
            (1, None, 1000),
            (2, None, 2000),
            (12, None, 2048000),
            (13, None, 3600000),
            (10**6, None, 3600000),
            (1, 60.0, 60000),
            (5, 1.0, 16000),
            (1, 1000000000.0, 3600000),
            (0, None, 1000),
        ],
    )
    def test_delays_double_and_end_at_an_hour(self, failures: int, asked_s: float | None, ms: int) -> None:
        assert retry_delay_ms(failures, asked_s) == ms

    @pytest.mark.parametrize(
        ("shown", "unread", "answer"),
        [
            (None, 0, False),
            (None, 3, False),
            (0, 0, False),
            (2, 0, True),
            (2, 1, True),
            (2, 2, False),
            (2, 3, False),
            (SOMETHING, 0, True),
            (SOMETHING, 9, True),
        ],
    )
    def test_a_count_clears_what_it_is_less_than(self, shown: int | None, unread: int, answer: bool) -> None:
        assert clears(shown, unread) is answer


class TestBodies:
    def test_an_adopted_pusher_loses_its_mark_again(self) -> None:
        original = {"data": {"url": "https://x", "format": "event_id_only", "io.example": 1}}
        twin = make_twin(original=original, is_adopted=True)
        packed = pack(
            {"event_id": "$1"}, {"pushkey": "phone", "data": {MARK: "hidden"}, "tweaks": {"sound": "default"}}
        )
        (device,) = json.loads(restore(packed, twin, is_brief=False))["notification"]["devices"]
        assert device == {
            "app_id": "app",
            "pushkey": "phone",
            "tweaks": {"sound": "default"},
            "data": {"format": "event_id_only", "io.example": 1},
        }

    @pytest.mark.parametrize(
        ("content", "thread"),
        [
            (None, None),
            ("text", None),
            ({}, "main"),
            ({"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}}, "main"),
            ({"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}, "$root"),
            ({"m.relates_to": {"rel_type": "m.thread", "event_id": 5}}, None),
            ({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$0"}}, None),
            ({"m.relates_to": "nothing"}, "main"),
        ],
    )
    def test_the_thread_is_told_by_content_alone(self, content: Any, thread: str | None) -> None:
        body = {"notification": {"event_id": "$1", "room_id": "!r", "content": content, "devices": []}}
        assert read(json.dumps(body).encode()).thread_id == thread

    @pytest.mark.parametrize("counts", [None, "x", {}, {"unread": "1"}, {"unread": True}, {"unread": 1.5}])
    def test_a_count_that_makes_no_sense_is_none(self, counts: Any) -> None:
        body: dict[str, Any] = {"notification": {"event_id": "$1", "room_id": "!r", "counts": counts, "devices": []}}
        assert read(json.dumps(body).encode()).unread is None
        del body["notification"]["event_id"]
        assert read(json.dumps(body).encode()).unread == 0

    @pytest.mark.parametrize("ids", [{"event_id": 5}, {"event_id": "$" * 2000}, {"event_id": "$1", "room_id": ["!r"]}])
    def test_identifiers_are_text_of_a_sane_length(self, ids: Any) -> None:
        with pytest.raises(Malformed):
            read(json.dumps({"notification": {**ids, "devices": []}}).encode())


class TestAllowance:
    def test_an_address_has_its_burst_and_then_its_rate(self) -> None:
        allowance = Allowance(per_second=2, burst=3)
        assert [allowance.take("1.1.1.1", NOON) for _ in range(3)] == [0, 0, 0]
        assert allowance.take("1.1.1.1", NOON) == 0.5
        assert allowance.take("2.2.2.2", NOON) == 0
        assert allowance.take("1.1.1.1", NOON + 500) == 0
        assert allowance.take("1.1.1.1", NOON + 500) == 0.5

    def test_the_addresses_of_one_network_are_one(self) -> None:
        allowance = Allowance(per_second=1, burst=1)
        assert allowance.take("2606:4700::1", NOON) == 0
        assert allowance.take("2606:4700::2", NOON) > 0
        assert allowance.take("2606:4700:0:1::1", NOON) == 0
        assert allowance.take("1.1.1.1", NOON) == 0
        assert allowance.take("::ffff:1.1.1.1", NOON) > 0

    def test_so_many_addresses_are_remembered(self) -> None:
        allowance = Allowance(per_second=1, burst=1, most_addresses=2)
        for address in ("1.1.1.1", "2.2.2.2", "3.3.3.3"):
            allowance.take(address, NOON)
        assert allowance.take("3.3.3.3", NOON) > 0
        assert allowance.take("1.1.1.1", NOON) == 0

    def test_a_clock_that_was_set_back_gives_and_takes_nothing(self) -> None:
        allowance = Allowance(per_second=1, burst=1)
        allowance.take(None, NOON)
        assert allowance.take(None, NOON - 10_000) == 1
        assert allowance.take(None, NOON - 9_000) == 0


class TestSchedule:
    def test_keys_come_in_the_order_of_their_times(self) -> None:
        schedule = Schedule(9, 9)
        for key, due in (("late", 30), ("early", 10), ("late", 5)):
            schedule.ask(key, due)
        assert schedule.next_ms() == 5
        assert [schedule.take(10), schedule.take(10), schedule.take(10)] == ["late", "early", None]
        assert schedule.next_ms() is None

    def test_what_is_asked_for_a_key_at_work_is_looked_at_afterwards(self) -> None:
        schedule = Schedule(9, 9)
        schedule.ask("a", 0)
        assert schedule.take(0) == "a"
        assert schedule.start("a", "host")
        schedule.ask("a", 7)
        assert schedule.take(9) is None
        schedule.finish("a", 50, 9)
        assert schedule.next_ms() == 7

    def test_nothing_is_kept_of_keys_with_nothing_to_do(self) -> None:
        schedule = Schedule(9, 1)
        for key in ("a", "b"):
            schedule.ask(key, 0)
            schedule.start(str(schedule.take(0)), "host")
        assert len(schedule) == 2
        schedule.finish("a", None, 0)
        schedule.start(str(schedule.take(0)), "host")
        schedule.finish("b", None, 0)
        assert len(schedule) == 0
