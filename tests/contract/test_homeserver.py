"""What the loops may expect of a homeserver: of a Synapse as of the fake."""

from __future__ import annotations

import asyncio
import json

import pytest

from contract.conftest import World
from contract.outcomes import ExpectRefusals
from heliograph.core.events import Event, Receipt, ServerNotification, StrippedState
from heliograph.core.ids import RoomId
from heliograph.core.pushers.pusher import Pusher
from heliograph.errors import LoggedOut, Refused, Unreachable
from heliograph.ports.homeserver import Member

MESSAGES = frozenset({"m.room.message", "m.room.redaction"})


def ids(events: tuple[object, ...]) -> list[str]:
    return [event.event_id for event in events if isinstance(event, Event | Receipt)]


async def test_the_first_sync_tells_rules_and_no_rooms(world: World) -> None:
    await world.alice.send_text(await world.room(), "before")
    sync = await world.start()
    assert sync.joined == ()
    assert sync.account_data.push_rules is not None
    assert "global" in sync.account_data.push_rules
    assert sync.malformed == ()


async def test_a_message_arrives_whole(world: World) -> None:
    room_id = await world.room()
    await world.start()
    event_id = await world.alice.send_text(room_id, "hello")
    room = await world.sync_room(room_id, event_types=MESSAGES)
    [event] = room.timeline
    assert isinstance(event, Event)
    assert (event.event_id, event.room_id, event.sender) == (event_id, room_id, world.alice.user_id)
    assert event.raw["room_id"] == room_id
    assert event.raw["content"] == event.content
    assert event.content["body"] == "hello"
    assert room.limited is False
    assert room.notification_count == 1


async def test_what_is_not_acknowledged_comes_again(world: World) -> None:
    room_id = await world.room()
    await world.start()
    event_id = await world.alice.send_text(room_id, "hello")
    for acknowledges in (False, False, True):
        sync = await world.sync(1000, acknowledges=acknowledges)
        assert [ids(room.timeline) for room in sync.joined] == [[event_id]]
    assert (await world.sync()).joined == ()


async def test_a_message_ends_a_waiting_poll(world: World) -> None:
    room_id = await world.room()
    await world.start()
    poll = asyncio.create_task(world.sync(30_000))
    await asyncio.sleep(0.05)
    event_id = await world.alice.send_text(room_id, "hello")
    assert [ids(room.timeline) for room in (await poll).joined] == [[event_id]]


async def test_a_poll_without_news_ends_with_a_token(world: World) -> None:
    await world.room()
    await world.start()
    sync = await world.sync(50)
    assert sync.joined == ()
    assert sync.next_batch


async def test_dropped_connections_end_a_poll_and_the_next_works(world: World) -> None:
    room_id = await world.room()
    await world.start()
    poll = asyncio.create_task(world.sync(30_000))
    await asyncio.sleep(0.05)
    await world.homeserver.drop_connections()
    with pytest.raises(Unreachable):
        await poll
    event_id = await world.alice.send_text(room_id, "hello")
    assert ids((await world.sync_room(room_id)).timeline) == [event_id]


async def test_a_token_of_another_server_is_refused(world: World, expect_refusals: ExpectRefusals) -> None:
    expect_refusals("400 GET sync")
    world.token = "nonsense"
    with pytest.raises(Refused) as caught:
        await world.sync()
    assert caught.value.status == 400


async def test_an_invite_says_who_invites_where(world: World) -> None:
    await world.start()
    room_id = await world.alice.create_room("Lunch", [world.me])
    [invite] = (await world.sync(5000)).invited
    assert invite.room_id == room_id
    told = {(s.type, s.state_key): s for s in invite.state if isinstance(s, StrippedState)}
    assert len(told) == len(invite.state)
    own = told["m.room.member", world.me.user_id]
    assert (own.sender, own.content["membership"]) == (world.alice.user_id, "invite")
    assert told["m.room.name", ""].content["name"] == "Lunch"
    assert own.raw["room_id"] == room_id


async def test_an_invite_that_is_withdrawn_is_a_room_left(world: World) -> None:
    await world.start()
    room_id = await world.alice.create_room("Lunch", [world.me])
    await world.sync(5000)
    await world.alice.kick(room_id, world.me)
    assert (await world.sync(5000)).left == (room_id,)


async def test_a_room_that_was_left_is_named(world: World) -> None:
    room_id = await world.room()
    await world.start()
    await world.me.leave(room_id)
    sync = await world.sync(5000)
    assert sync.left == (room_id,)
    assert sync.joined == ()


