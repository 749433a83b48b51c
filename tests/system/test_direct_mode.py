"""The daemon at a homeserver with direct push (MSC3361): the server says what rings, and next_batch acknowledges it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.direct_homeserver import DEVICE, TOKEN, DirectHomeserver
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account, save_account
from heliograph.control.client import ask_status
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon
from system.evidence import PATIENCE_S, decisions, deliveries, rings, rung, taken_to_device
from system.launcher import STEPS

QUIET_S = 0.3
"""How long a ring that must not come is waited for, after one sent later has come."""


@dataclass
class Stage:
    """A homeserver with direct push, an account there, and the notification server."""

    server: DirectHomeserver
    account: Account
    screen: NotificationServer

    async def ready(self) -> None:
        """Returns when the server lists for the device what rings, and the daemon knows that."""
        await until(self._is_registered, "the pusher", PATIENCE_S)
        assert self.server.has_direct_pusher

    async def settled(self) -> list[str]:
        """Returns when the server's list counts alone: two syncs later. What rang for that."""
        events = []
        for text in ("first", "second"):
            events.append(self.server.send(self.server.add_room(text), text))
            await rung(self.screen, text)
            await until(lambda: self.server.is_all_acknowledged, "the acknowledgement", PATIENCE_S)
        return events

    async def probe(self, text: str = "probe") -> str:
        """Returns when a message sent now, to a room of its own, has rung: what came before has been judged."""
        event = self.server.send(self.server.add_room(f"Room of {text}"), text)
        await rung(self.screen, text)
        await asyncio.sleep(QUIET_S)
        return event

    async def shown(self, *events: str) -> None:
        """Returns when the ledger says SHOWN of these events and knows no other delivery."""
        expected = {(event, "shown") for event in events}
        await until(lambda: set(deliveries(self.account)) == expected, "the outcomes", PATIENCE_S)

    async def status(self) -> dict[str, Any]:
        """What the daemon says of the account."""
        answer = await ask_status()
        assert answer is not None
        (account,) = answer["accounts"]
        return dict(account)

    async def _is_registered(self) -> bool:
        return (await self.status())["pusher"]["registered"] is True


@pytest.fixture
def property_name() -> str:
    """Of the server's list in /sync."""
    return "notifications"


@pytest.fixture
async def stage(private_bus: PrivateBus, property_name: str) -> AsyncIterator[Stage]:
    screen = NotificationServer(private_bus.address)
    await screen.start()
    async with DirectHomeserver(property_name=property_name) as server:
        account = Account(
            user_id=server.user_id,
            device_id=DEVICE,
            homeserver=server.url,
            secrets="file",
            pushkey="the-pushkey",
        )
        await asyncio.to_thread(save_account, account)
        await open_secrets("file").save(account.user_id, Secret(access_token=TOKEN, pickle_key="test").encode())
        yield Stage(server, account, screen)
    await screen.stop()


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_any_step_loses_nothing_and_repeats_at_most_what_was_being_shown(
    stage: Stage, step: str
) -> None:
    server = stage.server
    first, second, third = (server.add_room(name) for name in ("First", "Second", "Third"))
    async with Daemon(step) as daemon:
        await stage.ready()
        # Together, so that one response brings both.
        server.send_to_device({"key": "a key"})
        sent = [server.send(first, "as it was killed")]
        assert await daemon.ended() == -signal.SIGKILL
        sent.append(server.send(second, "while it was down"))
        read = server.send(third, "read on the phone")
        server.read(third, read)

        await daemon.start(words=())
        await rung(stage.screen, "as it was killed")
        await rung(stage.screen, "while it was down")
        sent.append(await stage.probe("after all"))
        await stage.shown(*sent)
        await until(lambda: server.is_all_acknowledged, "the acknowledgement", PATIENCE_S)

    # The one documented repeat: shown, and killed before that was written down.
    assert rings(stage.screen, "as it was killed") in ({1, 2} if step == "after notify" else {1})
    assert rings(stage.screen, "while it was down") == 1
    assert rings(stage.screen, "after all") == 1
    assert rings(stage.screen, "read on the phone") == 0
    assert len(deliveries(stage.account)) == len(sent)
    assert decisions(stage.account)[read] == "silent"
    assert taken_to_device(stage.account) == 1


