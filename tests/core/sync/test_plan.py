"""What one sync means: the program's decisions, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.delivery import State
from heliograph.core.events import (
    AccountData,
    Event,
    InvitedRoom,
    JoinedRoom,
    Malformed,
    Receipt,
    RoomSummary,
    ServerNotification,
    Sync,
)
from heliograph.core.ids import EventId, OwnKey, RoomId
from heliograph.core.notification import Category
from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Decision, Delivery, Edit, Plan, Rewrite, RoomRecord, Withdrawal
from heliograph.core.room import RoomFacts
from heliograph.core.sync.needs import (
    marked_events,
    missing_names,
    own_member_events,
    rooms_changing_deliveries,
    rooms_wanting_facts,
    senders,
    touched_rooms,
    unnamed_threads,
    unplaced_events,
)
from heliograph.core.sync.plan import is_disputed, plan
from heliograph.core.sync.relations import EDITED
from heliograph.core.sync.situation import Mode, Situation
from support.builders import (
    ALICE,
    BOB,
    ME,
    ROOM,
    make_delivery,
    make_edit,
    make_event,
    make_facts,
    make_redaction,
    make_server_notification,
    make_stripped,
    make_sync,
)

MUTED = Ruleset.parse(
    {
        "override": [
            {
                "rule_id": ROOM,
                "enabled": True,
                "default": False,
                "actions": [],
                "conditions": [{"kind": "event_match", "key": "room_id", "pattern": ROOM}],
            }
        ]
    }
)


def situation(**changes: Any) -> Situation:
    """An account that knows the room Lunch and judges by the predefined rules. What is open stands where its position
    says."""
    defaults: dict[str, Any] = {
        "places": {each.event_id: each.position for each in changes.get("open_deliveries", ())},
        "me": ME,
        "mode": Mode.LOCAL,
        "account": AccountState(next_batch="s1"),
        "ruleset": Ruleset.predefined(ME),
        "rooms": {ROOM: RoomRecord(make_facts())},
    }
    return Situation(**(defaults | changes))


def rung(decided: Plan) -> list[str]:
    return [each.event_id for each in decided.deliveries]


def reason(decided: Plan, event_id: str) -> str:
    (judged,) = [each for each in decided.judged if each.event_id == event_id]
    assert judged.decision is Decision.SILENT
    return judged.reason


def only(decided: Plan) -> Delivery:
    (delivery,) = decided.deliveries
    assert delivery.content is not None
    return delivery


class TestMessages:
    def test_a_message_rings_with_its_room_sender_and_text(self) -> None:
        decided = plan(make_sync(make_event("hello", event_id="$1")), situation())
        delivery = only(decided)
        assert (delivery.event_id, delivery.room_id, delivery.sender) == ("$1", ROOM, ALICE)
        assert delivery.content is not None
        assert (delivery.content.room_title, delivery.content.sender_name) == ("Lunch", "Alice")
        assert (delivery.content.text, delivery.content.is_direct) == ("hello", False)
        assert decided.judged[0].decision is Decision.RING
        assert decided.judged[0].rule == "underride/.m.rule.message"
        assert decided.next_batch == "s2"

    def test_a_mention_highlights_and_sounds(self) -> None:
        mention = make_event(content={"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [ME]}})
        content = only(plan(make_sync(mention), situation())).content
        assert content is not None
        assert (content.is_highlight, content.sound) == (True, "default")

    def test_a_message_in_a_conversation_of_two_is_direct(self) -> None:
        rooms = {ROOM: RoomRecord(make_facts(name=None, joined_member_count=2))}
        content = only(plan(make_sync(make_event()), situation(rooms=rooms))).content
        assert content is not None
        assert content.is_direct

    def test_own_events_never_ring(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1", sender=ME)), situation())
        assert (rung(decided), reason(decided, "$1")) == ([], "own event")

    def test_a_muted_room_is_silent(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1")), situation(ruleset=MUTED))
        assert (rung(decided), reason(decided, "$1")) == ([], f"override/{ROOM}")

    def test_what_no_rule_lets_ring_is_silent(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1")), situation(ruleset=Ruleset.parse({})))
        assert reason(decided, "$1") == "no rule matched"

    def test_an_ignored_sender_is_silent_from_the_sync_on_that_says_so(self) -> None:
        sync = make_sync(make_event(event_id="$1"))
        account = AccountState(next_batch="s1", ignored_users=frozenset({ALICE}))
        assert reason(plan(sync, situation(account=account)), "$1") == "its sender is ignored"
        changed = replace(sync, account_data=AccountData(ignored_users=frozenset({ALICE})))
        assert reason(plan(changed, situation()), "$1") == "its sender is ignored"

    def test_a_silenced_device_or_a_pusher_switched_off_is_silent(self) -> None:
        sync = make_sync(make_event(event_id="$1"))
        silenced = AccountState(next_batch="s1", is_silenced=True)
        assert reason(plan(sync, situation(account=silenced)), "$1") == "another client silenced this device"
        off = AccountState(next_batch="s1", is_pusher_enabled=False)
        assert "pusher off" in reason(plan(sync, situation(account=off)), "$1")
        at_once = replace(sync, account_data=AccountData(is_silenced=True))
        assert rung(plan(at_once, situation())) == []
        loud_again = replace(sync, account_data=AccountData(is_silenced=False))
        assert rung(plan(loud_again, situation(account=silenced))) == ["$1"]

    def test_what_arrives_already_redacted_is_silent(self) -> None:
        redacted = make_event(event_id="$1", unsigned={"redacted_because": {}})
        assert "deleted" in reason(plan(make_sync(redacted), situation()), "$1")

    def test_the_same_event_twice_in_a_timeline_rings_once(self) -> None:
        event = make_event(event_id="$1")
        assert rung(plan(make_sync(event, event), situation())) == ["$1"]

    def test_an_encrypted_message_rings_without_its_text(self) -> None:
        content = only(plan(make_sync(make_event(type="m.room.encrypted", content={})), situation())).content
        assert content is not None
        assert content.text == "New encrypted message"

    def test_a_thread_is_remembered(self) -> None:
        threaded = {"body": "x", "msgtype": "m.text", "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
        assert only(plan(make_sync(make_event(content=threaded)), situation())).thread_root == "$root"

    def test_a_malformed_event_is_recorded_among_good_ones(self) -> None:
        bad = Malformed("timeline", "no sender", ROOM, EventId("$bad"))
        sync = Sync(
            "s2",
            joined=(JoinedRoom(ROOM, timeline=(bad, make_event(event_id="$1")), state=(bad,)),),
            malformed=(Malformed("presence", "odd"),),
        )
        decided = plan(sync, situation())
        assert rung(decided) == ["$1"]
        malformed = [each for each in decided.judged if each.decision is Decision.MALFORMED]
        assert [(each.room_id, each.reason) for each in malformed] == [
            (None, "presence: odd"),
            (ROOM, "timeline: no sender"),
        ]

    def test_an_event_that_finds_a_fault_of_ours_is_recorded_under_its_own_id(self) -> None:
        bad = Malformed("timeline", "a fault", ROOM, EventId("$bad"), is_our_fault=True)
        nameless = Malformed("invite_state", "a fault", ROOM, is_our_fault=True)
        decided = plan(Sync("s2", joined=(JoinedRoom(ROOM, timeline=(bad, bad)),), malformed=(nameless,)), situation())
        assert [(each.event_id, each.reason) for each in decided.judged][1:] == [("$bad", "a fault")]
        assert decided.judged[0].event_id.startswith("malformed:")

    def test_what_was_said_before_the_user_joined_is_silent(self) -> None:
        join = make_event(type="m.room.member", content={"membership": "join"}, state_key=ME, sender=ME)
        decided = plan(make_sync(make_event(event_id="$old"), join, make_event(event_id="$new")), situation())
        assert rung(decided) == ["$new"]
        assert reason(decided, "$old") == "from before you joined"


class TestRooms:
    def test_state_before_and_within_the_timeline_names_what_rings(self) -> None:
        state = make_event(type="m.room.name", content={"name": "Tea"}, state_key="")
        rename = make_event(type="m.room.name", content={"name": "Coffee"}, state_key="")
        sync = Sync(
            "s2",
            joined=(
                JoinedRoom(
                    ROOM,
                    state=(state,),
                    timeline=(make_event(event_id="$1"), rename, make_event(event_id="$2")),
                    summary=RoomSummary(joined_member_count=7),
                ),
            ),
        )
        decided = plan(sync, situation())
        titles = [each.content.room_title for each in decided.deliveries if each.content]
        assert titles == ["Tea", "Coffee"]
        (record,) = decided.rooms
        assert (record.facts.name, record.facts.joined_member_count) == ("Coffee", 7)

    def test_state_as_of_the_end_of_the_timeline_holds_against_the_timelines_own(self) -> None:
        """What the homeserver resolved otherwise, after servers disagreed, is in no timeline (MSC4222)."""
        rename = make_event(type="m.room.name", content={"name": "Rejected"}, state_key="")
        resolved = make_event(type="m.room.name", content={"name": "Tea"}, state_key="")
        timeline = (make_event(event_id="$1"), rename)
        (record,) = plan(
            Sync("s2", joined=(JoinedRoom(ROOM, state=(resolved,), is_state_after=True, timeline=timeline),)),
            situation(),
        ).rooms
        assert record.facts.name == "Tea"

    def test_a_room_that_did_not_change_is_not_written(self) -> None:
        assert plan(make_sync(make_event()), situation()).rooms == ()

    def test_what_was_asked_of_a_room_just_now_is_written(self) -> None:
        decided = plan(make_sync(make_event()), situation(fresh_rooms=frozenset({ROOM})))
        assert decided.rooms == (RoomRecord(make_facts()),)
        elsewhere = {"!b": RoomRecord(make_facts("!b")), ROOM: RoomRecord(make_facts())}
        decided = plan(make_sync(make_event()), situation(rooms=elsewhere, fresh_rooms=frozenset({"!b"})))
        assert decided.rooms == (RoomRecord(make_facts("!b")),)

    def test_a_room_unknown_so_far_rings_with_what_is_known(self) -> None:
        content = only(plan(make_sync(make_event()), situation(rooms={}))).content
        assert content is not None
        assert (content.room_title, content.sender_name) == ("Unnamed room", ALICE)

    def test_leaving_withdraws_what_is_open_and_forgets_the_room(self) -> None:
        open_here = make_delivery("$1", position=1)
        decided = plan(Sync("s2", left=(ROOM,)), situation(open_deliveries=[open_here]))
        assert decided.changes == (Withdrawal(EventId("$1"), "left the room"),)
        assert decided.rooms == (RoomRecord(RoomFacts(ROOM), invite_serial=1),)

    def test_leaving_an_unknown_room_changes_nothing(self) -> None:
        assert plan(Sync("s2", left=(RoomId("!other:x"),)), situation()).is_empty


class TestEditsAndRedactions:
    OPEN = make_delivery("$1", position=1, state=State.SHOWN)

    def test_an_edit_changes_what_is_shown_and_does_not_ring(self) -> None:
        edit = make_edit("$1", "corrected", event_id="$2")
        decided = plan(make_sync(edit), situation(open_deliveries=[self.OPEN]))
        assert (rung(decided), decided.changes) == ([], (Edit(EventId("$1"), "corrected"),))
        assert reason(decided, "$2") == "override/.m.rule.suppress_edits"

    def test_an_edit_in_the_same_sync_changes_what_will_be_shown(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1"), make_edit("$1", "corrected")), situation())
        assert (rung(decided), decided.changes) == (["$1"], (Edit(EventId("$1"), "corrected"),))

    def test_only_the_sender_can_edit(self) -> None:
        decided = plan(make_sync(make_edit("$1", sender=BOB)), situation(open_deliveries=[self.OPEN]))
        assert decided.changes == ()

    def test_an_edit_of_something_else_changes_nothing(self) -> None:
        assert plan(make_sync(make_edit("$other")), situation(open_deliveries=[self.OPEN])).changes == ()

    def test_an_edit_that_mentions_the_user_rings_in_place_of_its_message(self) -> None:
        edit = make_edit("$1", "you too", event_id="$2", mentions=ME)
        decided = plan(make_sync(edit), situation(open_deliveries=[self.OPEN]))
        assert decided.changes == (Withdrawal(EventId("$1"), EDITED),)
        delivery = only(decided)
        assert (delivery.event_id, delivery.edits) == ("$2", "$1")
        assert delivery.content is not None
        assert (delivery.content.text, delivery.content.is_highlight) == ("you too", True)

    def test_an_edit_that_mentions_the_user_rings_alone_in_its_sync(self) -> None:
        timeline = make_event(event_id="$1"), make_edit("$1", event_id="$2", mentions=ME)
        decided = plan(make_sync(*timeline), situation())
        assert (rung(decided), reason(decided, "$1"), decided.changes) == (["$2"], EDITED, ())

    def test_an_edit_that_the_homeserver_lists_takes_the_place_of_its_message(self) -> None:
        edit = make_edit("$1", event_id="$2", mentions=ME)
        sync = replace(make_sync(edit), notifications=(make_server_notification(edit),))
        decided = plan(sync, situation(mode=Mode.DIRECT, open_deliveries=[self.OPEN]))
        assert (rung(decided), decided.changes) == (["$2"], (Withdrawal(EventId("$1"), EDITED),))

    def test_what_an_edit_took_the_place_of_is_not_kept_until_its_key_comes(self) -> None:
        edit = make_edit("$1", event_id="$2", mentions=ME)
        assert plan(make_sync(edit), situation(open_deliveries=[self.OPEN])).unlocked == ("$1",)

    def test_an_edit_whose_key_comes_late_takes_the_place_of_its_message(self) -> None:
        shown = make_delivery("$2", position=2, state=State.SHOWN)
        edit = make_edit("$1", event_id="$2", mentions=ME)
        decided = plan(Sync("s2"), situation(open_deliveries=[self.OPEN, shown], late=[edit]))
        rewrite, withdrawal = decided.changes
        assert (type(rewrite), rewrite.event_id) == (Rewrite, "$2")
        assert withdrawal == Withdrawal(EventId("$1"), EDITED)

    def test_the_next_edit_changes_the_one_that_rang(self) -> None:
        rang = make_delivery("$2", edits="$1", position=2, state=State.SHOWN)
        decided = plan(make_sync(make_edit("$1", "again", event_id="$3")), situation(open_deliveries=[rang]))
        assert (rung(decided), decided.changes) == ([], (Edit(EventId("$2"), "again"),))

    def test_the_next_edit_that_rings_takes_the_place_of_the_one_that_rang(self) -> None:
        rang = make_delivery("$2", edits="$1", position=2, state=State.SHOWN)
        edit = make_edit("$1", event_id="$3", mentions=ME)
        decided = plan(make_sync(edit), situation(open_deliveries=[rang]))
        assert (rung(decided), decided.changes) == (["$3"], (Withdrawal(EventId("$2"), EDITED),))

    def test_nobody_takes_the_place_of_what_another_wrote(self) -> None:
        edit = make_edit("$1", sender=BOB, event_id="$2", mentions=ME)
        decided = plan(make_sync(edit), situation(open_deliveries=[self.OPEN]))
        assert (rung(decided), decided.changes) == (["$2"], ())

    def test_deleting_a_message_deletes_its_edit_that_rang(self) -> None:
        rang = make_delivery("$2", edits="$1", position=2, state=State.SHOWN)
        decided = plan(make_sync(make_redaction("$1")), situation(open_deliveries=[rang]))
        assert [each.event_id for each in decided.changes if isinstance(each, Withdrawal)] == ["$1", "$2"]
        timeline = make_event(event_id="$1"), make_edit("$1", event_id="$2", mentions=ME), make_redaction("$1")
        assert rung(plan(make_sync(*timeline), situation())) == []

    def test_a_redaction_withdraws(self) -> None:
        decided = plan(make_sync(make_redaction("$1")), situation(open_deliveries=[self.OPEN]))
        assert [(type(each), each.event_id) for each in decided.changes] == [(Withdrawal, "$1")]

    def test_a_message_redacted_in_the_same_sync_stays_silent(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1"), make_redaction("$1")), situation())
        assert (rung(decided), "deleted" in reason(decided, "$1")) == ([], True)


class TestReading:
    def test_what_was_read_elsewhere_before_it_was_shown_stays_silent(self) -> None:
        sync = make_sync(
            make_event(event_id="$1"),
            make_event(event_id="$2"),
            receipts=(Receipt(ROOM, EventId("$1")),),
        )
        decided = plan(sync, situation())
        assert (rung(decided), reason(decided, "$1")) == (["$2"], "read elsewhere")

    def test_what_is_shown_is_withdrawn_when_read_elsewhere(self) -> None:
        open_here = [make_delivery("$1", position=4), make_delivery("$3", position=6)]
        sync = Sync("s2", joined=(JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$own")),)),))
        decided = plan(sync, situation(open_deliveries=open_here, places={"$1": 4, "$own": 5, "$3": 6}))
        assert decided.changes == (Withdrawal(EventId("$1"), "read elsewhere"),)

    def test_a_receipt_for_the_newest_event_covers_what_was_shown_before(self) -> None:
        sync = make_sync(make_event(event_id="$2", sender=ME), receipts=(Receipt(ROOM, EventId("$2")),))
        decided = plan(sync, situation(open_deliveries=[make_delivery("$1", position=4)]))
        assert decided.changes == (Withdrawal(EventId("$1"), "read elsewhere"),)

    def test_what_was_listed_before_its_sync_and_is_newer_than_the_receipt_stays(self) -> None:
        open_here = [make_delivery("$2", position=4)]
        sync = make_sync(make_event(event_id="$1"), make_event(event_id="$2"), receipts=(Receipt(ROOM, EventId("$1")),))
        decided = plan(sync, situation(mode=Mode.DIRECT, open_deliveries=open_here))
        assert decided.changes == ()

    def test_what_is_listed_is_placed_below_what_stands_above_it_and_is_not_listed(self) -> None:
        listed = (make_server_notification(make_event(event_id="$2")),)
        sync = replace(make_sync(make_event(event_id="$1"), make_event(event_id="$2")), notifications=listed)
        decided = plan(sync, situation(mode=Mode.DIRECT))
        assert [each.event_id for each in decided.judged] == ["$1", "$2"]

    @pytest.mark.parametrize("count", [None, 0])
    def test_what_is_listed_and_not_in_the_timeline_is_not_covered_by_its_receipts(self, count: int | None) -> None:
        said = make_sync(
            make_event(event_id="$1", sender=ME), receipts=(Receipt(ROOM, EventId("$1")),), notification_count=count
        )
        listed = (make_server_notification(make_event(event_id="$2")),)
        assert rung(plan(replace(said, notifications=listed), situation(mode=Mode.DIRECT))) == ["$2"]

    def test_a_receipt_at_what_is_listed_covers_what_was_shown_before(self) -> None:
        item = replace(make_server_notification(make_event(event_id="$2")), is_read=True)
        sync = Sync("s2", joined=(JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$2")),)),), notifications=(item,))
        before = situation(mode=Mode.DIRECT, open_deliveries=[make_delivery("$1", position=4)])
        decided = plan(sync, before)
        assert (rung(decided), decided.changes) == ([], ())
        assert unplaced_events(sync, before, decided) == [(ROOM, "$2")]
        told = replace(before, stretches={ROOM: [[EventId("$1"), EventId("$2")]]})
        decided = plan(sync, told)
        assert decided.changes == (Withdrawal(EventId("$1"), "read elsewhere"),)
        assert unplaced_events(sync, told, decided) == []

    def test_what_was_only_listed_is_asked_for_before_a_receipt_reads_it(self) -> None:
        sync = make_sync(make_event(event_id="$2", sender=BOB), receipts=(Receipt(ROOM, EventId("$2")),))
        before = situation(open_deliveries=[make_delivery("$1")], places={})
        decided = plan(sync, before)
        assert (rung(decided), decided.changes) == ([], ())
        assert unplaced_events(sync, before, decided) == [(ROOM, "$1")]
        told = replace(before, stretches={ROOM: [[EventId("$1"), EventId("$2")]]})
        assert plan(sync, told).changes == (Withdrawal(EventId("$1"), "read elsewhere"),)

    def test_nothing_is_asked_for_where_nothing_is_unread(self) -> None:
        sync = make_sync(make_event(sender=ME), receipts=(Receipt(ROOM, EventId("$unknown")),))
        assert unplaced_events(sync, situation(), plan(sync, situation())) == []
        without = make_sync(make_event())
        assert unplaced_events(without, situation(), plan(without, situation())) == []

    @pytest.mark.parametrize(
        ("counts", "room", "has_counted", "is_read"),
        [
            ({"notification_count": 0}, {}, True, True),
            ({"notification_count": 0}, {}, False, False),
            ({"notification_count": 0, "thread_counts": {"$root": 1}}, {}, False, True),
            ({"notification_count": 1}, {}, True, False),
            ({}, {}, True, False),
            ({"notification_count": 0}, {"is_encrypted": True}, True, False),
            ({"notification_count": 0}, {"is_complete": False}, True, False),
        ],
    )
    def test_a_count_of_zero_stands_in_for_an_order_that_nobody_tells(
        self, counts: dict[str, Any], room: dict[str, Any], has_counted: bool, is_read: bool
    ) -> None:
        sync = make_sync(receipts=(Receipt(ROOM, EventId("$unknown")),), **counts)
        account = AccountState(has_counted=has_counted)
        rooms = {ROOM: RoomRecord(make_facts(**room))}
        known = situation(open_deliveries=[make_delivery("$1", position=4)], account=account, rooms=rooms)
        assert plan(sync, known).changes == ()
        untold = replace(known, untold=frozenset({EventId("$unknown")}))
        assert bool(plan(sync, untold).changes) is is_read

    def test_a_message_from_elsewhere_reads_what_stands_before_it_in_its_thread(self) -> None:
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
        open_here = [make_delivery("$main", position=1), make_delivery("$inside", position=2, thread_root="$root")]
        in_thread = make_sync(make_event(sender=ME, content=relation))
        assert plan(in_thread, situation(open_deliveries=open_here)).changes == (
            Withdrawal(EventId("$inside"), "read elsewhere"),
        )
        in_main = make_sync(make_event(event_id="$before"), make_event(sender=ME), make_event(event_id="$after"))
        decided = plan(in_main, situation(open_deliveries=open_here))
        assert decided.changes == (Withdrawal(EventId("$main"), "read elsewhere"),)
        assert rung(decided) == ["$after"]

    @pytest.mark.parametrize(
        "own",
        [
            make_event(sender=ME, unsigned={"transaction_id": "t1"}),
            make_event(sender=ME, type="m.reaction"),
            make_event(sender=ME, type="m.room.name", state_key=""),
            make_event(sender=ME, unsigned={"redacted_because": {}}),
            make_edit("$1", sender=ME),
        ],
        ids=["from here", "reaction", "state", "redacted", "edit"],
    )
    def test_a_message_from_here_reads_nothing(self, own: Event) -> None:
        """Nor does what is no message."""
        decided = plan(make_sync(own), situation(open_deliveries=[make_delivery("$1", position=4)]))
        assert decided.changes == ()

    def test_that_the_homeserver_counts_is_noted_once(self) -> None:
        for counts in ({"notification_count": 1}, {"notification_count": 0, "thread_counts": {"$root": 2}}):
            assert plan(make_sync(**counts), situation()).has_counted
            assert not plan(make_sync(**counts), situation(account=AccountState(has_counted=True))).has_counted
        assert not plan(make_sync(notification_count=0), situation()).has_counted

    def test_an_invite_is_not_read_by_receipts(self) -> None:
        open_here = [make_delivery(f"invite:{ROOM}:0", position=1)]
        sync = Sync("s2", joined=(JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$x")),), notification_count=0),))
        assert plan(sync, situation(open_deliveries=open_here)).changes == ()


class TestInvites:
    STATE = (
        make_stripped("m.room.name", {"name": "Tea"}),
        make_stripped("m.room.member", {"membership": "join", "displayname": "Alice"}, state_key=ALICE),
        make_stripped("m.room.member", {"membership": "invite"}, state_key=ME),
    )

    def invite(self, *state: Any, **changes: Any) -> Plan:
        sync = Sync("s2", invited=(InvitedRoom(ROOM, state or self.STATE),))
        return plan(sync, situation(**({"rooms": {}} | changes)))

    def test_an_invite_rings_with_the_rooms_and_the_inviters_name(self) -> None:
        decided = self.invite()
        delivery = only(decided)
        assert delivery.event_id == f"invite:{ROOM}:0"
        assert delivery.content is not None
        assert (delivery.content.room_title, delivery.content.sender_name) == ("Tea", f"Alice ({ALICE})")
        assert (delivery.content.text, delivery.content.category) == ("Invited you to this room", Category.INVITE)
        assert delivery.content.sound == "default"
        assert decided.rooms[0].facts.inviter == ALICE

    def test_an_invite_to_talk_says_so(self) -> None:
        state = make_stripped("m.room.member", {"membership": "invite", "is_direct": True}, state_key=ME)
        content = only(self.invite(state)).content
        assert content is not None
        assert (content.is_direct, content.text) == (True, "Wants to talk to you")

    @pytest.mark.parametrize("shows", [True, False])
    def test_an_invite_has_the_pictures_of_strangers_only_for_those_who_want_them(self, shows: bool) -> None:
        avatar = make_stripped("m.room.avatar", {"url": "mxc://example.org/horror"})
        state = AccountState(shows_invite_avatars=shows)
        content = only(self.invite(*self.STATE, avatar, account=state)).content
        assert content is not None
        assert content.avatar == ("mxc://example.org/horror" if shows else None)

    def test_an_invite_without_its_membership_event_still_rings(self) -> None:
        assert only(self.invite(Malformed("invite_state", "odd", ROOM))).event_id == f"invite:{ROOM}:0"

    def test_a_second_invite_after_the_first_ended_rings_again(self) -> None:
        rooms = {ROOM: RoomRecord(RoomFacts(ROOM), invite_serial=1)}
        assert rung(self.invite(rooms=rooms)) == [f"invite:{ROOM}:1"]

    def test_joining_withdraws_the_invite_and_forgets_its_stripped_facts(self) -> None:
        invited = RoomRecord(RoomFacts(ROOM, name="Tea", inviter=ALICE))
        decided = plan(
            Sync("s2", joined=(JoinedRoom(ROOM),)),
            situation(
                rooms={ROOM: invited},
                open_deliveries=[make_delivery(f"invite:{ROOM}:0"), make_delivery("$1")],
            ),
        )
        assert decided.changes == (Withdrawal(OwnKey(f"invite:{ROOM}:0"), "joined the room"),)
        assert decided.rooms == (RoomRecord(RoomFacts(ROOM, stranger=ALICE), invite_serial=1),)

    def test_facts_asked_for_after_joining_are_kept(self) -> None:
        rooms = {ROOM: RoomRecord(make_facts(inviter=ALICE))}
        decided = plan(make_sync(make_event()), situation(rooms=rooms))
        assert decided.rooms == (RoomRecord(make_facts(stranger=ALICE), invite_serial=1),)

    def test_the_servers_word_on_invites_counts_where_it_judges(self) -> None:
        assert rung(self.invite(mode=Mode.DIRECT)) == []
        event = make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, event_id="$server")
        sync = Sync(
            "s2",
            invited=(InvitedRoom(ROOM, self.STATE),),
            notifications=(make_server_notification(event),),
        )
        assert rung(plan(sync, situation(mode=Mode.DIRECT, rooms={}))) == [f"invite:{ROOM}:0"]

    def listed(self) -> Plan:
        """The homeserver's list is newer than what else it told."""
        event = make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, event_id="$server")
        return plan(Sync("s2", notifications=(make_server_notification(event),)), situation(mode=Mode.DIRECT, rooms={}))

    @pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BOTH])
    def test_an_invite_that_was_listed_before_its_room_was_told_of_gets_the_rooms_name(self, mode: Mode) -> None:
        before = self.listed()
        assert before.deliveries[0].content is not None
        assert before.deliveries[0].content.room_title == ALICE
        rooms = {ROOM: before.rooms[0]}
        sync = Sync("s3", invited=(InvitedRoom(ROOM, self.STATE),))
        assert rooms_changing_deliveries(sync, ME, rooms) == {ROOM}
        assert rooms_changing_deliveries(sync, ME, {}) == frozenset()
        decided = plan(sync, situation(mode=mode, rooms=rooms, open_deliveries=before.deliveries))
        (change,) = decided.changes
        assert isinstance(change, Rewrite)
        assert (change.event_id, change.content.room_title) == (f"invite:{ROOM}:0", "Tea")
        assert rung(decided) == []

    def test_an_invite_that_was_only_listed_is_withdrawn_by_joining_too(self) -> None:
        before = self.listed()
        rooms = {ROOM: before.rooms[0]}
        sync = Sync("s3", joined=(JoinedRoom(ROOM),))
        assert rooms_changing_deliveries(sync, ME, rooms) == {ROOM}
        decided = plan(sync, situation(mode=Mode.DIRECT, rooms=rooms, open_deliveries=before.deliveries))
        assert decided.changes == (Withdrawal(OwnKey(f"invite:{ROOM}:0"), "joined the room"),)

    def test_an_invite_that_is_listed_though_it_was_accepted_elsewhere_is_silent(self) -> None:
        event = make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, event_id="$server")
        listed = (make_server_notification(event),)
        with_room = plan(
            Sync("s2", joined=(JoinedRoom(ROOM),), notifications=listed), situation(mode=Mode.DIRECT, rooms={})
        )
        later = plan(Sync("s2", notifications=listed), situation(mode=Mode.DIRECT))
        for decided in (with_room, later):
            assert (rung(decided), reason(decided, f"invite:{ROOM}:0")) == ([], "joined the room")

    def test_an_invite_that_is_listed_though_it_was_taken_back_is_silent(self) -> None:
        event = make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, event_id="$server")
        listed = (make_server_notification(event),)
        decided = plan(Sync("s2", left=(ROOM,), notifications=listed), situation(mode=Mode.DIRECT, rooms={}))
        assert (rung(decided), reason(decided, f"invite:{ROOM}:0")) == ([], "left the room")
        again = Sync("s2", left=(ROOM,), invited=(InvitedRoom(ROOM, self.STATE),), notifications=listed)
        assert rung(plan(again, situation(mode=Mode.DIRECT, rooms={}))) == [f"invite:{ROOM}:0"]