@pytest.mark.parametrize("kind", ["m.read", "m.read.private"])
async def test_own_receipts_come_from_rooms_asked_for(world: World, kind: str) -> None:
    room_id = await world.room()
    event_id = await world.alice.send_text(room_id, "hello")
    await world.start()
    await world.me.read(room_id, event_id, kind)
    assert (await world.sync(acknowledges=False)).joined == ()
    for receipts_in in (frozenset({room_id}), None):
        [room] = (await world.sync(1000, acknowledges=False, receipts_in=receipts_in)).joined
        assert room.receipts == (Receipt(room_id, event_id),)
        assert room.notification_count == 0


async def test_receipts_of_others_are_not_told(world: World) -> None:
    room_id = await world.room()
    await world.start()
    event_id = await world.me.send_text(room_id, "hello")
    await world.alice.read(room_id, event_id)
    room = await world.sync_room(room_id, receipts_in=None)
    assert room.receipts == ()


async def test_a_receipt_in_a_thread_names_it(world: World) -> None:
    room_id = await world.room()
    root = await world.alice.send_text(room_id, "root")
    await world.start()
    reply = await world.alice.send_text(room_id, "reply", thread=root)
    await world.me.read(room_id, reply, thread_id=root)
    room = await world.sync_room(room_id, receipts_in=None)
    assert room.receipts == (Receipt(room_id, reply, root),)
    [event] = room.timeline
    assert isinstance(event, Event)
    assert event.thread_root == root


async def test_unread_counts_of_threads_stand_apart(world: World) -> None:
    room_id = await world.room()
    root = await world.alice.send_text(room_id, "root")
    await world.start()
    await world.alice.send_text(room_id, "reply", thread=root)
    room = await world.sync_room(room_id)
    assert (room.notification_count, room.thread_counts) == (1, {root: 1})


async def test_only_wanted_types_and_state_pass(world: World) -> None:
    room_id = await world.room()
    await world.start()
    event_id = await world.alice.send_text(room_id, "hello")
    await world.alice.react(room_id, event_id)
    await world.alice.rename(room_id, "Dinner")
    room = await world.sync_room(room_id, event_types=MESSAGES, acknowledges=False)
    assert [e.type for e in room.timeline if isinstance(e, Event)] == ["m.room.message", "m.room.name"]
    room = await world.sync_room(room_id, event_types=None)
    assert [e.type for e in room.timeline if isinstance(e, Event)] == ["m.room.message", "m.reaction", "m.room.name"]


async def test_a_redaction_names_its_target(world: World) -> None:
    room_id = await world.room()
    event_id = await world.alice.send_text(room_id, "hello")
    await world.start()
    await world.alice.redact(room_id, event_id)
    [event] = (await world.sync_room(room_id, event_types=MESSAGES)).timeline
    assert isinstance(event, Event)
    assert event.redacts == event_id


async def test_every_message_comes_with_its_senders_name(world: World) -> None:
    await world.alice.set_display_name("Alice A.")
    room_id = await world.room()
    await world.start()
    await world.homeserver.room_facts([room_id])
    for body in ("one", "two"):
        await world.alice.send_text(room_id, body)
        room = await world.sync_room(room_id)
        names = {e.state_key: e.content.get("displayname") for e in room.state if isinstance(e, Event)}
        assert names == {world.alice.user_id: "Alice A."}


async def test_joining_tells_how_many_are_in_the_room(world: World) -> None:
    room_id = await world.room()
    await world.alice.invite(room_id, world.bob)
    await world.start()
    await world.bob.join(room_id)
    assert (await world.sync_room(room_id)).summary.joined_member_count == 3


async def test_a_gap_can_be_paged_back_to_where_the_last_sync_ended(world: World) -> None:
    room_id = await world.room()
    await world.alice.send_text(room_id, "before")
    start = (await world.start()).next_batch
    sent = [await world.alice.send_text(room_id, f"message {number}") for number in range(7)]
    room = await world.sync_room(room_id, timeline_limit=2)
    assert room.limited is True
    assert ids(room.timeline) == sent[-2:]
    token, found = room.prev_batch, []
    while token is not None:
        page = await world.homeserver.messages(room_id, since=token, until=start, limit=3, event_types=MESSAGES)
        found += ids(page.events)
        token = page.end if page.events else None
    assert found == sent[-3::-1]


