"""A /sync body becomes values; what is malformed in it is named and costs nothing else its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heliograph.core.events import AccountData, Event, JoinedRoom, Malformed, Receipt, RoomSummary, StrippedState, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.errors import Unreachable
from heliograph.homeserver.sync_response import decode_sync
from support.builders import ALICE, ME, ROOM

DEVICE = "DEVICE"


def read(body: dict[str, Any] | bytes | str) -> Sync:
    """Decoded for ME on DEVICE; a dict gets a next_batch if it has none."""
    if isinstance(body, dict):
        body = json.dumps({"next_batch": "s2"} | body)
    return decode_sync(body.encode() if isinstance(body, str) else body, user_id=ME, device_id=DEVICE)


def an_event(event_id: str = "$1", **changes: Any) -> dict[str, Any]:
    event = {
        "event_id": event_id,
        "type": "m.room.message",
        "sender": ALICE,
        "origin_server_ts": 1_700_000_000_000,
        "content": {"msgtype": "m.text", "body": "hello"},
    }
    return {key: value for key, value in (event | changes).items() if value is not ...}


def read_room(**room: Any) -> JoinedRoom:
    [joined] = read({"rooms": {"join": {ROOM: room}}}).joined
    return joined


def read_timeline(*events: Any) -> tuple[Event | Malformed, ...]:
    return read_room(timeline={"events": list(events)}).timeline


def read_account_data(*events: Any) -> AccountData:
    return read({"account_data": {"events": list(events)}}).account_data


def test_an_answer_without_news_is_a_token() -> None:
    body = b'{"next_batch": "s72"}'
    assert read(body) == Sync(next_batch="s72", size=len(body))


def test_an_event_is_whole_and_knows_its_room() -> None:
    [event] = read_timeline(an_event(room_id="!elsewhere:evil", unsigned={"age": 3}, custom=None))
    assert event == Event(
        event_id=EventId("$1"),
        room_id=ROOM,
        type="m.room.message",
        sender=ALICE,
        origin_server_ts=1_700_000_000_000,
        content={"msgtype": "m.text", "body": "hello"},
        raw=an_event(room_id=ROOM, unsigned={"age": 3}, custom=None),
    )


def test_a_state_event_has_its_key() -> None:
    room = read_room(state={"events": [an_event(type="m.room.name", state_key="", content={"name": "Lunch"})]})
    assert [(e.type, e.state_key) for e in room.state if isinstance(e, Event)] == [("m.room.name", "")]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (an_event("$bad", type=...), "type"),
        (an_event("$bad", type=7), "type"),
        (an_event("$bad", type="x" * 256), "type"),
        (an_event("$bad", sender=...), "sender"),
        (an_event("$bad", sender="alice"), "sender"),
        (an_event("$bad", sender="@alice"), "sender"),
        (an_event("$bad", sender="@alice:" + "x" * 255), "sender"),
        (an_event("$bad", sender="@al\0ice:x"), "sender"),
        (an_event("$bad", origin_server_ts="1700000000000"), "origin_server_ts"),
        (an_event("$bad", origin_server_ts=1.5), "origin_server_ts"),
        (an_event("$bad", origin_server_ts=True), "origin_server_ts"),
        (an_event("$bad", content=None), "content"),
        (an_event("$bad", content=["body"]), "content"),
        (an_event("$bad", state_key=5), "state_key"),
        (an_event("$bad", state_key="k" * 256), "state_key"),
        (an_event("$bad", content={"body": "x" * 300_000}), "larger"),
    ],
)
def test_a_malformed_event_is_named_among_good_ones(event: dict[str, Any], why: str) -> None:
    before, malformed, after = read_timeline(an_event("$1"), event, an_event("$2"))
    assert isinstance(before, Event)
    assert isinstance(after, Event)
    assert isinstance(malformed, Malformed)
    assert (malformed.where, malformed.room_id, malformed.event_id) == ("timeline", ROOM, "$bad")
    assert why in malformed.why


@pytest.mark.parametrize("event_id", [..., None, 5, "", "$", "no sigil", "$" + "x" * 255, "$nul\0"])
def test_an_event_without_an_id_is_malformed_without_one(event_id: object) -> None:
    [malformed] = read_timeline(an_event() | {"event_id": event_id} if event_id is not ... else an_event(event_id=...))  # type: ignore[arg-type]
    assert isinstance(malformed, Malformed)
    assert malformed.event_id is None


@pytest.mark.parametrize("event", ["text", 5, None, [], [an_event()], True])
def test_what_is_no_object_is_malformed(event: object) -> None:
    malformed, good = read_timeline(event, an_event())
    assert isinstance(malformed, Malformed)
    assert isinstance(good, Event)


@pytest.mark.parametrize(("ts", "kept"), [(-5, 0), (2**70, 2**53 - 1), (10**30, 2**53 - 1), (0, 0)])
def test_a_time_beyond_all_bounds_does_not_silence_its_event(ts: int, kept: int) -> None:
    [event] = read_timeline(an_event(origin_server_ts=ts))
    assert isinstance(event, Event)
    assert event.origin_server_ts == kept


def test_a_room_of_version_12_has_no_server_in_its_id() -> None:
    room_id = "!2EVo0WVHQIhx04DjlenaaxEAVjXpbDhfLjtHaWP2dHQ"
    [room] = read({"rooms": {"join": {room_id: {}}}}).joined
    assert room == JoinedRoom(RoomId(room_id))


@pytest.mark.parametrize(
    "poison",
    [
        b'"\\ud800 lone"',
        b'"\\udc00"',
        b'"\\ud800\\ud800"',
        b'"\xff\xfe"',
        b'"bare \x01 control"',
        b'["NaN", NaN, -Infinity, "\\"NaN"]',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
        b"[" * 900 + b"]" * 900,
    ],
)
def test_poison_in_one_event_spoils_nothing_and_does_not_silence_it(poison: bytes) -> None:
    event = json.dumps(an_event("$poisoned", content={"body": "hello", "x": "POISON"})).encode()
    events = [json.dumps(an_event("$1")).encode(), event.replace(b'"POISON"', poison)]
    body = b'{"next_batch":"s2","rooms":{"join":{"%s":{"timeline":{"events":[%s]}}}}}' % (
        ROOM.encode(),
        b",".join(events),
    )
    [room] = read(body).joined
    first, poisoned = room.timeline
    assert isinstance(first, Event)
    assert isinstance(poisoned, Event)
    assert poisoned.content["body"] == "hello"
    json.dumps(poisoned.raw).encode()


@pytest.mark.parametrize("poison", [b"1e999", b"9" * 5000])
def test_poison_that_only_its_event_chokes_on_is_named(poison: bytes) -> None:
    event = json.dumps(an_event("$poisoned", content={"x": "POISON"})).encode().replace(b'"POISON"', poison)
    good = json.dumps(an_event("$1")).encode()
    body = b'{"next_batch":"s2","rooms":{"join":{"%s":{"timeline":{"events":[%s,%s]}}}}}' % (ROOM.encode(), event, good)
    malformed, after = read(body).joined[0].timeline
    assert isinstance(malformed, Malformed)
    assert isinstance(after, Event)


def test_escapes_that_are_in_order_survive_the_mending_of_others() -> None:
    body = '{"next_batch":"\\\\ud800 \\ud83d\\ude00 \\"\\u0041\\n","x":"\\ud800"}'
    assert read(body).next_batch == '\\ud800 😀 "A\n'


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{}",
        "[]",
        "null",
        '"s2"',
        "<html>502</html>",
        '{"next_batch": "s2"',
        '{"next_batch": "s2"}}',
        '{"next_batch": 5}',
        '{"next_batch": ""}',
        '{"next_batch": null}',
        '{"next_batch": ["s2"]}',
        json.dumps({"next_batch": "x" * 5000}),
        '{"errcode": "M_UNKNOWN"}',
        "{" * 100_000 + "}",
        b"\xff\xfe{}",
        b"\x00" * 1000,
        b"{" + b"\x00" * 1000 + b"}",
    ],
)
def test_what_is_no_sync_answer_is_unreachable(body: str | bytes) -> None:
    with pytest.raises(Unreachable) as caught:
        read(body)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("wrong", [5, "x", [], True, {"events": 5}, {"events": {}}])
@pytest.mark.parametrize("section", ["timeline", "state", "ephemeral"])
def test_a_malformed_section_of_a_room_leaves_the_others(section: str, wrong: object) -> None:
    good = {"timeline": {"events": [an_event()]}, "state": {"events": [an_event()]}}
    sync = read({"rooms": {"join": {ROOM: good | {section: wrong}, "!other:x": good}}})
    assert [room.room_id for room in sync.joined] == [ROOM, "!other:x"]
    assert [malformed.room_id for malformed in sync.malformed] == [ROOM]
    assert len(sync.joined[1].timeline) == 1
    assert sync.joined[0].limited is (section == "timeline")


@pytest.mark.parametrize("wrong", [5, "x", [], True])
@pytest.mark.parametrize(
    "section", ["rooms", "account_data", "to_device", "notifications", "org.matrix.msc3361.notifications"]
)
def test_a_malformed_section_leaves_the_others(section: str, wrong: object) -> None:
    if section.endswith("notifications") and wrong == []:
        wrong = {}
    good: dict[str, Any] = {
        "rooms": {"join": {ROOM: {"timeline": {"events": [an_event()]}}}},
        "to_device": {"events": [{"type": "m.x"}]},
    }
    sync = read(good | {section: wrong})
    assert [malformed.where for malformed in sync.malformed] == [section.removeprefix("org.matrix.msc3361.")]
    assert bool(sync.joined) is (section != "rooms")
    assert bool(sync.to_device) is (section != "to_device")


@pytest.mark.parametrize("membership", ["join", "invite", "leave"])
def test_a_key_that_is_no_room_id_is_left_out(membership: str) -> None:
    sync = read({"rooms": {membership: {ROOM: {}, "nonsense": {}, "!" + "x" * 255: {}}}})
    rooms = [*(r.room_id for r in sync.joined), *(r.room_id for r in sync.invited), *sync.left]
    assert rooms == [ROOM]
    assert [m.why for m in sync.malformed] == ["2 keys are no room ids"]


def test_null_in_place_of_a_section_is_no_news() -> None:
    nulls: dict[str, Any] = dict.fromkeys(["timeline", "state", "ephemeral", "summary", "unread_notifications"])
    sync = read({"rooms": {"join": {ROOM: nulls}, "invite": None}, "to_device": None, "notifications": None})
    assert sync.malformed == ()
    assert sync.joined == (JoinedRoom(ROOM, limited=True),)


def test_a_gap_is_told_with_where_it_begins() -> None:
    room = read_room(timeline={"events": [], "limited": True, "prev_batch": "p1"})
    assert (room.limited, room.prev_batch) == (True, "p1")


@pytest.mark.parametrize("prev_batch", [5, None, "x" * 5000])
def test_an_unusable_prev_batch_is_none(prev_batch: object) -> None:
    room = read_room(timeline={"events": [an_event()], "limited": "yes", "prev_batch": prev_batch})
    assert (room.limited, room.prev_batch, len(room.timeline)) == (False, None, 1)


def test_only_own_read_receipts_are_kept() -> None:
    content = {
        "$1": {"m.read": {ALICE: {"ts": 1}, ME: {"ts": 2}}},
        "$2": {"m.read.private": {ME: {"ts": 2, "thread_id": "$root"}}},
        "$3": {"m.read": {ME: {"thread_id": "main"}}, "m.other": {ME: {}}},
        "$4": {"m.read": {ALICE: {"ts": 1}}},
        "$5": {"m.read": "nonsense", "m.read.private": {ME: 5}},
        "$6": 5,
        "nonsense": {"m.read": {ME: {}}},
    }
    room = read_room(
        ephemeral={"events": [{"type": "m.typing", "content": {}}, {"type": "m.receipt", "content": content}]}
    )
    assert room.receipts == (
        Receipt(ROOM, EventId("$1")),
        Receipt(ROOM, EventId("$2"), "$root"),
        Receipt(ROOM, EventId("$3"), "main"),
    )


def test_of_receipts_without_measure_only_some_are_kept() -> None:
    content: dict[str, Any] = {f"${number}": {"m.read": {ME: {}}} for number in range(5_000)}
    room = read_room(ephemeral={"events": [{"type": "m.receipt", "content": content}]})
    assert len(room.receipts) == 500


@pytest.mark.parametrize(
    ("room", "count", "threads"),
    [
        ({}, None, {}),
        ({"unread_notifications": {}}, None, {}),
        ({"unread_notifications": {"highlight_count": 1}}, None, {}),
        ({"unread_notifications": {"notification_count": 0}}, 0, {}),
        ({"unread_notifications": {"notification_count": 2}}, 2, {}),
        (
            {
                "unread_notifications": {"notification_count": 2},
                "unread_thread_notifications": {"$a": {"notification_count": 3}},
            },
            2,
            {"$a": 3},
        ),
        (
            {
                "unread_notifications": {"notification_count": 0},
                "unread_thread_notifications": {"$a": {"notification_count": 3}, "$b": {"highlight_count": 0}},
            },
            None,
            {},
        ),
        ({"unread_notifications": {"notification_count": 0}, "unread_thread_notifications": {"$a": 5}}, None, {}),
        ({"unread_thread_notifications": {"$a": {"notification_count": 3}}}, None, {}),
        ({"unread_notifications": {"notification_count": -1}}, None, {}),
        ({"unread_notifications": {"notification_count": 10**30}}, None, {}),
        ({"unread_notifications": {"notification_count": "2"}}, None, {}),
        ({"unread_notifications": {"notification_count": 2.5}}, None, {}),
    ],
)
def test_counts_of_room_and_threads_are_told_apart_or_not_at_all(
    room: dict[str, Any], count: int | None, threads: dict[str, int]
) -> None:
    told = read_room(**room)
    assert (told.notification_count, told.thread_counts) == (count, threads)


def test_sticky_events_are_told_apart_from_the_timeline() -> None:
    member = {
        "type": "m.rtc.member",
        "event_id": "$sticky",
        "sender": ALICE,
        "origin_server_ts": 1,
        "content": {"msc4354_sticky_key": "a"},
    }
    sticky, odd = read_room(msc4354_sticky={"events": [member, 5]}).sticky
    assert isinstance(sticky, Event)
    assert (sticky.event_id, sticky.type) == ("$sticky", "m.rtc.member")
    assert isinstance(odd, Malformed)


def test_a_summary_says_what_the_server_repeated() -> None:
    summary = {"m.joined_member_count": 3, "m.heroes": [ALICE, 5, "nonsense"]}
    assert read_room(summary=summary).summary == RoomSummary(3, None, (ALICE,))
    assert read_room(summary={}).summary == RoomSummary()
    assert read_room(summary={"m.heroes": []}).summary == RoomSummary(heroes=())
    assert read_room(summary={"m.joined_member_count": -1}).summary == RoomSummary()


def test_an_invite_comes_with_stripped_state() -> None:
    good = {"type": "m.room.name", "state_key": "", "sender": ALICE, "content": {"name": "Lunch"}}
    bad = [good | {"sender": 5}, {**good, "content": None}, "x", {"type": "m.room.name"}]
    [invite] = read({"rooms": {"invite": {ROOM: {"invite_state": {"events": [good, *bad]}}}}}).invited
    assert invite.room_id == ROOM
    [name, *malformed] = invite.state
    assert name == StrippedState("m.room.name", "", ALICE, {"name": "Lunch"}, good | {"room_id": ROOM})
    assert [(m.where, m.room_id) for m in malformed if isinstance(m, Malformed)] == [("invite_state", ROOM)] * 4


def test_a_malformed_invite_is_still_an_invite() -> None:
    sync = read({"rooms": {"invite": {ROOM: 5}}})
    assert [invite.room_id for invite in sync.invited] == [ROOM]
    assert len(sync.malformed) == 1


def test_left_rooms_are_named() -> None:
    assert read({"rooms": {"leave": {ROOM: {"timeline": {"events": [an_event()]}}}}}).left == (ROOM,)


@pytest.mark.parametrize("key", ["state_after", "org.matrix.msc4222.state_after"])
def test_state_of_the_end_of_a_timeline_is_told_from_state_of_its_beginning(key: str) -> None:
    (after,) = read({"rooms": {"join": {ROOM: {key: {"events": [an_event()]}}}}}).joined
    (before,) = read({"rooms": {"join": {ROOM: {"state": {"events": [an_event()]}}}}}).joined
    assert [(len(each.state), each.is_state_after) for each in (after, before)] == [(1, True), (1, False)]


def test_to_device_events_stay_as_they_came() -> None:
    sync = read(b'{"next_batch":"s2","to_device":{"events":[{"type":"m.room.encrypted", "x":1.0}, 5, {"type":7}]}}')
    assert sync.to_device == (b'{"type":"m.room.encrypted", "x":1.0}', b'{"type":7}')
    assert [m.where for m in sync.malformed] == ["to_device"]


def test_account_data_is_read_by_type() -> None:
    rules: dict[str, Any] = {"global": {"override": []}}
    data = read_account_data(
        {"type": "m.push_rules", "content": rules},
        {"type": "m.direct", "content": {ALICE: [ROOM, 5, "nonsense"], "@b:x": "nonsense", "@c:x": ["!b:x"]}},
        {"type": "m.ignored_user_list", "content": {"ignored_users": {"@spam:x": {}, "nonsense": {}}}},
        {"type": f"org.matrix.msc3890.local_notification_settings.{DEVICE}", "content": {"is_silenced": True}},
        {"type": "m.something.else", "content": {}},
    )
    assert data == AccountData(
        rules, frozenset({ROOM, RoomId("!b:x")}), frozenset({UserId("@spam:x")}), is_silenced=True
    )


@pytest.mark.parametrize("type_", ["m.media_preview_config", "io.element.msc4278.media_preview_config"])
@pytest.mark.parametrize(
    ("content", "shows"),
    [({"invite_avatars": "off"}, False), ({"invite_avatars": "on"}, True), ({}, True), ({"invite_avatars": 5}, True)],
)
def test_who_wants_no_pictures_of_invites_says_off(type_: str, content: dict[str, Any], shows: bool) -> None:
    assert read_account_data({"type": type_, "content": content}).shows_invite_avatars is shows


@pytest.mark.parametrize(
    ("type_", "content", "is_silenced"),
    [
        (f"m.local_notification_settings.{DEVICE}", {"is_silenced": True}, True),
        (f"m.local_notification_settings.{DEVICE}", {"is_silenced": "yes"}, False),
        (f"m.local_notification_settings.{DEVICE}", {}, False),
        ("m.local_notification_settings.OTHER", {"is_silenced": True}, None),
    ],
)
def test_only_our_own_device_is_silenced(type_: str, content: dict[str, Any], is_silenced: bool | None) -> None:
    assert read_account_data({"type": type_, "content": content}).is_silenced is is_silenced


@pytest.mark.parametrize(
    "event",
    [
        {"type": "m.direct", "content": [ROOM]},
        {"type": "m.ignored_user_list", "content": {"ignored_users": []}},
        {"type": 5, "content": {}},
        {"content": {}},
        5,
    ],
)
def test_malformed_account_data_changes_nothing(event: object) -> None:
    sync = read({"account_data": {"events": [event, {"type": "m.direct", "content": {}}]}})
    assert sync.account_data == AccountData(direct_rooms=frozenset())
    assert [m.where for m in sync.malformed] == ["account_data"]


@pytest.mark.parametrize("content", [{}, {"global": []}, 5, None, [{}]])
def test_unusable_push_rules_are_handed_on_so_that_somebody_says_so(content: Any) -> None:
    assert read_account_data({"type": "m.push_rules", "content": content}).push_rules == (
        content if isinstance(content, dict) else {}
    )


@pytest.mark.parametrize("key", ["notifications", "org.matrix.msc3361.notifications"])
def test_notifications_are_read_under_both_names(key: str) -> None:
    entry = {
        "room_id": ROOM,
        "event": an_event(),
        "actions": ["notify", {"set_tweak": "highlight"}],
        "ts": 7,
        "read": True,
    }
    bad = [
        entry | {"room_id": 5},
        entry | {"event": 5},
        entry | {"actions": 5},
        entry | {"event": an_event(sender=5)},
        5,
    ]
    [good, *malformed] = read({key: [entry, *bad]}).notifications
    assert not isinstance(good, Malformed)
    assert (good.event.room_id, good.event.raw["room_id"]) == (ROOM, ROOM)
    assert (good.actions, good.ts, good.is_read) == (("notify", {"set_tweak": "highlight"}), 7, True)
    assert [m.where for m in malformed if isinstance(m, Malformed)] == ["notifications"] * 5


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert read('{"next_batch": "s1", "next_batch": "s2"}').next_batch == "s2"


@pytest.mark.parametrize(
    ("told", "one_time_keys", "has_fallback"),
    [
        ({}, None, None),
        ({"device_one_time_keys_count": {}, "device_unused_fallback_key_types": []}, 0, False),
        (
            {
                "device_one_time_keys_count": {"signed_curve25519": 17, "curve25519": 3},
                "device_unused_fallback_key_types": ["signed_curve25519"],
            },
            17,
            True,
        ),
        ({"device_one_time_keys_count": {"signed_curve25519": -5}}, 0, None),
        ({"device_one_time_keys_count": None, "device_unused_fallback_key_types": None}, None, None),
    ],
)
def test_what_is_left_of_our_published_keys_is_told(
    told: dict[str, Any], one_time_keys: int | None, has_fallback: bool | None
) -> None:
    sync = read(told)
    assert (sync.one_time_keys, sync.has_unused_fallback_key) == (one_time_keys, has_fallback)


@pytest.mark.parametrize(
    ("told", "is_changed"),
    [
        ({}, False),
        ({"device_lists": {"changed": [ALICE, ME], "left": []}}, True),
        ({"device_lists": {"changed": [ALICE]}}, False),
        ({"device_lists": {"left": [ME]}}, False),
        ({"device_lists": {"changed": []}}, False),
    ],
)
def test_it_is_told_whether_the_users_own_devices_changed(told: dict[str, Any], *, is_changed: bool) -> None:
    assert read(told).has_changed_devices is is_changed


@pytest.mark.parametrize("told", [[], {"changed": ME}, {"changed": [ME, 5]}])
def test_changed_devices_that_are_no_list_are_malformed(told: Any) -> None:
    sync = read({"device_lists": told})
    assert not sync.has_changed_devices
    assert len(sync.malformed) == 1


def test_counts_of_keys_that_are_none_are_malformed() -> None:
    sync = read({"device_one_time_keys_count": {"signed_curve25519": "many"}})
    assert sync.one_time_keys is None
    assert [each.where for each in sync.malformed] == ["device_one_time_keys_count"]
