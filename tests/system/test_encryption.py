"""Encrypted messages ring with what they say, from Element's SDK, over a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from buses import PrivateBus
from conftest import NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.demo.user import DemoUser
from js_client import JsClient
from system.daemon import Daemon, sign_in
from system.evidence import decisions, rings, rung

QUIET_S = 1.0
"""How long a ring that must not come is waited for, after one sent later has come."""


@dataclass
class Stage:
    """The user with Heliograph, Alice with Element's SDK, and the notification server."""

    me: DemoUser
    alice: JsClient
    account: Account
    screen: NotificationServer

    async def room(self, name: str | None = None, members: int = 2) -> str:
        options = {"is_direct": True} if name is None else {"name": name}
        room = str(await self.alice("create_room", invite=[self.me.user_id], **options))
        await self.me.join(room)
        await self.alice("wait_members", room=room, count=members)
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
