"""Room facts follow the state events, and name the room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.events import RoomSummary
from heliograph.core.room import MOST_COMPARED, RoomFacts
from support.builders import ALICE, BOB, ME, ROOM, make_event, make_facts, make_stripped


def after_state(facts: RoomFacts, type_: str, content: dict[str, Any], state_key: str = "", **event: Any) -> RoomFacts:
    return facts.after(make_event(type=type_, content=content, state_key=state_key, **event), ME)


@pytest.mark.parametrize(
    ("type_", "content", "fact", "value"),
    [
        ("m.room.name", {"name": "Tea"}, "name", "Tea"),
        ("m.room.name", {"name": "  "}, "name", None),
        ("m.room.name", {"name": "\u3164\u200b"}, "name", None),
        ("m.room.name", {"name": 7}, "name", None),
        ("m.room.name", {}, "name", None),
        ("m.room.canonical_alias", {"alias": "#tea:x"}, "canonical_alias", "#tea:x"),
        ("m.room.avatar", {"url": "mxc://x/y"}, "avatar_url", "mxc://x/y"),
        ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, "is_encrypted", True),
        ("m.room.power_levels", {"users": {}}, "power_levels", {"users": {}}),
        ("m.room.create", {"room_version": "12", "additional_creators": [BOB, 5]}, "creators", {ALICE, BOB}),
        ("m.room.create", {"additional_creators": "x"}, "creators", {ALICE}),
        ("m.room.create", {}, "room_version", "1"),
        ("m.room.create", {"type": "m.space"}, "is_space", True),
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
    left = after_state(facts, "m.room.member", {"membership": "leave", "displayname": "Al"}, ALICE)
    assert left.names == {ALICE: "", BOB: ""}


def test_the_own_member_event_tells_the_own_name_and_the_inviter() -> None:
    invite = make_stripped("m.room.member", {"membership": "invite", "displayname": "I"}, state_key=ME)
    facts = RoomFacts(ROOM).after(invite, ME)
    assert (facts.own_display_name, facts.inviter) == ("I", ALICE)
    joined = after_state(RoomFacts(ROOM), "m.room.member", {"membership": "join"}, ME, sender=ME)
    assert (joined.own_display_name, joined.inviter) == (None, None)


def test_a_summary_changes_only_what_it_names() -> None:
    facts = make_facts(heroes=(ALICE,))
    assert facts.after_summary(RoomSummary()) == facts
    changed = facts.after_summary(RoomSummary(joined_member_count=9, invited_member_count=2, heroes=(BOB,)))
    assert (changed.joined_member_count, changed.invited_member_count, changed.heroes) == (9, 2, (BOB,))


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({"name": "Tea", "canonical_alias": "#t:x"}, "Tea"),
        ({"canonical_alias": "#t:x"}, "#t:x"),
        ({"heroes": (ALICE,), "joined_member_count": 2}, "Alice"),
        ({"heroes": (ALICE,), "joined_member_count": 1, "invited_member_count": 1}, "Alice"),
        ({"heroes": (ALICE,), "joined_member_count": 1}, "Empty room (was Alice)"),
        ({"heroes": (ALICE,), "joined_member_count": None}, "Alice"),
        ({"heroes": (ALICE, BOB), "joined_member_count": 4}, "Alice, Bob and 1 other"),
        ({"heroes": (ALICE, BOB), "joined_member_count": 3, "invited_member_count": 37}, "Alice, Bob and 37 others"),
        ({"heroes": (ME, ALICE, BOB, "@c:x"), "joined_member_count": 4}, "Alice, Bob and @c:x"),
        ({"heroes": ("@c:x",), "names": {"@c:x": "\u3164"}, "joined_member_count": 2}, "@c:x"),
        ({"heroes": (ALICE, BOB), "service_members": frozenset({BOB}), "joined_member_count": 3}, "Alice"),
        ({"heroes": (BOB,), "service_members": frozenset({BOB}), "joined_member_count": 2}, "Bob"),
        (
            {"heroes": (ALICE, BOB), "names": {ALICE: "Al", BOB: "A1"}, "joined_member_count": 3},
            f"Al ({ALICE}) and A1 ({BOB})",
        ),
        ({"heroes": (ALICE,), "stranger": ALICE, "joined_member_count": 2}, f"Alice ({ALICE})"),
        ({"heroes": (ME,), "inviter": ALICE}, f"Alice ({ALICE})"),
        ({}, "Unnamed room"),
    ],
)
def test_a_room_is_named_as_the_specification_calculates(facts: dict[str, Any], title: str) -> None:
    assert make_facts(**{"name": None, **facts}).title(ME) == title


def test_a_conversation_of_two_is_direct_if_it_has_no_name_or_account_data_names_it() -> None:
    assert make_facts(name=None, joined_member_count=2).is_direct(())
    assert make_facts(joined_member_count=2).is_direct({ROOM})
    assert not make_facts(joined_member_count=2).is_direct(())
    assert not make_facts(name=None, canonical_alias="#t:x", joined_member_count=2).is_direct(())


def test_a_room_of_more_than_two_is_never_direct() -> None:
    assert not make_facts(joined_member_count=3).is_direct({ROOM})
    assert not make_facts(joined_member_count=2, invited_member_count=1).is_direct({ROOM})
    assert not make_facts(name=None, joined_member_count=None).is_direct({ROOM})


@pytest.mark.parametrize("type_", ["io.element.functional_members", "m.member_hints"])
def test_bots_that_serve_a_room_count_only_if_they_are_people(type_: str) -> None:
    facts = make_facts(joined_member_count=3)
    listed = after_state(facts, type_, {"service_members": [BOB, 7, "nobody"]})
    assert listed.service_members == {BOB}
    assert listed.is_direct({ROOM})
    assert not after_state(listed, type_, {"service_members": "all"}).is_direct({ROOM})


def test_members_that_are_not_there_do_not_make_a_room_look_private() -> None:
    absent = frozenset(f"@absent{serial}:x" for serial in range(5))
    assert not make_facts(joined_member_count=5, service_members=absent).is_direct({ROOM})
    left = after_state(make_facts(joined_member_count=3), "m.room.member", {"membership": "leave"}, BOB)
    assert not replace(left, service_members=frozenset({BOB})).is_direct({ROOM})


def test_a_name_stands_alone_only_if_nobody_elses_looks_like_it() -> None:
    facts = make_facts(names={ALICE: "Lena", BOB: "lena"}, holders={})
    assert facts.wants_comparing(ALICE)
    assert facts.name_of(ALICE) == f"Lena ({ALICE})"
    alone = facts.with_compared({ALICE: "Lena", ME: "Me"}, [ALICE])
    assert (alone.name_of(ALICE), alone.wants_comparing(ALICE)) == ("Lena", False)
    shared = facts.with_compared({ALICE: "Lena", BOB: "L\u0435na"}, [ALICE])
    assert (shared.name_of(ALICE), shared.wants_comparing(ALICE)) == (f"Lena ({ALICE})", False)
    assert shared.name_of(BOB) == f"lena ({BOB})"


def test_a_name_is_compared_anew_after_somebody_took_it_or_gave_it_up() -> None:
    alone = make_facts(names={ALICE: "Lena"})
    taken = after_state(alone, "m.room.member", {"membership": "join", "displayname": "Lena"}, BOB)
    assert taken.name_of(ALICE) == f"Lena ({ALICE})"
    assert taken.wants_comparing(ALICE)
    shared = taken.with_compared({ALICE: "Lena", BOB: "Lena"}, [ALICE, BOB])
    for content in ({"membership": "leave"}, {"membership": "join", "displayname": "Bob"}):
        assert after_state(shared, "m.room.member", content, BOB).wants_comparing(ALICE)
    again = after_state(alone, "m.room.member", {"membership": "join", "displayname": "Lena"}, ALICE)
    assert again.name_of(ALICE) == "Lena"


def test_between_two_only_the_users_own_name_needs_comparing() -> None:
    facts = make_facts(joined_member_count=2, names={ALICE: "Alice", BOB: "ME"}, holders={})
    assert (facts.name_of(ALICE), facts.wants_comparing(ALICE)) == ("Alice", False)
    assert facts.name_of(BOB) == f"ME ({BOB})"


def test_who_has_no_name_needs_no_comparing() -> None:
    facts = make_facts(names={ALICE: "", BOB: "@boss:x"}, holders={})
    assert not facts.wants_comparing(ALICE)
    assert not facts.wants_comparing(BOB)
    assert facts.with_compared({ALICE: "", BOB: "@boss:x"}, [ALICE]).holders == {}
    assert (facts.name_of(ALICE), facts.name_of(BOB), facts.name_of("@c:x")) == (ALICE, BOB, "@c:x")


def test_a_bounded_number_of_names_is_remembered_as_compared() -> None:
    names = {f"@user{serial}:x": f"User {chr(0x4E00 + serial)}" for serial in range(MOST_COMPARED + 5)}
    facts = make_facts(names=names, holders={}).with_compared(names, names)
    assert len(facts.holders) == MOST_COMPARED
    twins = {f"@twin{serial}:x": "Twin" for serial in range(50)}
    (held,) = make_facts(names=twins, holders={}).with_compared(twins, ["@twin7:x"]).holders.values()
    assert len(held) < 10


@pytest.mark.parametrize("unsigned", [None, {}, {"prev_content": 7}, {"prev_content": {"membership": "leave"}}])
def test_who_came_by_no_invite_came_by_no_stranger(unsigned: object) -> None:
    joined = after_state(make_facts(), "m.room.member", {"membership": "join"}, ME, sender=ME, unsigned=unsigned)
    assert joined.stranger is None


def test_the_inviters_user_id_is_shown_until_the_user_has_written() -> None:
    unsigned = {"prev_content": {"membership": "invite"}, "prev_sender": ALICE}
    facts = after_state(
        make_facts(joined_member_count=2), "m.room.member", {"membership": "join"}, ME, sender=ME, unsigned=unsigned
    )
    assert facts.name_of(ALICE) == f"Alice ({ALICE})"
    assert facts.after(make_event(), ME) is facts
    assert facts.after(make_event(sender=ME), ME).name_of(ALICE) == "Alice"


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
