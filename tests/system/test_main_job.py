"""A message on a real homeserver rings on a (private) desktop, and is acknowledged."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from conftest import NewUser
from fakes.notification_banners import Shown
from fakes.notification_profiles import GNOME
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, account_folder, sign_in
from system.evidence import PATIENCE_S, decisions
from system.launcher import SOON
from system.relay_faults import Cable

QUIET_S = 1.0
"""How long a notification that must not come is waited for, after one sent later has come."""


@dataclass
class Stage:
    """Who takes part: the user with another client and with Heliograph, Alice, and the notification server."""

    me: DemoUser
    alice: DemoUser
    account: Account
    screen: NotificationServer

    async def direct_room(self) -> str:
        room = await self.alice.create_room(invite=[self.me], is_direct=True, preset="trusted_private_chat")
        await self.me.join(room)
        return room

    async def group(self, name: str = "Lunch") -> str:
        room = await self.alice.create_room(name, invite=[self.me])
        await self.me.join(room)
        return room

    async def shown(self, text: str) -> Shown:
        """The first notification that says this."""
        found = await until(lambda: self.saying(text), f"a notification saying {text!r}")
        assert isinstance(found, list)
        return found[0]  # type: ignore[no-any-return]

    def saying(self, text: str) -> list[Shown]:
        return [each for each in self.screen.shown if text in each.body]

    async def probe(self, room: str) -> None:
        """Returns when a message sent now has been shown: what came before it and rings has been shown too."""
        text = f"probe {secrets.token_hex(4)}"
        await self.alice.send_text(room, text)
        await self.shown(text)


@pytest.fixture
async def stage(new_user: NewUser, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    me, alice = await new_user("me"), await new_user("alice")
    await me.set_display_name("Me")
    await alice.set_display_name("Alice")
    account = await sign_in(me)
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield Stage(me, alice, account, screen)
    await screen.stop()


async def test_a_message_rings_under_its_senders_name(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        await stage.alice.send_text(room, "hello there")
        shown = await stage.shown("hello there")
    assert (shown.summary, shown.body) == ("Alice", "hello there")
    assert shown.hints["desktop-entry"] == "io.github.heliograph"
    assert shown.hints["category"] == "im.received"


async def test_a_mention_in_a_group_rings_with_its_room_and_sender(stage: Stage) -> None:
    stage.screen.profile = GNOME  # It plays sounds.
    room = await stage.group("Lunch")
    async with Daemon():
        await stage.alice.send_text(room, "Me: noodles?", mentions=[stage.me])
        shown = await stage.shown("noodles")
    assert (shown.summary, shown.body) == ("Lunch", "<b>Alice</b>: Me: noodles?")
    assert "suppress-sound" not in shown.hints


async def test_an_invite_rings_and_goes_when_it_is_accepted_elsewhere(stage: Stage) -> None:
    async with Daemon():
        room = await stage.alice.create_room("Weekend hike", invite=[stage.me])
        shown = await stage.shown("Invited you")
        assert shown.summary == "Weekend hike"
        await stage.me.join(room)
        await until(lambda: shown.id not in stage.screen.on_screen, "the end of the invite's notification")


async def test_own_messages_and_muted_rooms_are_silent(stage: Stage) -> None:
    room, muted = await stage.direct_room(), await stage.group("Muted")
    await stage.me.mute(muted)
    async with Daemon():
        await stage.me.send_text(room, "my own words")
        await stage.alice.send_text(muted, "muted words")
        await stage.probe(room)
        await asyncio.sleep(QUIET_S)
    assert not stage.saying("my own words")
    assert not stage.saying("muted words")


async def test_a_room_muted_while_the_daemon_runs_is_silent_at_once(stage: Stage) -> None:
    room, muted = await stage.direct_room(), await stage.group("Muted")
    async with Daemon():
        await stage.alice.send_text(muted, "still loud")
        await stage.shown("still loud")
        await stage.me.mute(muted)
        await stage.alice.send_text(muted, "muted words")
        await stage.probe(room)
    assert not stage.saying("muted words")


async def test_what_was_read_elsewhere_while_the_daemon_was_down_stays_silent(stage: Stage) -> None:
    room, other = await stage.direct_room(), await stage.group()
    daemon = Daemon()
    await daemon.start()
    await stage.probe(room)
    await daemon.stop()
    event = await stage.alice.send_text(room, "read on the phone")
    await stage.me.read(room, event)
    await stage.alice.send_text(other, "not read yet")
    async with daemon:
        await stage.shown("not read yet")
        await stage.probe(other)
    assert not stage.saying("read on the phone")


@pytest.mark.expected_log("closed without an answer", times=(0, 2))
async def test_what_was_read_elsewhere_after_an_answer_was_lost_stays_silent(stage: Stage, new_user: NewUser) -> None:
    """The homeserver keeps the answer to a poll for its repetition, which knows nothing of what was read since."""
    room = await stage.direct_room()
    async with Cable(stage.me.base_url) as cable:
        await sign_in(replace(stage.me, base_url=cable.url))
        async with Daemon():
            await stage.probe(room)
            await until(lambda: cable.is_polling, "the poll")
            cable.cut()
            event = await stage.alice.send_text(room, "read on the phone")
            await until(lambda: cable.lost, "the answer that is lost")
            await stage.me.read(room, event)
            cable.mend()
            await stage.probe(room)
    assert not stage.saying("read on the phone")


@pytest.mark.parametrize("receipt", ["m.read", "m.read.private"])
async def test_what_is_read_elsewhere_is_withdrawn(stage: Stage, receipt: Literal["m.read", "m.read.private"]) -> None:
    room = await stage.direct_room()
    async with Daemon():
        event = await stage.alice.send_text(room, "short-lived")
        shown = await stage.shown("short-lived")
        await stage.me.read(room, event, receipt)
        await until(lambda: shown.id not in stage.screen.on_screen, "the end of the notification")


async def test_an_edit_changes_what_is_shown_and_makes_no_sound(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        event = await stage.alice.send_text(room, "meet at six")
        shown = await stage.shown("meet at six")
        await stage.alice.edit(room, event, "meet at seven")
        edited = await stage.shown("meet at seven")
    assert edited.replaces_id == shown.id
    assert edited.hints["suppress-sound"] is True


async def test_an_edit_that_mentions_the_user_takes_the_place_of_its_message(stage: Stage) -> None:
    room = await stage.group("Lunch")
    async with Daemon():
        event = await stage.alice.send_text(room, "who takes soup?")
        shown = await stage.shown("soup")
        await stage.alice.edit(room, event, "who takes cake?", mentions=[stage.me])
        edited = await stage.shown("cake")
        await stage.alice.edit(room, event, "who takes pie?")
        again = await stage.shown("pie")
        await stage.alice.redact(room, event)
        await until(lambda: shown.id not in stage.screen.on_screen, "the end of the notification")
    assert edited.replaces_id == again.replaces_id == shown.id
    assert edited.body == "<b>Alice</b>: who takes cake?"
    assert again.body == "<b>Alice</b>: who takes pie?"


async def test_a_redacted_message_is_withdrawn(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        event = await stage.alice.send_text(room, "better unsaid")
        shown = await stage.shown("better unsaid")
        await stage.alice.redact(room, event)
        await until(lambda: shown.id not in stage.screen.on_screen, "the end of the notification")


async def test_an_encrypted_message_rings_without_its_text(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y"}
        await stage.alice.send_event(room, "m.room.encrypted", content)
        shown = await stage.shown("New encrypted message")
    assert shown.summary == "Alice"


async def test_the_first_start_shows_one_summary_of_what_was_unread(stage: Stage) -> None:
    rooms = [await stage.direct_room(), await stage.group()]
    for room in rooms:
        for number in range(5):
            await stage.alice.send_text(room, f"old {number}")
    await stage.alice.create_room("Weekend hike", invite=[stage.me])
    async with Daemon():
        shown = await stage.shown("unread")
        await stage.probe(rooms[0])
    assert shown.body == "10 unread notifications in 2 rooms and 1 invite"
    assert not stage.saying("old")


async def test_200_messages_in_30_rooms_during_a_stop_are_each_shown_once(stage: Stage) -> None:
    rooms = [await stage.group(f"Room {number}") for number in range(30)]
    daemon = Daemon()
    await daemon.start()
    await stage.probe(rooms[0])
    assert await daemon.stop() == 0
    before = len(stage.screen.shown)
    sent = [await stage.alice.send_text(rooms[number % 30], f"message {number}") for number in range(200)]
    async with daemon:
        (summary,) = await until(lambda: stage.screen.shown[before:], "the summary")
        await stage.probe(rooms[0])
    assert summary.summary == "200 new messages in 30 rooms"
    assert _states(stage.account, sent) == {"shown": 200}
    assert len(stage.screen.shown) == before + 2


async def test_a_gap_in_one_room_is_filled(stage: Stage) -> None:
    room = await stage.group("Busy")
    daemon = Daemon()
    await daemon.start()
    await stage.probe(room)
    await daemon.stop()
    sent = [await stage.alice.send_text(room, f"message {number}") for number in range(60)]
    async with daemon:
        await until(lambda: any("61 new" in each.summary for each in stage.screen.shown), "all of them")
        await until(lambda: _states(stage.account, sent) == {"shown": 60}, "the ledger")


async def test_the_pusher_is_registered_once_and_obeyed_when_switched_off(stage: Stage) -> None:
    room = await stage.direct_room()
    daemon = Daemon()
    await daemon.start()
    (pusher,) = await until(lambda: _pushers(stage.me), "the pusher")
    assert (pusher["kind"], pusher["app_id"], pusher["data"]) == ("direct", "io.github.heliograph", {})
    assert pusher["pushkey"] == stage.account.pushkey
    await daemon.stop()
    await stage.me.call("POST", "/pushers/set", {**pusher, "org.matrix.msc3881.enabled": False})
    async with daemon:
        await until(lambda: "switched our pusher off" in daemon.log, "the switch")
        await stage.alice.send_text(room, "nobody should see this")
        await until(lambda: _states_all(stage.account).get("silent"), "the judgement")
        (after,) = await _pushers(stage.me)
        assert after["org.matrix.msc3881.enabled"] is False
    assert not stage.saying("nobody should see this")


async def test_a_device_silenced_by_another_client_is_silent_at_once(stage: Stage) -> None:
    room = await stage.direct_room()
    setting = f"org.matrix.msc3890.local_notification_settings.{stage.account.device_id}"
    async with Daemon():
        await stage.probe(room)
        await stage.me.set_account_data(setting, {"is_silenced": True})
        silenced = await stage.alice.send_text(room, "silenced words")
        await until(lambda: silenced in decisions(stage.account), "the judgement", PATIENCE_S)
        await stage.me.set_account_data(setting, {"is_silenced": False})
        await stage.probe(room)
    assert not stage.saying("silenced words")


async def test_a_click_closes_the_notification_and_settles_it(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        event = await stage.alice.send_text(room, "open me")
        shown = await stage.shown("open me")
        stage.screen.act(shown.id)
        await until(lambda: shown.id not in stage.screen.on_screen, "the end of the notification")
        await until(lambda: _states(stage.account, [event]) == {"opened": 1}, "the outcome")


async def test_two_accounts_ring_in_one_daemon(stage: Stage, new_user: NewUser) -> None:
    other = await new_user("other")
    await sign_in(other)
    mine, others = await stage.direct_room(), await stage.alice.create_room(invite=[other], is_direct=True)
    await other.join(others)
    async with Daemon() as daemon:
        await until(lambda: daemon.log.count("is connected to") == 2, "both connections")
        await stage.alice.send_text(mine, "to me")
        await stage.alice.send_text(others, "to the other")
        assert (await stage.shown("to me")).hints["x-kde-origin-name"] == stage.me.user_id
        assert (await stage.shown("to the other")).hints["x-kde-origin-name"] == other.user_id


@pytest.mark.expected_log("cannot run: Heliograph already runs")
async def test_a_second_daemon_is_told_about_the_first(stage: Stage) -> None:
    async with Daemon() as first:
        second = Daemon()
        await second.start(until_connected=False)
        assert await second.ended() == 78
        assert str(first.pid) in second.log


@pytest.mark.expected_log("homeserver 401 ", times=(1, None))
# Keys may be on their way when the device goes.
@pytest.mark.expected_log("homeserver 404 POST .*/keys/upload", times=(0, 1))
@pytest.mark.expected_log("no longer knows this device")
@pytest.mark.expected_log("checking whether .* was signed out", times=(1, 2))
async def test_a_device_signed_out_elsewhere_ends_the_daemon_with_a_word(stage: Stage) -> None:
    async with Daemon(SOON) as daemon:
        await stage.me.call("POST", "/logout/all")
        assert await daemon.ended() == 78
        assert "Traceback" not in daemon.log
    assert any("Signed out" in each.summary for each in stage.screen.shown)


async def _pushers(user: DemoUser) -> list[dict[str, object]]:
    answer = await user.call("GET", "/pushers")
    pushers: list[dict[str, object]] = answer["pushers"]
    return pushers


def _states(account: Account, event_ids: Sequence[str]) -> dict[str, int]:
    """How many of these events' deliveries are in which state, as the ledger says."""
    states = dict(_rows(account, "SELECT event_id, state FROM deliveries"))
    found = [states[event_id] for event_id in event_ids if event_id in states]
    return {state: found.count(state) for state in found}


