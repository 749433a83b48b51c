"""Room facts follow the state events, and name the room."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.events import RoomSummary
from heliograph.core.room import RoomFacts
from support.builders import ALICE, BOB, ME, ROOM, make_event, make_facts, make_stripped


def after_state(facts: RoomFacts, type_: str, content: dict[str, Any], state_key: str = "", **event: Any) -> RoomFacts:
    return facts.after(make_event(type=type_, content=content, state_key=state_key, **event), ME)


@pytest.mark.parametrize(
    ("type_", "content", "fact", "value"),
    [
        ("m.room.name", {"name": "Tea"}, "name", "Tea"),
        ("m.room.name", {"name": "  "}, "name", None),
        ("m.room.name", {"name": 7}, "name", None),
        ("m.room.name", {}, "name", None),
        ("m.room.canonical_alias", {"alias": "#tea:x"}, "canonical_alias", "#tea:x"),
        ("m.room.avatar", {"url": "mxc://x/y"}, "avatar_url", "mxc://x/y"),
        ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, "is_encrypted", True),
        ("m.room.power_levels", {"users": {}}, "power_levels", {"users": {}}),
        ("m.room.create", {"room_version": "12", "additional_creators": [BOB, 5]}, "creators", {ALICE, BOB}),
        ("m.room.create", {"additional_creators": "x"}, "creators", {ALICE}),
        ("m.room.create", {}, "room_version", "1"),
        ("m.room.topic", {"topic": "tea"}, "name", "Lunch"),
    ],
)
def test_a_state_event_changes_its_fact(type_: str, content: dict[str, Any], fact: str, value: object) -> None:
    assert getattr(after_state(make_facts(), type_, content), fact) == value


def test_what_is_not_state_or_has_a_foreign_state_key_changes_nothing() -> None:
    facts = make_facts()
    assert facts.after(make_event(type="m.room.name", content={"name": "Tea"}), ME) == facts
    assert after_state(facts, "m.room.name", {"name": "Tea"}, state_key="x") == facts


def test_member_events_tell_names_and_who_has_none() -> None:
    facts = after_state(RoomFacts(ROOM), "m.room.member", {"displayname": "Al"}, ALICE)
    facts = after_state(facts, "m.room.member", {"displayname": " "}, BOB)
    assert facts.names == {ALICE: "Al", BOB: ""}
    assert (facts.name_of(ALICE), facts.name_of(BOB), facts.name_of("@c:x")) == ("Al", BOB, "@c:x")


def test_the_own_member_event_tells_the_own_name_and_the_inviter() -> None:
    invite = make_stripped("m.room.member", {"membership": "invite", "displayname": "I"}, state_key=ME)
    facts = RoomFacts(ROOM).after(invite, ME)
    assert (facts.own_display_name, facts.inviter) == ("I", ALICE)
    joined = after_state(RoomFacts(ROOM), "m.room.member", {"membership": "join"}, ME, sender=ME)
    assert (joined.own_display_name, joined.inviter) == (None, None)


def test_a_summary_changes_only_what_it_names() -> None:
    facts = make_facts(heroes=(ALICE,))
    assert facts.after_summary(RoomSummary()) == facts
    changed = facts.after_summary(RoomSummary(joined_member_count=9, heroes=(BOB,)))
    assert (changed.joined_member_count, changed.heroes) == (9, (BOB,))


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({"name": "Tea", "canonical_alias": "#t:x"}, "Tea"),
        ({"canonical_alias": "#t:x"}, "#t:x"),
        ({"heroes": (ALICE,)}, "Alice"),
        ({"heroes": (ME, ALICE, BOB, "@c:x")}, "Alice, Bob and @c:x"),
        ({"heroes": (ME,), "inviter": ALICE}, "Alice"),
        ({}, "Unnamed room"),
    ],
)
def test_a_room_is_named_as_the_specification_calculates(facts: dict[str, Any], title: str) -> None:
    assert make_facts(**{"name": None, **facts}).title(ME) == title


def test_a_conversation_of_two_without_a_name_is_direct_and_so_is_one_named_in_account_data() -> None:
    assert make_facts(name=None, joined_member_count=2).is_direct(())
    assert make_facts().is_direct({ROOM})
    assert not make_facts(joined_member_count=2).is_direct(())
    assert not make_facts(name=None, canonical_alias="#t:x", joined_member_count=2).is_direct(())
    assert not make_facts(name=None, joined_member_count=None).is_direct(())


def test_push_rules_get_every_fact_they_may_ask_for() -> None:
    context = make_facts(creators=frozenset({ALICE})).context(ME)
    assert (context.user_id, context.display_name, context.member_count) == (ME, "Me", 5)
    assert (context.power_levels, context.room_version) == ({}, "11")
    assert context.creators == {ALICE}


def test_a_members_picture_is_known_until_it_is_taken_away() -> None:
    facts = RoomFacts(ROOM)
    for avatar, known in (
        ("mxc://x/y", {ALICE: "mxc://x/y"}),
        ("https://x/y", {}),
        ("mxc://x/z", {ALICE: "mxc://x/z"}),
    ):
        content = {"membership": "join", "displayname": "Alice", "avatar_url": avatar}
        facts = facts.after(make_event(type="m.room.member", content=content, state_key=ALICE), ME)
        assert facts.avatars == known


def test_between_two_the_senders_picture_comes_first_and_else_the_rooms() -> None:
    facts = RoomFacts(ROOM, avatar_url="mxc://x/room", avatars={ALICE: "mxc://x/alice"})
    assert facts.picture(ALICE, is_direct=True) == "mxc://x/alice"
    assert facts.picture(BOB, is_direct=True) == "mxc://x/room"
    assert facts.picture(ALICE, is_direct=False) == "mxc://x/room"
    assert RoomFacts(ROOM, avatars={ALICE: "mxc://x/alice"}).picture(ALICE, is_direct=False) == "mxc://x/alice"
