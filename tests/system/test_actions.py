"""What the user does with a notification reaches a real homeserver, and what cannot be done is said."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import NewUser
from fakes.notification_banners import Shown
from fakes.notification_profiles import DUNST, PLASMA, Profile
from fakes.notification_server import NotificationServer
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in

_serial = itertools.count(1)


@dataclass
class Stage:
    """The user with another client and with Heliograph, Alice, and the notification server."""

    me: DemoUser
    alice: DemoUser
    screen: NotificationServer

    async def room(self, name: str = "Lunch") -> str:
        room = await self.alice.create_room(name, invite=[self.me])
        await self.me.join(room)
        return room

    async def ring(self, room: str, *, thread: str | None = None) -> tuple[str, Shown]:
        """A message of Alice's: its event id, and the popup that shows it."""
        text = f"message {secrets.token_hex(4)}"
        event = await self.alice.send_text(room, text, thread=thread)
        return event, await self.shown(text)

    async def shown(self, text: str) -> Shown:
        found = await until(lambda: self.saying(text), f"a notification saying {text!r}")
        shown: Shown = found[-1]
        return shown

    def saying(self, text: str) -> list[Shown]:
        return [each for each in self.screen.on_screen.values() if text in each.body or text in each.summary]

    def press(self, shown: Shown, label: str) -> None:
        """The button of this name."""
        self.screen.act(shown.id, shown.actions[shown.actions.index(label) - 1])

    async def gone(self, shown: Shown) -> None:
        await until(lambda: shown.id not in self.screen.on_screen, "the end of the popup")

    async def timeline(self, room: str) -> list[dict[str, Any]]:
        """Newest first."""
        answer = await self.me.call("GET", f"/rooms/{room}/messages", dir="b", limit="20")
        events: list[dict[str, Any]] = answer["chunk"]
        return events

    async def sync(self, user: DemoUser) -> Any:
        """All that the homeserver tells a new client. Each asks for something else, for Synapse keeps answers."""
        timeline = {"limit": next(_serial), "unread_thread_notifications": True}
        return await user.call("GET", "/sync", filter=json.dumps({"room": {"timeline": timeline}}))

    async def unread(self, room: str) -> int:
        """As the homeserver counts for the user's other clients, threads included."""
        entry = (await self.sync(self.me))["rooms"]["join"][room]
        threads = entry.get("unread_thread_notifications", {}).values()
        counts = [entry["unread_notifications"], *threads]
        return sum(int(count["notification_count"]) for count in counts)