def _states_all(account: Account) -> dict[str, int]:
    return dict(_rows(account, "SELECT decision, count(*) FROM judged GROUP BY decision"))


def _rows(account: Account, query: str) -> list[tuple[str, Any]]:
    with closing(sqlite3.connect(f"file:{account_folder(account)}/ledger.db?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


async def test_a_call_stops_to_ring_when_it_is_answered_elsewhere_or_given_up(stage: Stage) -> None:
    room = await stage.direct_room()
    invite = {"call_id": "c1", "version": "1", "party_id": "a", "lifetime": 60_000, "offer": {"type": "offer"}}
    async with Daemon():
        await stage.alice.send_event(room, "m.call.invite", invite)
        shown = await stage.shown("Incoming call")
        assert shown.hints["urgency"] == 2
        assert shown.hints["category"] == "call.incoming"
        await stage.me.send_event(room, "m.call.answer", {"call_id": "c1", "version": "1", "party_id": "b"})
        await until(lambda: shown.id not in stage.screen.on_screen, "silence")

        await stage.alice.send_event(room, "m.call.invite", {**invite, "call_id": "c2"})
        ringing = await until(lambda: [each for each in stage.screen.on_screen.values() if each.hints["urgency"] == 2])
        await stage.alice.send_event(room, "m.call.hangup", {"call_id": "c2", "version": "1", "party_id": "a"})
        missed = await stage.shown("Missed call")
        assert missed.id == ringing[0].id
        assert missed.hints["urgency"] < 2
        assert missed.hints["suppress-sound"] is True


@pytest.mark.parametrize("kind", ["thread", "unthreaded", "leave"])
async def test_what_is_read_or_left_in_any_way_is_withdrawn(stage: Stage, kind: str) -> None:
    room = await stage.direct_room()
    async with Daemon():
        root = await stage.alice.send_text(room, "the root")
        first = await stage.shown("the root")
        event = await stage.alice.send_text(room, "short-lived", thread=root)
        await stage.shown("short-lived")
        if kind == "thread":
            await stage.me.read(room, event, thread_id=root)
            # Only the thread was read.
            await until(lambda: "short-lived" not in stage.screen.on_screen[first.id].body, "the thread's end")
            await stage.me.read(room, root, "m.read.private", "main")
        elif kind == "leave":
            await stage.me.leave(room)
        else:
            await stage.me.read(room, event)
        await until(lambda: not stage.screen.on_screen, "the end of the notification")


async def test_what_is_in_a_thread_stays_while_only_the_rest_of_the_room_is_read(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        root = await stage.alice.send_text(room, "the root")
        await stage.alice.send_text(room, "in the thread", thread=root)
        shown = await stage.shown("in the thread")
        reaction = await stage.alice.react(room, root)
        # As a client does that shows the room and not the thread: the marker moves, too, and marks nothing.
        await stage.me.read(room, reaction, "m.fully_read")
        await stage.me.read(room, reaction, thread_id="main")
        await until(lambda: "the root" not in stage.screen.on_screen[shown.id].body, "the root's end")
        assert "in the thread" in stage.screen.on_screen[shown.id].body


async def test_an_answer_from_another_device_reads_the_question(stage: Stage) -> None:
    room = await stage.direct_room()
    async with Daemon():
        await stage.alice.send_text(room, "are you coming?")
        await stage.shown("are you coming?")
        await stage.me.send_text(room, "in ten minutes")
        await until(lambda: not stage.screen.on_screen, "the end of the notification")
