"""What a plan makes of encrypted events: judged as what they say, kept until their keys come, said anew then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.encryption.values import Clear, Locked, Reason, RoomKey
from heliograph.core.events import Event, Receipt, Sync
from heliograph.core.ids import EventId, UserId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Decision, Edit, LockedEvent, Plan, Rewrite, RoomRecord, Withdrawal
from heliograph.core.sync.judging import FROM_BACKUP, FROM_UNSIGNED
from heliograph.core.sync.needs import (
    rooms_changing_deliveries,
    rooms_wanting_facts,
    senders,
    touched_rooms,
    unplaced_events,
)
from heliograph.core.sync.plan import PATIENCE_MS, is_disputed, plan
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.text.messages import ENCRYPTED
from support.builders import (
    ALICE,
    ME,
    ROOM,
    make_delivery,
    make_edit,
    make_encrypted,
    make_event,
    make_facts,
    make_server_notification,
    make_sync,
)

NOW = 1_700_000_000_000
KEY = RoomKey(ROOM, "session")
CLEAR = Clear({}, "curve25519")
NO_KEY = Locked(Reason.NO_KEY, KEY)
MENTION_ONLY: Mapping[str, Any] = {
    **predefined_rules(ME),
    "room": [{"rule_id": ROOM, "default": False, "enabled": True, "actions": []}],
}


def make_situation(*, rules: Mapping[str, Any] | None = None, **situation: Any) -> Situation:
    defaults: dict[str, Any] = {
        "me": ME,
        "mode": Mode.LOCAL,
        "account": AccountState(next_batch="s1"),
        "ruleset": Ruleset.parse(dict(rules or predefined_rules(ME))),
        "rooms": {ROOM: RoomRecord(make_facts(is_encrypted=True))},
        "now_ms": NOW,
        "places": {each.event_id: each.position for each in situation.get("waiting", ())},
    }
    return Situation(**(defaults | situation))


def plan_locked(*events: Event, locked: Locked = NO_KEY, sync: Sync | None = None, **situation: Any) -> Plan:
    return plan(
        sync or make_sync(*events), make_situation(locked={each.event_id: locked for each in events}, **situation)
    )


def plan_late(*events: Event, **situation: Any) -> Plan:
    clear = situation.pop("clear", {each.event_id: CLEAR for each in events})
    return plan(situation.pop("sync", Sync("s1")), make_situation(late=events, clear=clear, **situation))


def mention(**options: Any) -> Event:
    return make_event(content={"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [ME]}}, **options)


def kept(event: Event, position: int = 1) -> LockedEvent:
    return LockedEvent(make_encrypted(event), KEY, position)


# What cannot be read


def test_a_message_whose_key_has_not_come_rings_as_encrypted_after_three_seconds() -> None:
    event = make_encrypted(make_event())
    decided = plan_locked(event)
    (delivery,) = decided.deliveries
    assert delivery.content is not None
    assert (delivery.content.text, delivery.due_ms) == (ENCRYPTED, NOW + PATIENCE_MS)
    assert decided.locked == (LockedEvent(event, KEY),)
    assert decided.judged[0].encryption == "its key has not come"


def test_a_message_that_no_key_will_open_rings_at_once_and_is_not_kept() -> None:
    decided = plan_locked(make_encrypted(make_event()), locked=Locked(Reason.BROKEN))
    assert [each.due_ms for each in decided.deliveries] == [0]
    assert decided.locked == ()


def test_a_withheld_key_is_recorded_with_its_reason() -> None:
    decided = plan_locked(make_encrypted(make_event()), locked=Locked(Reason.WITHHELD, KEY, "m.unverified"))
    assert decided.judged[0].encryption.endswith("this device is not verified")
    assert len(decided.locked) == 1


def test_what_is_silent_while_encrypted_is_kept_since_it_may_mention_the_user() -> None:
    decided = plan_locked(make_encrypted(mention()), rules=MENTION_ONLY)
    assert decided.deliveries == ()
    assert len(decided.locked) == 1


@pytest.mark.parametrize(
    "event",
    [make_event(sender=ME), make_event(sender="@ignored:example.org"), make_event(unsigned={"redacted_because": {}})],
    ids=["own", "ignored", "redacted"],
)
def test_what_can_never_ring_is_not_kept(event: Event) -> None:
    account = AccountState(ignored_users=frozenset({UserId("@ignored:example.org")}))
    assert plan_locked(make_encrypted(event), account=account).locked == ()


def test_a_locked_message_of_the_servers_list_rings_by_its_word() -> None:
    event = make_encrypted(make_event())
    sync = replace(make_sync(event), notifications=(make_server_notification(event),))
    decided = plan_locked(event, sync=sync, mode=Mode.DIRECT)
    assert [each.due_ms for each in decided.deliveries] == [NOW + PATIENCE_MS]
    assert len(decided.locked) == 1


def test_a_locked_message_that_the_server_leaves_out_is_kept() -> None:
    decided = plan_locked(make_encrypted(make_event()), mode=Mode.DIRECT)
    assert decided.deliveries == ()
    assert len(decided.locked) == 1


def test_a_locked_message_that_was_read_already_is_not_kept() -> None:
    event = make_encrypted(make_event())
    sync = replace(make_sync(), notifications=(make_server_notification(event, is_read=True),))
    assert plan_locked(event, sync=sync, mode=Mode.DIRECT).locked == ()


def test_what_is_read_in_the_same_sync_is_kept_no_longer() -> None:
    event = make_encrypted(make_event())
    sync = make_sync(event, receipts=(Receipt(ROOM, EventId(event.event_id)),))
    decided = plan_locked(event, sync=sync, rules=MENTION_ONLY)
    assert decided.unlocked == (event.event_id,)


# What was decrypted


def test_in_direct_mode_a_decrypted_message_is_judged_by_the_rules_whatever_the_server_listed() -> None:
    silent, loud = make_event("not to you"), mention()
    sync = replace(make_sync(silent, loud), notifications=(make_server_notification(silent),))
    clear = {silent.event_id: CLEAR, loud.event_id: CLEAR}
    decided = plan(sync, make_situation(mode=Mode.DIRECT, clear=clear, rules=MENTION_ONLY))
    assert [each.event_id for each in decided.deliveries] == [loud.event_id]


def test_a_message_whose_key_came_from_the_backup_is_marked_unverified() -> None:
    event = make_event("hello")
    edit = make_edit(event.event_id, "hello, corrected")
    clear = {each.event_id: replace(CLEAR, is_from_backup=True) for each in (event, edit)}
    decided = plan(make_sync(event, edit), make_situation(clear=clear))
    assert decided.deliveries[0].content is not None
    assert decided.deliveries[0].content.text == "Unverified: hello"
    assert decided.judged[0].encryption == FROM_BACKUP
    assert decided.changes == (Edit(event.event_id, "Unverified: hello, corrected"),)


def test_a_message_from_a_device_its_owner_has_not_verified_is_marked() -> None:
    event = make_event("hello")
    clear = {event.event_id: replace(CLEAR, is_sender_unsigned=True)}
    decided = plan(make_sync(event), make_situation(clear=clear))
    assert decided.deliveries[0].content is not None
    assert decided.deliveries[0].content.text == "Unverified: hello"
    assert decided.judged[0].encryption == FROM_UNSIGNED


def test_or_silent_if_the_user_wants_that_and_changes_nothing() -> None:
    event, shown = make_event("hello"), make_event("before")
    edit = make_edit(shown.event_id, "changed")
    hidden = replace(CLEAR, is_sender_unsigned=True, is_hidden=True)
    clear = {event.event_id: hidden, edit.event_id: hidden, shown.event_id: CLEAR}
    decided = plan(make_sync(shown, event, edit), make_situation(clear=clear))
    assert [each.event_id for each in decided.deliveries] == [shown.event_id]
    assert {each.event_id: each.reason for each in decided.judged}[event.event_id] == FROM_UNSIGNED
    assert decided.changes == ()


def test_an_encrypted_redaction_removes_nothing() -> None:
    event = make_event(type="m.room.redaction", content={"redacts": "$other"})
    decided = plan(make_sync(event), make_situation(clear={event.event_id: CLEAR}))
    assert decided.changes == ()
    assert decided.unlocked == ()


# Keys that come late


def test_a_late_key_says_anew_what_is_shown() -> None:
    event = make_event("hello")
    decided = plan_late(event, open_deliveries=[make_delivery(event.event_id, text=ENCRYPTED)])
    (change,) = decided.changes
    assert isinstance(change, Rewrite)
    assert change.content.text == "hello"
    assert decided.deliveries == ()
    assert decided.unlocked == (event.event_id,)
    assert [each.decision for each in decided.rejudged] == [Decision.RING]


def test_what_the_rules_silence_after_all_is_withdrawn() -> None:
    event = make_event("not to you")
    shown = make_delivery(event.event_id, text=ENCRYPTED)
    decided = plan_late(event, open_deliveries=[shown], rules=MENTION_ONLY)
    assert decided.changes == (Withdrawal(event.event_id, f"room/{ROOM}"),)
    assert [(each.decision, each.reason) for each in decided.rejudged] == [(Decision.SILENT, f"room/{ROOM}")]


def test_a_mention_that_was_silent_while_encrypted_rings_late() -> None:
    event = mention()
    decided = plan_late(event, rules=MENTION_ONLY)
    assert [each.event_id for each in decided.deliveries] == [event.event_id]
    assert not decided.is_empty


def test_what_stays_silent_with_its_key_changes_nothing_on_screen() -> None:
    decided = plan_late(make_event(), rules=MENTION_ONLY)
    assert decided.changes == ()
    assert decided.deliveries == ()


def test_a_late_edit_changes_its_message() -> None:
    shown = make_delivery("$original")
    decided = plan_late(make_edit("$original", "corrected"), open_deliveries=[shown])
    assert decided.changes == (Edit(EventId("$original"), "corrected"),)


@pytest.mark.parametrize("is_below", [False, True])
def test_a_late_message_that_was_read_meanwhile_stays_silent(is_below: bool) -> None:
    event = mention()
    read = EventId("$below" if is_below else event.event_id)
    sync = make_sync(receipts=(Receipt(ROOM, read),))
    places = {event.event_id: 7, EventId("$below"): 8}
    decided = plan_late(event, rules=MENTION_ONLY, sync=sync, waiting=[kept(event, position=7)], places=places)
    assert decided.deliveries == ()
    assert [(each.decision, each.reason) for each in decided.rejudged] == [(Decision.SILENT, "read elsewhere")]


def test_ids_that_no_key_will_open_are_kept_no_longer() -> None:
    assert plan(Sync("s1"), make_situation(hopeless=("$event",))).unlocked == ("$event",)


# What is kept until then


def test_what_was_read_is_kept_no_longer() -> None:
    first, second = kept(make_event(), 1), kept(make_event(), 3)
    sync = make_sync(receipts=(Receipt(ROOM, EventId("$known")),))
    places = {first.event_id: 1, EventId("$known"): 2, second.event_id: 3}
    decided = plan(sync, make_situation(waiting=[first, second], places=places))
    assert decided.unlocked == (first.event_id,)


def test_what_was_read_in_a_thread_is_only_what_stands_there() -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root"}
    inside = kept(make_event(content={"m.relates_to": relation}), 1)
    outside = kept(make_event(), 2)
    sync = make_sync(receipts=(Receipt(ROOM, EventId("$known"), "$root"),))
    places = {inside.event_id: 1, outside.event_id: 2, EventId("$known"): 3}
    decided = plan(sync, make_situation(waiting=[inside, outside], places=places))
    assert decided.unlocked == (inside.event_id,)


def test_where_nobody_knows_the_order_of_what_is_kept_it_is_asked_for() -> None:
    waiting = kept(make_event())
    sync = make_sync(receipts=(Receipt(ROOM, EventId("$unknown")),), notification_count=0)
    before = make_situation(waiting=[waiting], account=AccountState(has_counted=True))
    decided = plan(sync, before)
    assert decided.unlocked == ()
    assert unplaced_events(sync, before, decided) == [(ROOM, "$unknown")]


def test_what_was_redacted_is_kept_no_longer() -> None:
    redaction = make_event(type="m.room.redaction", content={"redacts": "$event"})
    assert plan(make_sync(redaction), make_situation()).unlocked == ("$event",)


def test_what_is_in_a_room_that_was_left_is_kept_no_longer() -> None:
    here, there = kept(make_event()), kept(make_event(room_id="!other:example.org"))
    decided = plan(Sync("s2", left=(ROOM,)), make_situation(waiting=[here, there]))
    assert decided.unlocked == (here.event_id,)


# What a plan needs


def test_late_events_need_their_room_its_deliveries_and_its_names() -> None:
    event = make_event(room_id="!far:example.org")
    sync = Sync("s2")
    assert touched_rooms(sync, (), [event]) == {event.room_id}
    assert rooms_changing_deliveries(sync, ME, {}, [event]) == {event.room_id}
    assert senders(sync, (), [event]) == {ALICE}
    assert rooms_wanting_facts(sync, make_situation(late=[event])) == {event.room_id}


def test_late_events_do_not_put_the_servers_list_into_doubt() -> None:
    event = mention()
    assert not is_disputed(plan_late(event, mode=Mode.DIRECT), plan_late(event))