async def test_what_stands_around_an_event_is_told_whatever_its_own_type(world: World) -> None:
    room_id = await world.room()
    await world.start()
    sent = [await world.alice.send_text(room_id, f"message {number}") for number in range(3)]
    reaction = await world.alice.react(room_id, sent[2])
    sent += [await world.alice.send_text(room_id, f"message {number}") for number in range(3, 6)]

    around = await world.homeserver.context(room_id, reaction, limit=4, event_types=MESSAGES)
    assert ids(around.events) == [*sent[1:3], reaction, *sent[3:5]]
    assert around.start is not None
    page = await world.homeserver.messages(room_id, since=around.start, until=None, limit=1, event_types=MESSAGES)
    assert ids(page.events) == [sent[0]]

    around = await world.homeserver.context(room_id, sent[1], limit=100, event_types=MESSAGES)
    assert set(sent) <= set(ids(around.events))
    assert reaction not in ids(around.events)


async def test_state_that_changed_within_a_gap_is_told(world: World) -> None:
    room_id = await world.room()
    await world.start()
    await world.alice.rename(room_id, "Dinner")
    for number in range(4):
        await world.alice.send_text(room_id, f"message {number}")
    room = await world.sync_room(room_id, timeline_limit=2)
    names = [e.content["name"] for e in room.state if isinstance(e, Event) and e.type == "m.room.name"]
    assert names == ["Dinner"]


async def test_messages_of_a_foreign_room_are_refused(world: World, expect_refusals: ExpectRefusals) -> None:
    expect_refusals("403 GET rooms/*/messages")
    room_id = await world.alice.create_room("Secret")
    token = (await world.start()).next_batch
    with pytest.raises(Refused):
        await world.homeserver.messages(room_id, since=token, until=None, limit=5)


async def test_facts_of_a_named_group(world: World) -> None:
    await world.me.set_display_name("Me M.")
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room_id = await world.room("Lunch", world.bob, initial_state=[encryption])
    facts = (await world.homeserver.room_facts([room_id]))[room_id]
    assert (facts.is_complete, facts.room_id) == (True, room_id)
    assert facts.title(world.me.user_id) == "Lunch"
    assert facts.joined_member_count == 3
    assert facts.is_encrypted is True
    assert facts.own_display_name == "Me M."
    assert facts.creators == {world.alice.user_id}
    assert facts.room_version is not None
    assert facts.power_levels is not None


async def test_a_nameless_room_is_named_by_its_members(world: World) -> None:
    await world.alice.set_display_name("Alice A.")
    room_id = await world.room(None)
    facts = (await world.homeserver.room_facts([room_id]))[room_id]
    assert facts.heroes == (world.alice.user_id,)
    assert facts.title(world.me.user_id) == "Alice A."
    assert facts.joined_member_count == 2
    assert facts.is_encrypted is False


async def test_facts_of_many_rooms_come_at_once(world: World) -> None:
    room_ids = [await world.room(f"Room {number}") for number in range(3)]
    facts = await world.homeserver.room_facts([*room_ids, room_ids[0]])
    assert {room_id: facts[room_id].name for room_id in room_ids} == {
        room_id: f"Room {number}" for number, room_id in enumerate(room_ids)
    }


async def test_rooms_that_we_are_not_in_have_no_facts(world: World, expect_refusals: ExpectRefusals) -> None:
    expect_refusals("403 GET rooms/*/state/m.room.member/*", times=3)
    left, invited, foreign = await world.room(), await world.alice.create_room("a", [world.me]), "!nowhere:example.org"
    await world.me.leave(left)
    joined = await world.room()
    facts = await world.homeserver.room_facts(
        [RoomId(left), invited, await world.bob.create_room("b"), RoomId(foreign), RoomId(joined)]
    )
    assert facts.keys() == {joined}


async def test_asking_for_facts_takes_nothing_from_the_sync(world: World) -> None:
    room_id = await world.room()
    await world.start()
    await world.send_to_device("m.test", {"n": 1})
    event_id = await world.alice.send_text(room_id, "hello")
    await world.homeserver.room_facts([room_id])
    await world.homeserver.room_facts([room_id])
    sync = await world.sync(1000)
    assert [ids(room.timeline) for room in sync.joined] == [[event_id]]
    assert len(sync.to_device) == 1


async def test_a_members_name_is_told(world: World, expect_refusals: ExpectRefusals) -> None:
    expect_refusals("404 GET rooms/*/state/m.room.member/*", "403 GET rooms/*/state/m.room.member/*")
    await world.alice.set_display_name("Alice A.")
    room_id = await world.room()
    assert (await world.homeserver.member(room_id, world.alice.user_id)).name == "Alice A."
    assert await world.homeserver.member(room_id, world.bob.user_id) == Member()
    foreign = await world.bob.create_room("b")
    assert await world.homeserver.member(foreign, world.bob.user_id) == Member()


