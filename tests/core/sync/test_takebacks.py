"""What is taken back with a room, or with somebody who is ignored or removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData, Event, JoinedRoom, Sync
from heliograph.core.ids import EventId, EventKey, RoomId, UserId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Edit, LockedEvent, Plan, RoomRecord, Withdrawal
from heliograph.core.sync.needs import rooms_changing_deliveries, touched_rooms
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from support.builders import (
    ALICE,
    BOB,
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

OTHER = RoomId("!other:example.org")
NEW = RoomId("!new:example.org")
IGNORING_BOB = AccountData(ignored_users=frozenset({BOB}))


def situation(**changes: Any) -> Situation:
    values: dict[str, Any] = {
        "rooms": {ROOM: RoomRecord(make_facts())},
        "joined": frozenset({ROOM}),
        "ruleset": Ruleset.parse(predefined_rules(ME)),
    }
    return Situation(ME, Mode.LOCAL, AccountState(), **(values | changes))


def withdrawn(decided: Plan) -> dict[EventKey, str]:
    return {change.event_id: change.why for change in decided.changes if isinstance(change, Withdrawal)}


def locked(event: Event) -> LockedEvent:
    return LockedEvent(make_encrypted(event), RoomKey(ROOM, "session"))


def member(user_id: str, membership: str, sender: str = ALICE, **content: Any) -> Event:
    return make_event(
        type="m.room.member", content={"membership": membership, **content}, state_key=user_id, sender=sender
    )


# Ignoring somebody


def test_who_is_ignored_is_taken_back_in_all_rooms_with_their_invites() -> None:
    opened = [
        make_delivery("$bob", sender=BOB),
        make_delivery("$alice"),
        make_delivery(f"invite:{OTHER}:0", sender=BOB, room_id=OTHER),
    ]
    waiting = [locked(make_event(event_id="$locked", sender=BOB)), locked(make_event(event_id="$hers"))]
    decided = plan(Sync("s2", account_data=IGNORING_BOB), situation(open_deliveries=opened, waiting=waiting))
    assert withdrawn(decided) == {"$bob": "its sender is ignored", f"invite:{OTHER}:0": "its sender is ignored"}
    assert decided.unlocked == ("$locked",)


def test_other_account_data_takes_nothing_back() -> None:
    opened = [make_delivery("$bob", sender=BOB)]
    sync = Sync("s2", account_data=AccountData(direct_rooms=frozenset()))
    assert plan(sync, situation(open_deliveries=opened)).changes == ()


def test_who_is_ignored_cannot_edit_what_was_shown_of_them() -> None:
    opened = [make_delivery("$bob", sender=BOB)]
    ignoring = replace(situation(open_deliveries=opened), account=AccountState(ignored_users=frozenset({BOB})))
    edit = make_sync(make_edit("$bob", sender=BOB))
    assert plan(edit, ignoring).changes == ()
    assert isinstance(plan(edit, situation(open_deliveries=opened)).changes[0], Edit)


# Joining again


def rejoined(*events: Event, joined_ms: int = 1_700_000_000_000, **room: Any) -> Sync:
    join = make_event(
        type="m.room.member",
        content={"membership": "join"},
        state_key=ME,
        sender=ME,
        ts=joined_ms,
        unsigned={"prev_content": {"membership": "leave"}},
    )
    return make_sync(make_event(event_id="$before"), join, *events, **room)


def test_after_joining_again_nothing_from_before_is_open_or_rings() -> None:
    opened, waiting = [make_delivery("$old")], [locked(make_event(event_id="$locked"))]
    decided = plan(rejoined(make_event(event_id="$after")), situation(open_deliveries=opened, waiting=waiting))
    assert withdrawn(decided) == {"$old": "left the room"}
    assert decided.unlocked == ("$locked",)
    assert [delivery.event_id for delivery in decided.deliveries] == ["$after"]
    assert decided.judged[0].reason == "from before you joined"


def test_what_is_listed_from_before_the_last_joining_is_silent() -> None:
    joined_ms = 1_700_000_000_000
    old, new = make_event(event_id="$old", ts=joined_ms - 1), make_event(event_id="$new", ts=joined_ms + 1)
    filled = [make_server_notification(old), make_server_notification(new)]
    decided = plan(rejoined(joined_ms=joined_ms), situation(filled=filled))
    assert [delivery.event_id for delivery in decided.deliveries] == ["$new"]


def test_a_leaving_that_a_gap_hides_counts_as_well() -> None:
    state = member(ME, "join", ME)
    state.raw["unsigned"] = {"prev_content": {"membership": "leave"}}  # type: ignore[index]
    sync = Sync("s2", joined=(JoinedRoom(ROOM, limited=True, state=(state,)),))
    opened = [make_delivery("$old")]
    assert withdrawn(plan(sync, situation(open_deliveries=opened))) == {"$old": "left the room"}
    assert withdrawn(plan(sync, situation(open_deliveries=opened, joined=frozenset()))) == {}
    assert rooms_changing_deliveries(sync, ME, {}) == {ROOM}


def test_a_change_of_the_own_name_takes_nothing_back() -> None:
    sync = make_sync(make_event(event_id="$before"), member(ME, "join", ME, displayname="New me"))
    decided = plan(sync, situation(open_deliveries=[make_delivery("$old")]))
    assert decided.changes == ()
    assert [delivery.event_id for delivery in decided.deliveries] == ["$before"]


# A moved room


def tombstone(event_id: str = "$moved", to: str = NEW) -> Event:
    return make_event(event_id=event_id, type="m.room.tombstone", content={"replacement_room": to}, state_key="")


def creation(of: str = ROOM) -> JoinedRoom:
    create = make_event(type="m.room.create", content={"predecessor": {"room_id": of}}, state_key="", room_id=NEW)
    return JoinedRoom(NEW, state=(create,))


MOVED_FACTS = make_facts().after(tombstone(), ME)


def test_the_news_that_a_room_was_moved_goes_when_the_new_one_is_joined() -> None:
    sync = Sync("s2", joined=(creation(),))
    opened = [make_delivery("$moved"), make_delivery("$message")]
    decided = plan(sync, situation(rooms={ROOM: RoomRecord(MOVED_FACTS)}, open_deliveries=opened))
    assert withdrawn(decided) == {"$moved": "you are in the room that took its place"}
    assert touched_rooms(sync) == {ROOM, NEW}
    assert rooms_changing_deliveries(sync, ME, {}) == {ROOM}


def test_it_never_rings_if_both_come_in_one_sync_or_the_new_room_was_joined_before() -> None:
    joined = make_facts(NEW)
    both = Sync("s2", joined=(creation(), *make_sync(tombstone()).joined))
    assert plan(both, situation()).deliveries == ()
    before = situation(rooms={ROOM: RoomRecord(make_facts()), NEW: RoomRecord(joined)}, joined=frozenset({ROOM, NEW}))
    assert plan(make_sync(tombstone()), before).deliveries == ()
    assert [each.event_id for each in plan(make_sync(tombstone()), situation()).deliveries] == ["$moved"]


def test_a_room_cannot_claim_to_take_the_place_of_another() -> None:
    opened = [make_delivery("$moved")]
    elsewhere = make_facts().after(tombstone(to="!elsewhere:x"), ME)
    for facts in (elsewhere, make_facts()):
        records = {ROOM: RoomRecord(facts)}
        decided = plan(Sync("s2", joined=(creation(),)), situation(rooms=records, open_deliveries=opened))
        assert withdrawn(decided) == {}
    assert make_facts().after(tombstone(to="nowhere"), ME).successor is None


def test_a_moved_room_whose_news_is_read_is_left_alone() -> None:
    assert plan(Sync("s2", joined=(creation(),)), situation(rooms={ROOM: RoomRecord(MOVED_FACTS)})).changes == ()


# A removal that redacts


@pytest.mark.parametrize("name", ["redact_events", "org.matrix.msc4293.redact_events"])
@pytest.mark.parametrize("membership", ["ban", "leave"])
def test_a_removal_may_redact_all_that_the_removed_user_wrote(name: str, membership: str) -> None:
    facts = make_facts(power_levels={"users": {ALICE: 50}})
    elsewhere = make_delivery("$else", room_id=OTHER, sender=BOB)
    opened = [make_delivery("$bob", sender=BOB), make_delivery("$alice"), elsewhere]
    waiting = [locked(make_event(event_id="$locked", sender=BOB))]
    removing: dict[str, Any] = {name: True}
    removal = member(BOB, membership, **removing)
    sync = make_sync(make_event(event_id="$now", sender=BOB), make_event(event_id="$hers"), removal)
    decided = plan(sync, situation(rooms={ROOM: RoomRecord(facts)}, open_deliveries=opened, waiting=waiting))
    assert withdrawn(decided) == {"$bob": "deleted by its sender or a moderator"}
    assert decided.unlocked == ("$locked",)
    assert [delivery.event_id for delivery in decided.deliveries] == ["$hers"]
    assert rooms_changing_deliveries(sync, ME, {}) == {ROOM}


def test_who_comes_back_after_a_removal_that_redacts_rings_again() -> None:
    """In direct mode the homeserver's list has what follows the removal before the timeline has the removal."""
    facts = make_facts(power_levels={"users": {ALICE: 50}})
    before, after = (make_event(event_id=each, sender=BOB) for each in ("$before", "$after"))
    sync = replace(
        make_sync(before, member(BOB, "ban", redact_events=True), member(BOB, "join", BOB), after),
        notifications=tuple(make_server_notification(each, "notify") for each in (after, before)),
    )
    for mode in Mode:
        decided = plan(sync, replace(situation(rooms={ROOM: RoomRecord(facts)}), mode=mode))
        assert [delivery.event_id for delivery in decided.deliveries] == ["$after"]


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (member(BOB, "ban"), {}),
        (member(BOB, "ban", redact_events="yes"), {}),
        (member(BOB, "leave", BOB, redact_events=True), {}),
        (member(BOB, "join", redact_events=True), {}),
        (member(BOB, "ban", redact_events=True), {"power_levels": {"users": {ALICE: 50}, "redact": 60}}),
        (member(BOB, "ban", redact_events=True), {"power_levels": {"users": {ALICE: 49}}}),
        (member(BOB, "ban", redact_events=True), {"power_levels": None}),
    ],
)
def test_other_changes_of_a_membership_redact_nothing(event: Event, facts: dict[str, Any]) -> None:
    known = make_facts(**({"power_levels": {"users": {ALICE: 50}}} | facts))
    opened = [make_delivery("$bob", sender=UserId(BOB))]
    decided = plan(make_sync(event), situation(rooms={ROOM: RoomRecord(known)}, open_deliveries=opened))
    assert EventId("$bob") not in withdrawn(decided)