class TestServerNotifications:
    def direct(self, *items: ServerNotification | Malformed, **room: Any) -> Plan:
        events = [item.event for item in items if isinstance(item, ServerNotification)]
        sync = replace(make_sync(*events, **room), notifications=items)
        return plan(sync, situation(mode=Mode.DIRECT))

    def test_what_is_listed_of_a_room_that_the_user_left_since_is_silent(self) -> None:
        item = make_server_notification(make_event(event_id="$1"))
        decided = plan(Sync("s2", left=(ROOM,), notifications=(item,)), situation(mode=Mode.DIRECT))
        assert (rung(decided), reason(decided, "$1")) == ([], "left the room")

    def test_in_direct_mode_the_server_says_what_rings(self) -> None:
        event = make_event(event_id="$1")
        tweaks = ({"set_tweak": "sound", "value": "ping"}, {"set_tweak": "highlight"})
        decided = self.direct(make_server_notification(event, "notify", *tweaks))
        content = only(decided).content
        assert content is not None
        assert (content.sound, content.is_highlight) == ("ping", True)
        assert decided.judged[0].rule == "homeserver"

    def test_in_direct_mode_a_message_the_server_does_not_list_is_silent(self) -> None:
        decided = plan(make_sync(make_event(event_id="$1")), situation(mode=Mode.DIRECT))
        assert (rung(decided), reason(decided, "$1")) == ([], "not in the homeserver's list")

    def test_in_local_mode_the_servers_list_does_not_count(self) -> None:
        sync = Sync("s2", notifications=(make_server_notification(make_event()),))
        assert rung(plan(sync, situation())) == []

    def test_where_the_list_may_leave_something_out_both_ring(self) -> None:
        listed = make_event(event_id="$1", content={"msgtype": "m.notice", "body": "a notice"})
        sync = make_sync(listed, make_event(event_id="$2"))
        sync = replace(sync, notifications=(make_server_notification(listed),))
        assert rung(plan(sync, situation(mode=Mode.BOTH))) == ["$1", "$2"]

    def test_a_list_is_disputed_if_something_else_would_ring_by_the_rules(self) -> None:
        silent = make_event(event_id="$2", content={"msgtype": "m.notice", "body": "a notice"})
        items: list[ServerNotification]
        for items, disputed in (
            ([make_server_notification(make_event(event_id="$1"))], False),
            ([make_server_notification(make_event(event_id="$1"), is_read=True)], False),
            ([], True),
        ):
            sync = replace(make_sync(make_event(event_id="$1"), silent), notifications=tuple(items))
            by_server, by_rules = (plan(sync, situation(mode=mode)) for mode in (Mode.DIRECT, Mode.LOCAL))
            assert is_disputed(by_server, by_rules) is disputed

    def test_what_the_server_calls_read_stays_silent(self) -> None:
        event = make_event(event_id="$1")
        assert reason(self.direct(make_server_notification(event, is_read=True)), "$1") == "read elsewhere"

    @pytest.mark.parametrize(
        ("counts", "rings"),
        [
            ({}, False),
            ({"notification_count": 0}, False),
            ({"notification_count": 1}, False),
            ({"notification_count": 1, "thread_counts": {"$root": 0}}, False),
            ({"notification_count": 0, "thread_counts": {"$root": 1}}, True),
        ],
    )
    def test_what_is_listed_as_read_and_is_unread_in_its_thread_rings(
        self, counts: dict[str, Any], rings: bool
    ) -> None:
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
        event = make_event(event_id="$1", content={"msgtype": "m.text", "body": "hello", **relation})
        item = make_server_notification(event, is_read=True)
        sync = replace(make_sync(**counts), notifications=(item,))
        assert rung(plan(sync, situation(mode=Mode.DIRECT))) == (["$1"] if rings else [])

    def test_a_malformed_notification_is_recorded(self) -> None:
        decided = self.direct(Malformed("notifications", "odd"), make_server_notification(make_event()))
        assert [each.decision for each in decided.judged] == [Decision.MALFORMED, Decision.RING]

    def test_what_fills_a_gap_rings_before_the_timeline_and_once(self) -> None:
        older, newer = make_event(event_id="$1"), make_event(event_id="$2")
        filled = [make_server_notification(older), make_server_notification(newer)]
        decided = plan(make_sync(newer), situation(filled=filled))
        assert rung(decided) == ["$1", "$2"]
        assert [each.rule for each in decided.judged] == ["homeserver", "underride/.m.rule.message"]


