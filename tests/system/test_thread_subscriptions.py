"""A Synapse that knows which threads its users follow (MSC4306), as the sync loop asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contract.outcomes import access_log_pattern
from heliograph.core.push.rules import Ruleset
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from support.guarded_synapse import GuardedSynapse
from support.log_guard import ExpectLog

SUBSCRIPTION = "/_matrix/client/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription"


@pytest.fixture
async def synapse() -> AsyncIterator[ThrowawaySynapse]:
    async with GuardedSynapse(settings={"experimental_features": {"msc4306_enabled": True}}) as server:
        yield server


async def test_a_synapse_tells_which_threads_are_followed_and_has_rules_that_ask(
    synapse: ThrowawaySynapse, expect_log: ExpectLog
) -> None:
    me, alice = await synapse.register("me"), await synapse.register("alice")
    room = await me.create_room("Lunch", invite=[alice])
    await alice.join(room)
    followed, other = [await alice.send_text(room, text) for text in ("followed", "other")]
    for root in (followed, other):
        await alice.send_text(room, "in the thread", thread=root)
    await me.call("PUT", SUBSCRIPTION.format(room=room, root=followed), {})
    expect_log(access_log_pattern(f"404 GET {SUBSCRIPTION.format(room='*', root='*')}"))
    session = Session(synapse.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    client = HomeserverClient(session)
    try:
        assert (await client.features()).has_thread_subscriptions
        assert await client.is_subscribed(room, followed)
        assert not await client.is_subscribed(room, other)
        assert Ruleset.parse((await client.push_rules())["global"]).asks_subscriptions
    finally:
        await client.close()
