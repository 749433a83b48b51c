"""What the first start shows of what was unread before."""

from __future__ import annotations

from heliograph.core.events import AccountData, InvitedRoom, ServerNotification, Sync
from heliograph.core.ids import RoomId
from heliograph.core.record import Decision, Plan
from heliograph.core.sync.start import anew_plan, first_plan
from support.builders import ME, make_event, make_server_notification

UNREAD = [
    make_server_notification(make_event(event_id="$2", room_id="!b")),
    make_server_notification(make_event(event_id="$1", room_id="!a")),
]


def start(*before: ServerNotification, invites: int = 0, has_more: bool = False) -> Plan:
    sync = Sync("s1", invited=tuple(InvitedRoom(RoomId(f"!{n}")) for n in range(invites)))
    return first_plan(sync, before, (), has_more=has_more)


def text(plan: Plan) -> str:
    (delivery,) = plan.deliveries
    assert delivery.content is not None
    return delivery.content.text


def test_an_account_without_unread_messages_starts_silently() -> None:
    plan = start()
    assert (plan.next_batch, plan.deliveries, plan.judged) == ("s1", (), ())


def test_what_was_unread_before_is_one_summary() -> None:
    assert text(start(*UNREAD)) == "2 unread notifications in 2 rooms"
    assert text(start(*UNREAD, has_more=True)) == "2 or more unread notifications in 2 rooms"
    assert text(start(UNREAD[0], invites=1)) == "1 unread notification in 1 room and 1 invite"
    assert text(start(invites=3)) == "3 invites"


def test_an_invite_that_sync_and_server_tell_of_is_counted_once() -> None:
    sync = Sync("s1", invited=(InvitedRoom(RoomId("!a")),))
    assert text(first_plan(sync, (), {RoomId("!a"), RoomId("!b")}, has_more=False)) == "2 invites"


def test_what_was_read_and_invites_among_notifications_are_not_counted_twice() -> None:
    read = make_server_notification(make_event(), is_read=True)
    invite = make_server_notification(make_event(type="m.room.member", content={}, state_key=ME))
    assert start(read, invite).deliveries == ()


def test_events_from_before_never_ring_later() -> None:
    judged = start(*UNREAD).judged
    assert [(each.event_id, each.decision) for each in judged[:-1]] == [
        ("$2", Decision.SILENT),
        ("$1", Decision.SILENT),
    ]
    assert judged[-1].decision is Decision.RING
    assert judged[-1].event_id == start(*UNREAD).deliveries[0].event_id


def test_push_rules_and_account_data_of_the_first_sync_are_kept() -> None:
    sync = Sync("s1", account_data=AccountData({"global": {}}, direct_rooms=frozenset({RoomId("!a")})))
    plan = first_plan(sync, (), (), has_more=False)
    assert plan.account_data == sync.account_data


def test_starting_anew_says_that_something_may_be_missing() -> None:
    plan = anew_plan("s9")
    assert "may have arrived unseen" in text(plan)
    assert plan.judged[0].event_id == plan.deliveries[0].event_id
