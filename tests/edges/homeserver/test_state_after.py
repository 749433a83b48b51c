"""The state at the end of a timeline (MSC4222), from a Synapse that offers it."""

from __future__ import annotations

import pytest

from heliograph.core.events import Event
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import SyncRequest


@pytest.mark.real
async def test_a_synapse_that_has_it_tells_the_state_at_the_end_of_each_timeline() -> None:
    async with ThrowawaySynapse(settings={"experimental_features": {"msc4222_enabled": True}}) as server:
        me = await server.register("me")
        session = Session(server.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
        client = HomeserverClient(session)
        try:
            first = await client.sync(SyncRequest(None, 0))
            room = await me.create_room("Tea")
            await me.send_state(room, "m.room.name", {"name": "Coffee"})
            await me.send_text(room, "hello")
            (joined,) = (await client.sync(SyncRequest(first.next_batch, 0))).joined
        finally:
            await session.close()
    names = [each.content["name"] for each in joined.state if isinstance(each, Event) and each.type == "m.room.name"]
    assert (joined.is_state_after, names) == (True, ["Coffee"])
