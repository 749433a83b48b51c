"""What came in an absence, on a real Synapse: more than a sync brings, and judged as it was when it came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conftest import NewUser
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.control.client import ask, ask_inbox, ask_status
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.loops.sync.polling import TIMELINE_LIMIT
from support.waiting import until
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S, decisions, deliveries, rings, rung, texts
from system.relay_process import RelayProcess


@dataclass
class Stage:
    """A desktop, its user at another device, and Alice, who writes in their room."""

    account: Account
    me: DemoUser
    alice: DemoUser
    room: str
    screen: NotificationServer
    is_direct: bool

    async def ready(self) -> None:
        """Returns when something has rung, and in direct mode the pusher is registered."""
        if self.is_direct:
            await until(self._is_registered, "the direct pusher", PATIENCE_S)
        await self.ring("first")

    async def ring(self, text: str) -> str:
        event = await self.alice.send_text(self.room, text)
        await rung(self.screen, text)
        return event

    async def flood(self) -> None:
        """More than a sync brings, of which nothing rings."""
        for number in range(TIMELINE_LIMIT + 1):
            await self.alice.send_event(self.room, "m.room.message", {"msgtype": "m.notice", "body": f"{number}"})

    async def _is_registered(self) -> bool:
        answer = await ask_status()
        return bool(answer and answer["accounts"][0]["pusher"]["registered"] is True)


@pytest.fixture(params=["local", "direct"])
async def stage(
    request: pytest.FixtureRequest,
    synapse: ThrowawaySynapse,
    new_user: NewUser,
    screen: NotificationServer,
    tmp_path: Path,
) -> AsyncIterator[Stage]:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    async with AsyncExitStack() as stack:
        at = me
        if request.param == "direct":
            relay = await stack.enter_async_context(RelayProcess(synapse.base_url, tmp_path / "relay"))
            at = replace(me, base_url=relay.url)
        yield Stage(await sign_in(at), me, alice, room, screen, request.param == "direct")


async def test_what_more_than_a_sync_brings_has_followed_rings(stage: Stage) -> None:
    async with Daemon() as daemon:
        await stage.ready()
        await daemon.stop()
        await stage.alice.send_text(stage.room, "long before")
        await stage.flood()
        await daemon.start()
        await rung(stage.screen, "long before")


async def test_what_was_deleted_or_edited_long_before_is_taken_back_or_reworded(stage: Stage) -> None:
    async with Daemon() as daemon:
        await stage.ready()
        deleted, edited = await stage.ring("deleted since"), await stage.ring("as it was")
        await daemon.stop()
        await stage.alice.redact(stage.room, deleted)
        await stage.alice.edit(stage.room, edited, "as it is")
        await stage.flood()
        await daemon.start()
        await until(lambda: (deleted, "withdrawn") in deliveries(stage.account), "the deletion", PATIENCE_S)
        await until(lambda: texts(stage.account)[edited] == "as it is", "the edit", PATIENCE_S)


async def test_what_came_before_its_room_was_muted_rings(stage: Stage) -> None:
    async with Daemon() as daemon:
        await stage.ready()
        await daemon.stop()
        await stage.alice.send_text(stage.room, "before the mute")
        await stage.me.mute(stage.room)
        await daemon.start()
        await rung(stage.screen, "before the mute")


async def test_what_somebody_wrote_while_ignored_stays_silent_and_what_they_wrote_since_rings(stage: Stage) -> None:
    async with Daemon() as daemon:
        await stage.ready()
        await daemon.stop()
        await stage.me.set_account_data("m.ignored_user_list", {"ignored_users": {stage.alice.user_id: {}}})
        await daemon.start()
        await daemon.stop()
        ignored = await stage.alice.send_text(stage.room, "while ignored")
        await stage.me.set_account_data("m.ignored_user_list", {"ignored_users": {}})
        await stage.alice.send_text(stage.room, "since")
        await daemon.start()
        await rung(stage.screen, "since")
        assert decisions(stage.account)[ignored] == "silent"
    assert rings(stage.screen, "while ignored") == 0


@pytest.mark.parametrize("is_flooded", [False, True])
async def test_what_was_open_in_a_room_goes_if_the_user_was_removed_and_came_back(
    stage: Stage, *, is_flooded: bool
) -> None:
    """And the invite back is no news in a room in which one is."""
    async with Daemon() as daemon:
        await stage.ready()
        before = await stage.ring("before")
        await daemon.stop()
        await stage.alice.kick(stage.room, stage.me)
        await stage.alice.invite(stage.room, stage.me)
        await stage.me.join(stage.room)
        if is_flooded:
            await stage.flood()
        since = await stage.alice.send_text(stage.room, "since")
        await daemon.start()
        await until(lambda: (since, "shown") in deliveries(stage.account), "the new message", PATIENCE_S)
        await until(lambda: (before, "withdrawn") in deliveries(stage.account), "the old message to go", PATIENCE_S)
        assert not [event_id for event_id, _ in deliveries(stage.account) if event_id.startswith("invite:")]
    assert [each.body for each in stage.screen.on_screen.values() if "before" in each.body] == []


async def _is_nothing_unread() -> bool:
    inbox = await ask_inbox()
    return inbox is not None and inbox["rooms"] == []


@pytest.mark.expected_log(r"homeserver 403 POST \S+/read_markers of", times=(0, None))
async def test_a_room_whose_newest_message_is_of_somebody_ignored_since_is_marked_as_read(
    stage: Stage, new_user: NewUser
) -> None:
    bob = await new_user("bob")
    await stage.alice.invite(stage.room, bob)
    await bob.join(stage.room)
    async with Daemon() as daemon:
        await stage.ready()
        unread = await stage.ring("of Alice")
        last = await bob.send_text(stage.room, "of Bob")
        await rung(stage.screen, "of Bob")
        await daemon.stop()
        await stage.me.set_account_data("m.ignored_user_list", {"ignored_users": {bob.user_id: {}}})
        await daemon.start()
        await until(lambda: (last, "withdrawn") in deliveries(stage.account), "what Bob wrote to go", PATIENCE_S)
        await ask("MarkRead", "ss", stage.me.user_id, stage.room)
        await until(_is_nothing_unread, "the inbox to be empty", PATIENCE_S)
        listed = (await stage.me.call("GET", "/notifications"))["notifications"]
        assert [each["read"] for each in listed if each["event"]["event_id"] == unread] == [True]
