"""How the homeserver is asked for the answer to a direct device's poll."""

from __future__ import annotations

import asyncio

from aiohttp.test_utils import make_mocked_request

from heliograph.relay.state.connections import DeviceConnection
from heliograph.relay.sync.poll import Poll

TARGET = "/_matrix/client/v3/sync?since=s1&timeout=30000&filter=%7B%22room%22:%7B%7D%7D"


def poll(connection: DeviceConnection) -> Poll:
    request = make_mocked_request("GET", TARGET)
    return Poll(request, ("@me:x", "DEVICE"), "s1", {}, connection, asyncio.Event(), 0.0, TARGET)


def test_no_poll_of_a_device_asks_at_once_as_the_one_before_did() -> None:
    connection = DeviceConnection(lambda: 0, 0, None, asyncio.Event())
    polls = [poll(connection) for _ in range(3)]
    for each in polls:
        each.ask_at_once()
    polls[0].ask_at_once()
    base = "/_matrix/client/v3/sync?since=s1&filter=%7B%22room%22:%7B%7D%7D&timeout="
    assert [each.target for each in polls] == [f"{base}3", f"{base}1", f"{base}2"]
    assert all(each.is_short for each in polls)
