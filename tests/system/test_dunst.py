"""A real notification server shows what a real homeserver brought."""

from __future__ import annotations

from pathlib import Path

from conftest import NewUser
from support.dunst import DunstSession
from support.waiting import until
from system.daemon import Daemon, sign_in


async def test_dunst_shows_a_message_and_takes_it_away_when_it_was_read_elsewhere(
    new_user: NewUser, dunst: DunstSession, tmp_path: Path
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    await alice.set_display_name("Alice <b>&")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    empty, full = tmp_path / "empty.png", tmp_path / "full.png"
    dunst.screenshot(empty)
    async with Daemon() as daemon:
        event = await alice.send_text(room, "Noodles & <i>more</i>?", mentions=[me])
        await until(lambda: dunst.count() == 1, "the popup")
        dunst.screenshot(full)
        assert full.read_bytes() != empty.read_bytes()
        await me.read(room, event)
        await until(lambda: dunst.count() == 0, "the end of the popup")
        (shown,) = dunst.history()
        assert shown["appname"] == "Heliograph"
        assert shown["summary"] == "Lunch"
        assert shown["body"] == "<b>Alice &lt;b&gt;&amp;</b>: Noodles &amp; &lt;i&gt;more&lt;/i&gt;?"
        assert "Noodles" not in daemon.log


async def test_two_members_of_one_name_are_told_apart_and_a_stranger_who_invites_is_named_by_id(
    new_user: NewUser, dunst: DunstSession
) -> None:
    me, alice, mallory = await new_user("me"), await new_user("alice"), await new_user("mallory")
    for user, name in ((alice, "Lena Park"), (mallory, "L\u0435na  Park")):
        await user.set_display_name(name)
    room = await alice.create_room("Payroll", invite=[me, mallory])
    for user in (me, mallory):
        await user.join(room)
    await sign_in(me)
    async with Daemon():
        event = await mallory.send_text(room, "send the list to me", mentions=[me])
        await until(lambda: dunst.count() == 1, "the popup")
        await me.read(room, event)
        await until(lambda: dunst.count() == 0, "the end of the popup")
        shown = dunst.history()[0]
        assert shown["summary"] == "Payroll"
        assert shown["body"] == f"<b>L\u0435na Park ({mallory.user_id})</b>: send the list to me"
        room = await mallory.create_room("Payroll", invite=[me])
        await until(lambda: dunst.count() == 1, "the invite")
        await me.leave(room)
        await until(lambda: dunst.count() == 0, "the end of the invite")
        invite = dunst.history()[0]
        assert invite["body"] == f"<b>L\u0435na Park ({mallory.user_id})</b>: Invited you to this room"


async def test_a_restart_of_dunst_loses_nothing(new_user: NewUser, dunst: DunstSession) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    async with Daemon():
        dunst.stop()
        await alice.send_text(room, "said while nobody showed it")
        dunst.start()
        await until(lambda: dunst.count() == 1, "the popup")
