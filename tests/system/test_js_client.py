"""The user's other client, as tests drive it: two of them understand one another."""

from __future__ import annotations

import pytest

from conftest import NewUser, OpenJsClient
from support.js_client import JsClientError


async def test_texts_and_edits_reach_another_user(new_user: NewUser, js_client: OpenJsClient) -> None:
    alice, bob = await js_client(await new_user("alice")), await js_client(await new_user("bob"))
    room = await alice("create_room", name="Harbour", invite=[bob.user_id], is_direct=True)
    await bob("join", room=room)
    await alice("wait_members", room=room, count=2)
    text = await alice("send", room=room, body="ahoy", mentions=[bob.user_id])
    seen = await bob("wait_event", room=room, event_id=text)
    assert seen["is_encrypted"] is True
    assert seen["failure"] is None
    assert seen["content"] == {"msgtype": "m.text", "body": "ahoy", "m.mentions": {"user_ids": [bob.user_id]}}
    await alice("rotate", room=room)
    edit = await alice("edit", room=room, event_id=text, body="ahoy, Bob")
    assert (await bob("wait_event", room=room, event_id=edit))["content"]["m.new_content"]["body"] == "ahoy, Bob"


async def test_a_device_gets_no_keys_until_its_owner_compared_emoji(new_user: NewUser, js_client: OpenJsClient) -> None:
    user = await new_user("bob")
    bob, other, alice = await js_client(user), await js_client(user), await js_client(await new_user("alice"))
    for client in (bob, alice):
        told = await client("bootstrap")
        assert told["recovery_key"].startswith("Es")
        assert told["backup_version"]
    await alice("only_signed_devices", enabled=True)
    room = await alice("create_room", invite=[bob.user_id])
    await bob("join", room=room)
    await alice("wait_members", room=room, count=2)
    before = await alice("send", room=room, body="before")
    assert (await bob("wait_event", room=room, event_id=before))["failure"] is None
    assert (await other("wait_event", room=room, event_id=before, seconds=3))["failure"] is not None
    await bob("request_verification", device=other.device_id)
    await other("wait_verification_request")
    await other("accept_verification")
    await bob("start_sas")
    states = [await client("wait_emoji") for client in (bob, other)]
    assert states[0]["emoji"] == states[1]["emoji"]
    assert len(states[0]["emoji"]) == 7
    for client in (bob, other):
        await client("confirm_emoji")
    for client in (bob, other):
        await client("wait_verification_phase", phase="Done")
    await alice("wait_device_status", user=bob.user_id, device=other.device_id, signed_by_owner=True)
    after = await alice("send", room=room, body="after")
    assert (await other("wait_event", room=room, event_id=after))["content"]["body"] == "after"


async def test_a_command_that_fails_says_why(new_user: NewUser, js_client: OpenJsClient) -> None:
    client = await js_client(await new_user())
    with pytest.raises(JsClientError, match="wait_event"):
        await client("wait_event", room="!none", event_id="$none", seconds=0.1)