async def test_all_members_are_told_with_their_names(world: World) -> None:
    await world.alice.set_display_name("Alice A.")
    room_id = await world.room("Lunch", world.bob)
    members = await world.homeserver.joined_members(room_id)
    assert members is not None
    assert members.keys() == {world.alice.user_id, world.bob.user_id, world.me.user_id}
    assert members[world.alice.user_id].name == "Alice A."


@pytest.mark.expected_log("homeserver 403 GET .*/joined_members", times=(0, 1))
async def test_members_of_a_room_that_we_are_not_in_are_refused(world: World) -> None:
    with pytest.raises(Refused):
        await world.homeserver.joined_members(await world.bob.create_room("b"))


async def test_notifications_are_listed_page_by_page_newest_first(world: World) -> None:
    room_id = await world.room(None)
    sent = [await world.alice.send_text(room_id, f"message {number}") for number in range(3)]
    await world.me.send_text(room_id, "own")
    token, found = None, []
    for _ in range(3):
        page = await world.homeserver.notifications(since=token, limit=2)
        items = [item for item in page.notifications if isinstance(item, ServerNotification)]
        assert len(items) == len(page.notifications)
        found += [item for item in items if item.event.type == "m.room.message"]
        token = page.next_token
    assert [item.event.event_id for item in found] == sent[::-1]
    assert {item.event.raw["room_id"] for item in found} == {room_id}
    assert all("notify" in item.actions and item.ts > 0 and not item.is_read for item in found)


async def test_a_notification_that_was_read_says_so(world: World) -> None:
    room_id = await world.room(None)
    event_id = await world.alice.send_text(room_id, "hello")
    await world.me.read(room_id, event_id)
    page = await world.homeserver.notifications(since=None, limit=1)
    [item] = page.notifications
    assert isinstance(item, ServerNotification)
    assert item.is_read is True


async def test_a_pusher_is_kept_as_it_was_set(world: World) -> None:
    pusher = Pusher("io.github.heliograph", "key", "direct", "Heliograph", "Desktop", "en", {})
    await world.homeserver.set_pusher(pusher)
    [kept] = await world.homeserver.pushers()
    assert (kept.app_id, kept.pushkey, kept.kind, kept.data) == ("io.github.heliograph", "key", "direct", {})
    assert (kept.app_display_name, kept.device_display_name, kept.lang) == ("Heliograph", "Desktop", "en")
    assert kept.is_enabled is True
    assert kept.device_id == world.homeserver.device_id


async def test_a_pusher_can_be_switched_off(world: World) -> None:
    off = Pusher("io.github.heliograph", "key", "direct", "Heliograph", "Desktop", "en", {}, is_enabled=False)
    await world.homeserver.set_pusher(off)
    [kept] = await world.homeserver.pushers()
    assert kept.is_enabled is False


async def test_push_rules_are_told(world: World) -> None:
    assert "global" in await world.homeserver.push_rules()


async def test_account_data_that_changed_is_told(world: World) -> None:
    await world.start()
    device_id = world.homeserver.device_id
    await world.me.set_account_data("m.direct", {world.alice.user_id: ["!a:example.org"]})
    await world.me.set_account_data("m.ignored_user_list", {"ignored_users": {world.bob.user_id: {}}})
    await world.me.set_account_data(
        f"org.matrix.msc3890.local_notification_settings.{device_id}", {"is_silenced": True}
    )
    await world.me.set_account_data("m.media_preview_config", {"media_previews": "on", "invite_avatars": "off"})
    data = (await world.sync(1000)).account_data
    assert data.shows_invite_avatars is False
    assert data.direct_rooms == frozenset({"!a:example.org"})
    assert data.ignored_users == frozenset({world.bob.user_id})
    assert data.is_silenced is True
    assert data.push_rules is None


async def test_to_device_events_come_until_they_are_acknowledged(world: World) -> None:
    await world.start()
    await world.send_to_device("m.test", {"n": 1})
    for acknowledges in (False, True):
        [event] = (await world.sync(1000, acknowledges=acknowledges)).to_device
        assert json.loads(event)["content"] == {"n": 1}
    assert (await world.sync()).to_device == ()


async def test_a_token_that_is_good_is_known_and_one_that_is_not_is_refused_everywhere(
    world: World, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals("401 GET account/whoami", "401 GET pushers", "401 GET sync")
    await world.start()
    await world.homeserver.whoami()
    await world.sign_out()
    for call in (world.homeserver.whoami, world.homeserver.pushers, world.sync):
        with pytest.raises(LoggedOut) as gone:
            await call()
        assert not gone.value.soft


async def test_features_are_told(world: World) -> None:
    features = await world.homeserver.features()
    assert features.versions
    assert features.has_direct_push is False
