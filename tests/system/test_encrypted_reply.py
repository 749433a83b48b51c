"""What the user answers to an encrypted message: read by Element's SDK at the other end, and by nobody else."""

from __future__ import annotations

from conftest import Home, NewUser, OpenJsClient
from fakes.notification_server import NotificationServer
from heliograph.demo.user import DemoUser
from support.js_client import JsClient
from system.command import heliograph
from system.daemon import Daemon, sign_in
from system.evidence import rung


async def meet(me: DemoUser, alice: JsClient) -> str:
    """An encrypted room of both."""
    room = str(await alice("create_room", invite=[me.user_id], is_direct=True))
    await me.join(room)
    await alice("wait_members", room=room, count=2)
    return room


async def test_a_reply_is_read_at_the_other_end(
    new_user: NewUser, js_client: OpenJsClient, screen: NotificationServer
) -> None:
    me, alice = await new_user("me"), await js_client(await new_user("alice"))
    await sign_in(me)
    async with Daemon():
        room = await meet(me, alice)
        for question, answer in (("noodles today?", "Yes, gladly"), ("When?", "At noon?")):
            asked = await alice("send", room=room, body=question)
            await rung(screen, question)
            explained = await heliograph("explain", asked)
            assert "It is encrypted; the rules were tried on what it says." in explained.output, explained
            ended = await heliograph("inbox", "reply", room, answer)
            assert ended.code == 0, ended.errors
            seen = await alice("wait_text", room=room, sender=me.user_id, body=answer)
            assert (seen["is_encrypted"], seen["failure"]) == (True, None)
            assert seen["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": asked}}


async def test_with_signed_devices_only_no_other_can_read_a_reply(
    new_user: NewUser, js_client: OpenJsClient, screen: NotificationServer, home: Home
) -> None:
    (home.config / "heliograph").mkdir()
    (home.config / "heliograph/config.toml").write_text('[encryption]\nsend_to = "signed"\n')
    me, user = await new_user("me"), await new_user("alice")
    alice, other = await js_client(user), await js_client(user)
    await sign_in(me)
    async with Daemon():
        room = await meet(me, alice)
        await alice("send", room=room, body="noodles today?")
        await rung(screen, "noodles today?")

        refused = await heliograph("inbox", "reply", room, "Yes, gladly")
        assert refused.code == 1
        assert refused.errors.splitlines() == [
            "Error: No device in this room may read what Heliograph would send.",
            "Try: Reply in your Matrix client.",
        ]

        await alice("bootstrap")
        assert (await heliograph("inbox", "reply", room, "At noon?")).code == 0
        seen = await alice("wait_text", room=room, sender=me.user_id, body="At noon?")
        assert (seen["is_encrypted"], seen["failure"]) == (True, None)
        unread = await other("wait_event", room=room, event_id=seen["event_id"])
        assert unread["failure"] is not None
    events = (await me.call("GET", f"/rooms/{room}/messages", dir="b", limit="20"))["chunk"]
    assert [event["type"] for event in events if event["sender"] == me.user_id] == ["m.room.encrypted", "m.room.member"]
