"""A button pressed on a real notification server reaches a real homeserver."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from conftest import NewUser
from support.waiting import until
from system.daemon import Daemon, sign_in


@pytest.mark.parametrize("name", ["dunst", "mako", "xfce"])
async def test_mark_as_read_marks_the_room_as_read(
    name: str, new_user: NewUser, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    press: dict[str, Callable[[], object]] = {
        "dunst": lambda: server.choose("Mark as read"),
        "mako": lambda: server.press(server.shown()[0]["id"], "mark-read"),
        "xfce": lambda: server.press(2, of=4),
    }
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    async with Daemon():
        event = await alice.send_text(room, "Noodles?")
        await until(lambda: server.count() == 1, "the popup")
        press[name]()
        await until(lambda: server.count() == 0, "the end of the popup")

        async def is_read() -> bool:
            told = await me.call("GET", "/notifications")
            (entry,) = [each for each in told["notifications"] if each["event"]["event_id"] == event]
            return bool(entry["read"])

        await until(is_read, "the receipt")
    # Privately: Alice's client is told of none but her own.
    sync = await alice.call("GET", "/sync", filter=json.dumps({"room": {"rooms": [room]}}))
    assert me.user_id not in json.dumps(sync["rooms"]["join"][room]["ephemeral"])
