"""The homeservers that tests play over HTTP answer and refuse as Synapse does, and serve on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contract.homeserver_asks import ASKS, Place, expected, outcomes_at
from fakes import direct_homeserver
from fakes.direct_homeserver import DirectHomeserver
from heliograph.core.ids import RoomId
from heliograph.errors import Refused
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import SyncRequest
from soak import homeserver as soak_homeserver
from soak.homeserver import SoakHomeserver
from support.builders import ME

NO_TOKENS = ["nonsense", "", "s", "s-1", "s1_2", "s²", "x1"]
PLAYED = {
    "direct": (DirectHomeserver, direct_homeserver.TOKEN, direct_homeserver.DEVICE),
    "soak": (SoakHomeserver, soak_homeserver.TOKEN, soak_homeserver.DEVICE),
}


@pytest.fixture(params=PLAYED)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[HomeserverClient]:
    make_server, access_token, device_id = PLAYED[request.param]
    server = make_server()
    await server.start()
    client = HomeserverClient(Session(server.url, access_token=access_token, user_id=ME, device_id=device_id))
    yield client
    await client.close()
    await server.stop()


@pytest.mark.parametrize("name", PLAYED)
async def test_what_they_have_they_answer_and_refuse_as_synapse_does(name: str) -> None:
    """By the table to which a Synapse is held, too (test_relay_upstream.py)."""
    make_server, access_token, device_id = PLAYED[name]
    asks = {
        words: ask
        for words, ask in ASKS.items()
        if words.split()[0] not in ("notifications", "nudge,", "nudge", "event")
    }
    async with make_server() as server:
        place = Place(server.url, access_token, ME, device_id, "!room", "$event", "s0", "!foreign", "$secret")
        assert await outcomes_at(place, asks) == expected(asks)


async def test_a_sync_from_what_is_no_token_is_refused_and_the_next_is_answered(client: HomeserverClient) -> None:
    first = await client.sync(SyncRequest(since=None, timeout_ms=0))
    for token in NO_TOKENS:
        with pytest.raises(Refused) as caught:
            await client.sync(SyncRequest(token, 0))
        assert (caught.value.status, caught.value.errcode) == (400, "M_UNKNOWN")
    assert (await client.sync(SyncRequest(first.next_batch, 0))).next_batch == first.next_batch


async def test_the_soak_refuses_tokens_of_another_list() -> None:
    server = SoakHomeserver()
    room_id = RoomId(server.add_room("Lunch"))
    await server.start()
    session = Session(server.url, access_token=soak_homeserver.TOKEN, user_id=ME, device_id=soak_homeserver.DEVICE)
    client = HomeserverClient(session)
    token = (await client.sync(SyncRequest(since=None, timeout_ms=0))).next_batch
    for request in (
        client.notifications(since=token, limit=1),
        client.messages(room_id, since="nonsense", until=None, limit=1),
    ):
        with pytest.raises(Refused) as caught:
            await request
        assert (caught.value.status, caught.value.errcode) == (400, "M_UNKNOWN")
    await client.close()
    await server.stop()