@pytest.mark.parametrize("property_name", ["notifications", "org.matrix.msc3361.notifications"])
async def test_what_the_server_lists_rings_and_nothing_else(stage: Stage) -> None:
    room, quiet = stage.server.add_room("Lunch"), stage.server.add_room("Quiet")
    async with Daemon() as daemon:
        await stage.ready()
        before = await stage.settled()
        # By the push rules it would be the other way round.
        unlisted = stage.server.send(quiet, "not listed", rings=False)
        notice = stage.server.send(room, "a notice", msgtype="m.notice")
        shown = await rung(stage.screen, "a notice")
        probe = await stage.probe()
        status = await stage.status()
        await stage.shown(*before, notice, probe)
        assert "mode direct: the server offers direct push (MSC3361)" in daemon.log
    assert (shown.summary, shown.body) == ("Lunch", "<b>Alice</b>: a notice")
    assert rings(stage.screen, "not listed") == 0
    assert decisions(stage.account)[unlisted] == "silent"
    assert (status["mode"], status["mode_reason"]) == ("direct", "the server offers direct push (MSC3361)")


@pytest.mark.expected_log("the answer ended before its end")
async def test_a_notification_whose_response_was_lost_rings_once(stage: Stage) -> None:
    room = stage.server.add_room("Lunch")
    async with Daemon():
        await stage.ready()
        stage.server.responses_to_lose = 1
        event = stage.server.send(room, "at the second try")
        await rung(stage.screen, "at the second try")
        await stage.probe()
    assert stage.server.responses_to_lose == 0
    assert stage.server.attached[event] > 1
    assert rings(stage.screen, "at the second try") == 1


async def test_a_notification_that_is_attached_again_rings_once(stage: Stage) -> None:
    room = stage.server.add_room("Lunch")
    async with Daemon():
        await stage.ready()
        event = stage.server.send(room, "only once")
        await rung(stage.screen, "only once")
        await until(lambda: stage.server.is_all_acknowledged, "the acknowledgement", PATIENCE_S)
        stage.server.forget_acknowledgements()
        await stage.probe()
    assert stage.server.attached[event] > 1
    assert rings(stage.screen, "only once") == 1


async def test_an_invite_that_the_server_lists_rings_once(stage: Stage) -> None:
    async with Daemon():
        await stage.ready()
        await stage.settled()
        stage.server.invite("Weekend hike")
        shown = await rung(stage.screen, "Invited you")
        await until(lambda: stage.server.is_all_acknowledged, "the acknowledgement", PATIENCE_S)
        stage.server.forget_acknowledgements()
        stage.server.invite("Not for you", rings=False)
        await stage.probe()
    assert shown.summary == "Weekend hike"
    assert rings(stage.screen, "Invited you") == 1


@pytest.mark.expected_log("There may be more in !room1:example.org, which could not be fetched: refused with HTTP 404")
async def test_an_absence_longer_than_a_timeline_is_made_up_from_what_is_unacknowledged(stage: Stage) -> None:
    room = stage.server.add_room("Busy")
    daemon = Daemon()
    async with daemon:
        await stage.ready()
        # A stop would hand over: the server would list nothing for us meanwhile.
        await daemon.kill()
        sent = [stage.server.send(room, f"message {number}") for number in range(60)]
        await daemon.start()
        await stage.shown(*sent)
        # This homeserver has no /messages, by which an edit or a deletion among these could be found.
        await until(lambda: len(stage.screen.shown) == 2, "both notifications", PATIENCE_S)
    shown = {each.summary: each.body for each in stage.screen.shown}
    assert shown.keys() == {"Busy (60 new)", "There may be more in Busy"}
    assert shown["Busy (60 new)"].endswith("message 59")


@pytest.mark.expected_log(
    "daemon warning: @me:example.org: (the connection was closed without an answer|nothing answers at)", times=(0, 2)
)
async def test_a_server_that_loses_direct_push_is_not_believed_any_longer(stage: Stage) -> None:
    room, other = stage.server.add_room("Lunch"), stage.server.add_room("Dinner")
    async with Daemon() as daemon:
        await stage.ready()
        first = stage.server.send(room, "while it was direct")
        await rung(stage.screen, "while it was direct")
        await stage.server.stop()
        stage.server.has_direct_push = False
        await stage.server.start()
        second = stage.server.send(other, "as the rules say")
        await rung(stage.screen, "as the rules say")
        probe = await stage.probe()
        status = await stage.status()
        await stage.shown(first, second, probe)
        assert "mode local" in daemon.log
    assert status["mode"] == "local"
    assert "no direct push" in status["mode_reason"]


@pytest.mark.expected_log("does not take our direct pusher")
async def test_what_the_server_cannot_list_without_our_pusher_rings_by_the_rules(stage: Stage) -> None:
    room = stage.server.add_room("Lunch")
    stage.server.takes_pushers = False
    async with Daemon() as daemon:
        await until(lambda: "does not take our direct pusher" in daemon.log, "the refusal", PATIENCE_S)
        event = stage.server.send(room, "not listed")
        await rung(stage.screen, "not listed")
        await stage.shown(event)
        assert (await stage.status())["mode"] == "direct"
    assert stage.server.attached[event] == 0
