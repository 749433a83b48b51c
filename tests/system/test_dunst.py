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
