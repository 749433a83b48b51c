"""What is open right after signing in, or comes from a stranger, holds up nothing that comes after it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import NewUser
from fakes.notification_banners import Shown
from fakes.notification_profiles import DUNST
from fakes.notification_server import NotificationServer
from heliograph.core.ids import RoomId
from heliograph.demo.homeserver import ThrowawaySynapse, free_port
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.foreign_homeserver import FEDERATION_SETTINGS, ForeignHomeserver
from support.waiting import until
from system.daemon import Daemon, sign_in

ODD_ROOMS = ["!nothing", "!x:in_valid", "!x:y:z", "!x:e..x", "!é:example.org", "!a b/c?:example.org"]
"""Ids that Synapse takes from other homeservers and hands out. It takes none of these in a filter as it is written in
UTF-8, and the first four in no way."""
UNREAD = 10
MESSAGES = 10


@dataclass
class Stage:
    screen: NotificationServer
    me: DemoUser
    alice: DemoUser
    room: RoomId

    def saying(self, text: str) -> list[Shown]:
        return [each for each in self.screen.shown if text in each.body or text in each.summary]

    async def shown(self, text: str) -> Shown:
        await until(lambda: self.saying(text), f"a notification saying {text!r}", seconds=30)
        return self.saying(text)[0]

    async def each_message_rings(self, daemon: Daemon, word: str = "message") -> None:
        """Each by a poll of its own, and none of these polls was refused."""
        for number in range(MESSAGES):
            await self.alice.send_text(self.room, f"{word} {number}!")
            await self.shown(f"{word} {number}!")
        log = daemon.log
        assert re.findall(r".*(?:HTTP [45]|error:|anew|Traceback).*", log) == []
        assert log.count("is connected to") == 1


@pytest.fixture
async def screen(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    screen = NotificationServer(private_bus.address, DUNST)
    await screen.start()
    yield screen
    await screen.stop()


async def make_stage(screen: NotificationServer, me: DemoUser, alice: DemoUser) -> Stage:
    room = await alice.create_room("Lunch", [me])
    await me.join(room)
    return Stage(screen, me, alice, room)


async def test_the_summary_of_the_first_start_and_an_open_invite_have_no_poll_refused(
    screen: NotificationServer, new_user: NewUser
) -> None:
    stage = await make_stage(screen, await new_user("me"), await new_user("alice"))
    for number in range(UNREAD):
        await stage.alice.send_text(stage.room, f"unread {number}")
    await stage.alice.create_room("Dinner", [stage.me])
    await sign_in(stage.me)
    async with Daemon() as daemon:
        await stage.shown(f"{UNREAD} unread notifications in 1 room and 1 invite")
        await stage.alice.create_room("Breakfast", [stage.me])
        await stage.shown("Breakfast")
        await stage.each_message_rings(daemon)
        assert len(screen.on_screen) == 3


@pytest.fixture
async def federating() -> AsyncIterator[ThrowawaySynapse]:
    """A Synapse that talks to other homeservers."""
    port = free_port()
    resources = [{"names": ["client", "federation"], "compress": False}]
    listener = {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": False, "resources": resources}
    settings = {**FEDERATION_SETTINGS, "listeners": [listener]}
    async with ThrowawaySynapse(settings=settings, choose_port=lambda: port) as server:
        yield server


@pytest.mark.expected_log("daemon warning: Not done in !nothing: decline .*M_INVALID_PARAM")
async def test_a_strangers_invite_rings_and_can_be_declined_whatever_its_rooms_id_and_holds_up_nothing(
    screen: NotificationServer, federating: ThrowawaySynapse, tmp_path: Path
) -> None:
    me, alice = await federating.register("me"), await federating.register("alice")
    stage = await make_stage(screen, me, alice)
    await sign_in(me)
    async with ForeignHomeserver(tmp_path) as stranger, Daemon() as daemon:
        for number, room_id in enumerate(ODD_ROOMS):
            await stranger.invite(federating.base_url, federating.server_name, me.user_id, room_id, f"Odd {number}")
            await stage.shown(f"Odd {number}")
        await stage.each_message_rings(daemon)
        for number in range(len(ODD_ROOMS)):
            screen.act((await stage.shown(f"Odd {number}")).id, "decline")
        # Of a room whose id names no server, Synapse does not know whom to tell.
        await stage.shown("The invite to Odd 0 could not be declined")
        await until(lambda: daemon.log.count("Done in ") == len(ODD_ROOMS) - 1, "the end of all other invites")
        assert set((await me.call("GET", "/sync", timeout="0"))["rooms"]["invite"]) == {"!nothing"}
        await daemon.stop()
        await daemon.start()
        await stage.each_message_rings(daemon, "later")


async def test_open_invites_of_strangers_are_counted_at_the_first_start_whatever_their_rooms_ids(
    screen: NotificationServer, federating: ThrowawaySynapse, tmp_path: Path
) -> None:
    me, alice = await federating.register("me"), await federating.register("alice")
    async with ForeignHomeserver(tmp_path) as stranger:
        for room_id in [*ODD_ROOMS, f"!good:{stranger.name}"]:
            await stranger.invite(federating.base_url, federating.server_name, me.user_id, room_id, "Dinner")
        await alice.create_room("Breakfast", [me])
        withdrawn = await alice.create_room("Lunch", [me])
        await alice.kick(withdrawn, me)
        await sign_in(me)
        async with Daemon():
            await until(lambda: bool(screen.shown), "the summary of the first start", seconds=30)
    assert f"{len(ODD_ROOMS) + 2} invites" in screen.shown[0].body