class TestWhatAPlanNeeds:
    def test_rooms_touched_are_those_of_every_part(self) -> None:
        sync = Sync(
            "s2",
            joined=(JoinedRoom(RoomId("!a")),),
            invited=(InvitedRoom(RoomId("!b")),),
            left=(RoomId("!c"),),
            notifications=(make_server_notification(make_event(room_id="!d")), Malformed("notifications", "x")),
        )
        filled = [make_server_notification(make_event(room_id="!e"))]
        assert touched_rooms(sync, filled) == {"!a", "!b", "!c", "!d", "!e"}

    def test_open_deliveries_are_needed_where_something_was_read_edited_joined_or_left(self) -> None:
        sync = Sync(
            "s2",
            joined=(
                JoinedRoom(RoomId("!message"), timeline=(make_event(), Malformed("timeline", "x"))),
                JoinedRoom(RoomId("!receipt"), receipts=(Receipt(RoomId("!receipt"), EventId("$1")),)),
                JoinedRoom(RoomId("!own"), timeline=(make_event(sender=ME),)),
                JoinedRoom(RoomId("!edit"), timeline=(make_edit("$1"),)),
                JoinedRoom(RoomId("!redaction"), timeline=(make_redaction("$1"),)),
                JoinedRoom(RoomId("!joined")),
            ),
            left=(RoomId("!left"),),
        )
        rooms = {
            RoomId("!joined"): RoomRecord(RoomFacts(RoomId("!joined"), inviter=ALICE)),
            RoomId("!message"): RoomRecord(make_facts()),
        }
        found = rooms_changing_deliveries(sync, ME, rooms)
        assert found == {"!receipt", "!own", "!edit", "!redaction", "!joined", "!left"}

    def test_senders_are_those_of_timelines_and_notifications(self) -> None:
        bad = Malformed("timeline", "x")
        sync = Sync(
            "s2",
            joined=(JoinedRoom(ROOM, timeline=(make_event(), bad)),),
            notifications=(make_server_notification(make_event(sender=BOB)), bad),
        )
        assert senders(sync) == {ALICE, BOB}

    def test_own_member_events_are_those_beside_timelines(self) -> None:
        own = make_event(event_id="$own", type="m.room.member", state_key=ME, content={"membership": "join"})
        other = make_event(type="m.room.member", state_key=BOB, content={"membership": "join"})
        room = JoinedRoom(ROOM, timeline=(own,), state=(replace(own, event_id=EventId("$beside")), other))
        assert own_member_events(Sync("s2", joined=(room,)), ME) == {"$beside"}

    def test_marked_events_are_those_of_receipts_and_own_messages(self) -> None:
        own = (make_event(event_id="$2", sender=ME), make_event(event_id="$3"))
        room = JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$1")),), timeline=own)
        assert marked_events(Sync("s2", joined=(room, JoinedRoom(RoomId("!b")))), ME) == {"$1", "$2"}

    def test_facts_are_wanted_once_and_only_where_something_may_ring(self) -> None:
        sync = make_sync(make_event())
        assert rooms_wanting_facts(sync, situation()) == frozenset()
        assert rooms_wanting_facts(sync, situation(rooms={})) == {ROOM}
        assert rooms_wanting_facts(sync, situation(rooms={ROOM: RoomRecord(RoomFacts(ROOM))})) == {ROOM}
        assert rooms_wanting_facts(sync, situation(rooms={ROOM: RoomRecord(make_facts(name=None))})) == {ROOM}
        named = RoomRecord(make_facts(name=None, heroes=(ALICE,)))
        assert rooms_wanting_facts(sync, situation(rooms={ROOM: named})) == frozenset()
        quiet = Sync(
            "s2", joined=(JoinedRoom(RoomId("!b"), timeline=(make_event(sender=ME), Malformed("timeline", "x"))),)
        )
        assert rooms_wanting_facts(quiet, situation()) == frozenset()

    def test_facts_are_wanted_for_notifications_but_not_for_invites(self) -> None:
        invite = make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, room_id="!b")
        items = (make_server_notification(make_event(room_id="!a")), make_server_notification(invite))
        assert rooms_wanting_facts(Sync("s2", notifications=items), situation()) == {"!a"}

    def test_names_are_missing_only_of_senders_that_ring(self) -> None:
        stranger = make_event(sender="@new:x")
        now = situation()
        assert missing_names(plan(make_sync(stranger), now), now.rooms) == {(ROOM, "@new:x")}
        assert missing_names(plan(make_sync(make_event()), now), now.rooms) == frozenset()
        uncompared = situation(rooms={ROOM: RoomRecord(make_facts(holders={}))})
        assert missing_names(plan(make_sync(make_event()), uncompared), uncompared.rooms) == {(ROOM, ALICE)}
        quiet = replace(now, ruleset=MUTED)
        assert missing_names(plan(make_sync(stranger), quiet), quiet.rooms) == frozenset()

    def test_names_are_not_asked_for_in_rooms_that_the_user_is_invited_to(self) -> None:
        invite = make_event(
            type="m.room.member", content={"membership": "invite"}, state_key=ME, room_id="!b", sender="@new:x"
        )
        now = situation(mode=Mode.DIRECT, rooms={RoomId("!b"): RoomRecord(RoomFacts(RoomId("!b")))})
        decided = plan(Sync("s2", notifications=(make_server_notification(invite),)), now)
        assert [delivery.sender for delivery in decided.deliveries] == ["@new:x"]
        assert missing_names(decided, now.rooms) == frozenset()


