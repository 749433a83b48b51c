"""Other people's clients behind the relay notice nothing of it: matrix-nio, and matrix-js-sdk as in Element."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import nio  # type: ignore[import-untyped]
import pytest

from conftest import NewUser, OpenJsClient
from edges.relay.running import GatewayServer, direct_body, http_body
from heliograph.demo.user import DemoUser
from system.relay_process import RelayProcess

MEDIA_BYTES = 50 * 1024 * 1024


@pytest.fixture
async def user(relay: RelayProcess, new_user: NewUser) -> AsyncIterator[DemoUser]:
    """One whose pushers are the relay's, so that nothing passes untouched."""
    user = replace(await new_user("nio"), base_url=relay.url)
    async with GatewayServer() as gateway:
        await user.call("POST", "/pushers/set", direct_body())
        await user.call("POST", "/pushers/set", http_body(gateway))
        yield user


@pytest.fixture
async def client(user: DemoUser) -> AsyncIterator[nio.AsyncClient]:
    client = nio.AsyncClient(user.base_url, user.user_id)
    client.restore_login(user.user_id, user.device_id, user.access_token)
    yield client
    await client.close()


async def test_matrix_nio_syncs_and_sends(client: nio.AsyncClient, new_user: NewUser) -> None:
    alice = await new_user("alice")
    room = await alice.create_room("Lunch", invite=[DemoUser("", client.user_id, "", "", "")])
    first = await client.sync(timeout=0, full_state=True)
    assert isinstance(first, nio.SyncResponse)
    assert list(first.rooms.invite) == [room]
    assert isinstance(await client.join(room), nio.JoinResponse)
    said = await alice.send_text(room, "ahoy")
    seen: dict[str, str] = {}
    while said not in seen:
        answer = await client.sync(timeout=10_000)
        assert isinstance(answer, nio.SyncResponse)
        for joined in answer.rooms.join.values():
            texts = [each for each in joined.timeline.events if isinstance(each, nio.RoomMessageText)]
            seen |= {each.event_id: each.body for each in texts}
    assert seen[said] == "ahoy"
    sent = await client.room_send(room, "m.room.message", {"msgtype": "m.text", "body": "aye"})
    assert isinstance(sent, nio.RoomSendResponse)
    assert isinstance(await client.room_read_markers(room, said, said), nio.RoomReadMarkersResponse)
    history = await client.room_messages(room, client.next_batch, limit=20)
    assert isinstance(history, nio.RoomMessagesResponse)
    assert said in {each.event_id for each in history.chunk}


async def test_media_of_50_mb_pass_both_ways_in_little_memory(client: nio.AsyncClient, relay: RelayProcess) -> None:
    media = os.urandom(MEDIA_BYTES)
    uploaded, _ = await client.upload(io.BytesIO(media), "application/octet-stream", filesize=len(media))
    assert isinstance(uploaded, nio.UploadResponse)
    downloaded = await client.download(uploaded.content_uri)
    assert isinstance(downloaded, nio.MemoryDownloadResponse)
    assert hashlib.sha256(downloaded.body).digest() == hashlib.sha256(media).digest()
    assert relay.peak_mib() < 100


async def test_matrix_js_sdk_writes_and_reads_encrypted_messages(
    user: DemoUser, new_user: NewUser, js_client: OpenJsClient
) -> None:
    behind, beside = await js_client(user), await js_client(await new_user("beside"))
    room = await behind("create_room", name="Harbour", invite=[beside.user_id])
    await beside("join", room=room)
    await behind("wait_members", room=room, count=2)
    ahoy = await behind("send", room=room, body="ahoy")
    seen = await beside("wait_event", room=room, event_id=ahoy)
    assert (seen["failure"], seen["content"]["body"]) == (None, "ahoy")
    aye = await beside("send", room=room, body="aye")
    seen = await behind("wait_event", room=room, event_id=aye)
    assert (seen["failure"], seen["content"]["body"]) == (None, "aye")
    await behind("read", room=room, event_id=aye)
