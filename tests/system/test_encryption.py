"""Encrypted messages ring with what they say, from Element's SDK, over a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from conftest import Home, NewUser, OpenJsClient
from fakes.keys import FakeVault
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.js_client import JsClient
from system.command import heliograph
from system.daemon import Daemon, sign_in
from system.evidence import decisions, rings, rung

CROWD = 30
QUIET_S = 1.0
"""How long a ring that must not come is waited for, after one sent later has come."""


def write_config(home: Home, text: str) -> None:
    folder = home.config / "heliograph"
    folder.mkdir()
    (folder / "config.toml").write_text(text)


@dataclass
class Stage:
    """The user with Heliograph, Alice with Element's SDK, and the notification server."""

    me: DemoUser
    alice: JsClient
    account: Account
    screen: NotificationServer

    async def room(self, name: str | None = None, others: Sequence[DemoUser] = ()) -> str:
        options = {"is_direct": True} if name is None else {"name": name}
        invited = [self.me, *others]
        room = str(await self.alice("create_room", invite=[each.user_id for each in invited], **options))
        for each in invited:
            await each.join(room)
        await self.alice("wait_members", room=room, count=len(invited) + 1)
        return room


@pytest.fixture
async def stage(new_user: NewUser, js_client: OpenJsClient, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    me = await new_user("me")
    account = await sign_in(me)
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield Stage(me, await js_client(await new_user("alice")), account, screen)
    await screen.stop()


async def test_a_direct_message_rings_with_what_it_says(stage: Stage) -> None:
    async with Daemon():
        room = await stage.room()
        await stage.alice("send", room=room, body="ahoy")
        await rung(stage.screen, "ahoy")
        await stage.alice("rotate", room=room)
        await stage.alice("send", room=room, body="with another key")
        await rung(stage.screen, "with another key")
    assert rings(stage.screen, "New encrypted message") == 0


async def test_messages_of_an_absence_ring_with_what_they_say(stage: Stage) -> None:
    async with Daemon() as daemon:
        room = await stage.room()
        await stage.alice("send", room=room, body="ahoy")
        await rung(stage.screen, "ahoy")
        await daemon.stop()
        for number in range(3):
            await stage.alice("rotate", room=room)
            await stage.alice("send", room=room, body=f"while away {number}")
        await daemon.start()
        await rung(stage.screen, "while away 2")
        await rung(stage.screen, "while away 0")


async def test_among_thirty_members_we_can_read(stage: Stage, new_user: NewUser) -> None:
    others = await asyncio.gather(*(new_user("crowd") for _ in range(CROWD - 2)))
    devices = [FakeVault(each.device_id, each.user_id) for each in others]
    for user, device in zip(others, devices, strict=True):
        keys = {"device_keys": device.device_keys(), "one_time_keys": device.one_time_keys()}
        await user.call("POST", "/keys/upload", keys)
    async with Daemon():
        room = await stage.room("Harbour", others)
        await stage.alice("send", room=room, body="ahoy to all")
        await rung(stage.screen, "ahoy to all")
    brought = await others[-1].call("GET", "/sync")
    assert [each["type"] for each in brought["to_device"]["events"]] == ["m.room.encrypted"]


async def test_a_key_that_is_late_brings_the_text_after_all(stage: Stage) -> None:
    async with Daemon():
        room = await stage.room()
        await stage.alice("hold_keys")
        await stage.alice("send", room=room, body="ahoy")
        waiting = await rung(stage.screen, "New encrypted message")
        assert rings(stage.screen, "ahoy") == 0
        assert await stage.alice("release_keys") == 1
        shown = await rung(stage.screen, "ahoy")
        assert shown.replaces_id == waiting.id
        assert [each.body for each in stage.screen.on_screen.values()] == [shown.body]
    assert "Unverified" not in shown.body


async def test_a_reply_is_encrypted_and_read_by_the_other_client(stage: Stage) -> None:
    async with Daemon():
        room = await stage.room()
        event = await stage.alice("send", room=room, body="ahoy")
        await rung(stage.screen, "ahoy")
        sent = await heliograph("inbox", "reply", room, "ahoy yourself")
        assert (sent.code, sent.errors) == (0, "")
        seen = await stage.alice("wait_text", room=room, sender=stage.me.user_id, body="ahoy yourself")
    assert seen["is_encrypted"] is True
    assert seen["failure"] is None
    assert seen["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event


async def test_messages_of_a_device_that_its_owner_did_not_verify_are_marked(
    stage: Stage, new_user: NewUser, js_client: OpenJsClient, home: Home
) -> None:
    write_config(home, '[encryption]\nunverified_senders = "mark"')
    user = await new_user("bob")
    bob = await js_client(user)
    await stage.alice("bootstrap")
    async with Daemon():
        room = await stage.room("Harbour", [user])
        await stage.alice("send", room=room, body="from a verified device")
        await bob("wait_members", room=room, count=3)
        await bob("send", room=room, body="from any device")
        verified, unverified = await rung(stage.screen, "from a verified"), await rung(stage.screen, "from any")
    assert "Unverified" not in verified.body
    assert "Unverified: from any device" in unverified.body


async def test_an_encrypted_edit_does_not_ring_and_changes_what_is_shown(stage: Stage) -> None:
    async with Daemon():
        room = await stage.room()
        event = await stage.alice("send", room=room, body="ahoi")
        await rung(stage.screen, "ahoi")
        edit = await stage.alice("edit", room=room, event_id=event, body="ahoy, corrected")
        await rung(stage.screen, "ahoy, corrected")
        await stage.alice("send", room=room, body="the last")
        await rung(stage.screen, "the last")
    assert decisions(stage.account)[edit] == "silent"


async def test_in_a_room_for_mentions_only_the_mention_alone_rings(stage: Stage) -> None:
    async with Daemon():
        room = await stage.room("Harbour")
        await stage.me.call("PUT", f"/pushrules/global/room/{room}", {"actions": []})
        await asyncio.sleep(QUIET_S)
        said = await stage.alice("send", room=room, body="not to you")
        await stage.alice("send", room=room, body="to you", mentions=[stage.me.user_id])
        await rung(stage.screen, "to you")
        await asyncio.sleep(QUIET_S)
    assert rings(stage.screen, "not to you") == 0
    assert decisions(stage.account)[said] == "silent"