# How it looks


def known(facts: RoomFacts, **changes: Any) -> Situation:
    return situation(rooms={ROOM: RoomRecord(facts)}, **changes)


def test_a_message_goes_with_its_senders_or_its_rooms_picture_and_its_markup() -> None:
    facts = make_facts(avatar_url="mxc://x/room", avatars={ALICE: "mxc://x/alice"})
    content = {"body": "hi", "format": "org.matrix.custom.html", "formatted_body": "<b>hi</b>", "msgtype": "m.text"}
    (delivery,) = plan(make_sync(make_event(content=content)), known(facts)).deliveries
    assert delivery.content is not None
    assert (delivery.content.text, delivery.content.markup, delivery.content.avatar) == (
        "hi",
        "<b>hi</b>",
        "mxc://x/room",
    )


def in_thread(body: str = "hello", root: str = "$root") -> Event:
    relation = {"rel_type": "m.thread", "event_id": root}
    return make_event(content={"msgtype": "m.text", "body": body, "m.relates_to": relation})


def test_a_thread_is_named_where_its_root_is_known_and_else_asked_for() -> None:
    sync = make_sync(in_thread(), make_event(), in_thread(root="$other"))
    decided = plan(sync, known(make_facts(), threads={"$other": "Tea"}))
    assert [each.content and each.content.thread for each in decided.deliveries] == ["", None, "Tea"]
    assert unnamed_threads(decided) == {(ROOM, "$root")}


def test_what_is_not_shown_is_not_kept_and_its_thread_is_not_asked_for() -> None:
    privacy = Privacy(rooms={Level.SENDER: frozenset({"Lunch"})})
    decided = plan(make_sync(in_thread("secret")), known(make_facts(), privacy=privacy))
    (delivery,) = decided.deliveries
    assert delivery.content is not None
    assert (delivery.content.text, delivery.content.thread) == ("New message", "")
    assert unnamed_threads(decided) == frozenset()


def test_an_edit_of_what_is_not_shown_is_not_kept_either() -> None:
    shown = make_delivery("$1", state=State.SHOWN, popup_key=ROOM)
    before = known(make_facts(), open_deliveries=[shown], privacy=Privacy(Level.HIDDEN))
    assert plan(make_sync(make_edit("$1", "secret")), before).changes == ()