@pytest.fixture(params=[pytest.param(PLASMA, id="inline")])
async def stage(new_user: NewUser, private_bus: PrivateBus, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    me, alice = await new_user("me"), await new_user("alice")
    await alice.set_display_name("Alice")
    await sign_in(me)
    profile: Profile = request.param
    screen = NotificationServer(private_bus.address, profile)
    await screen.start()
    yield Stage(me, alice, screen)
    await screen.stop()


async def test_a_typed_reply_is_sent_and_the_room_is_read(stage: Stage) -> None:
    room = await stage.room()
    async with Daemon():
        event, shown = await stage.ring(room)
        stage.screen.reply(shown.id, "on my way")
        await until(lambda: _says(stage, room, "on my way"), "the reply")
        reply = (await stage.timeline(room))[0]
        assert reply["sender"] == stage.me.user_id
        assert reply["content"]["m.relates_to"]["m.in_reply_to"] == {"event_id": event}
        await until(lambda: _is_read(stage, room), "the receipt")


async def _says(stage: Stage, room: str, text: str) -> bool:
    return any(event["content"].get("body") == text for event in await stage.timeline(room))


async def _is_read(stage: Stage, room: str) -> bool:
    return await stage.unread(room) == 0


async def test_mark_as_read_is_private_and_covers_threads(stage: Stage) -> None:
    room = await stage.room()
    async with Daemon():
        root, _ = await stage.ring(room)
        event, shown = await stage.ring(room, thread=root)
        assert await stage.unread(room) == 2
        stage.press(shown, "Mark as read")
        await stage.gone(shown)
        await until(lambda: _is_read(stage, room), "the receipt")
    # Alice has the same room, and sees nothing of it.
    seen = await stage.sync(stage.alice)
    assert stage.me.user_id not in str(seen["rooms"]["join"][room]["ephemeral"])
    account_data = (await stage.sync(stage.me))["rooms"]["join"][room]["account_data"]["events"]
    assert {"type": "m.fully_read", "content": {"event_id": event}} in account_data


async def test_an_invite_to_two_is_accepted_and_becomes_a_conversation(stage: Stage) -> None:
    async with Daemon():
        room = await stage.alice.create_room(invite=[stage.me], is_direct=True)
        shown = await stage.shown("Wants to talk to you")
        stage.press(shown, "Accept")
        await stage.gone(shown)
        await until(lambda: _is_joined(stage, room), "the user in the room")
        await until(lambda: _is_direct(stage, room), "the room among the conversations")


async def _is_joined(stage: Stage, room: str) -> bool:
    return room in (await stage.me.call("GET", "/joined_rooms"))["joined_rooms"]


async def _is_direct(stage: Stage, room: str) -> bool:
    sync = await stage.sync(stage.me)
    events = {event["type"]: event["content"] for event in sync["account_data"]["events"]}
    return bool(events.get("m.direct", {}).get(stage.alice.user_id) == [room])


async def test_an_invite_is_declined(stage: Stage) -> None:
    async with Daemon():
        room = await stage.alice.create_room("Hike", invite=[stage.me])
        shown = await stage.shown("Hike")
        stage.press(shown, "Decline")
        await stage.gone(shown)

        async def has_left() -> bool:
            members = await stage.alice.call("GET", f"/rooms/{room}/members", membership="leave")
            return any(event["state_key"] == stage.me.user_id for event in members["chunk"])

        await until(has_left, "the end of the invite")


async def test_a_room_is_muted_for_an_hour_by_a_push_rule_that_all_clients_see(stage: Stage) -> None:
    room = await stage.room()
    async with Daemon() as daemon:
        _, shown = await stage.ring(room)
        stage.press(shown, "Mute…")
        question = await stage.shown("Mute Lunch?")
        stage.press(question, "For an hour")

        async def is_mute() -> bool:
            rules = (await stage.me.call("GET", "/pushrules/"))["global"]["override"]
            return any(rule["rule_id"] == room and rule["actions"] == [] for rule in rules)

        await until(is_mute, "the rule")
        # The rule came to the daemon with the same stream as what is said next.
        await stage.alice.send_text(room, "not heard")
        await stage.ring(await stage.room("Dinner"))
        assert not stage.saying("not heard")
        assert await daemon.stop() == 0


@pytest.mark.expected_log("homeserver 403 PUT .*/send/m.room.message/")
@pytest.mark.expected_log("reply .The reply was not sent: refused with HTTP 403")
async def test_a_reply_to_a_room_that_was_left_says_so_and_keeps_what_was_typed(stage: Stage) -> None:
    room = await stage.room()
    async with Daemon() as daemon:
        _, shown = await stage.ring(room)
        daemon.freeze()
        await stage.me.leave(room)
        stage.screen.reply(shown.id, "words of mine")
        daemon.thaw()
        notice = await stage.shown("was not sent")
        assert "words of mine" in notice.body
        assert "Try again" in notice.actions
        assert "words of mine" not in daemon.log


@pytest.mark.parametrize("stage", [DUNST], indirect=True, ids=["dunst"])
async def test_actions_on_what_is_not_ours_do_nothing(stage: Stage) -> None:
    room = await stage.room()
    async with Daemon() as daemon:
        _, shown = await stage.ring(room)
        for action in ("default", "mark-read", "accept", "mute", "no such key"):
            stage.screen.signal("ActionInvoked", "us", [shown.id + 1000, action])
        stage.screen.signal("NotificationReplied", "us", [shown.id + 1000, "not to you"])
        stage.screen.signal("ActionInvoked", "us", [shown.id, "no such key"])
        await stage.ring(await stage.room("Dinner"))
        assert shown.id in stage.screen.on_screen
        assert await stage.unread(room) == 1
        assert not await _says(stage, room, "not to you")
        assert "Unexpected" not in daemon.log
